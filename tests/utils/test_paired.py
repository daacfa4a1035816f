"""Means over seeds and their intervals."""

import math

import pytest

from utils.paired import estimate, t_quantile


def test_nothing_and_one_value_have_no_interval():
    empty, single = estimate([]), estimate([0.25])
    assert math.isnan(empty.mean) and math.isnan(empty.margin) and not empty.is_distinguishable
    assert single.mean == 0.25 and math.isnan(single.sd) and not single.is_distinguishable


@pytest.mark.parametrize(
    ("freedom", "expected"), [(1, 12.7062), (2, 4.30265), (3, 3.18245), (9, 2.26216), (30, 2.04227), (1000, 1.96234)]
)
def test_quantiles_are_those_of_the_tables(freedom, expected):
    assert t_quantile(freedom) == pytest.approx(expected, abs=1e-4)


def test_the_interval_of_three_values():
    found = estimate([0.01, 0.02, 0.03])
    assert found.mean == pytest.approx(0.02)
    assert found.sd == pytest.approx(0.01)
    assert found.margin == pytest.approx(4.30265 * 0.01 / math.sqrt(3), rel=1e-4)
    assert not found.is_distinguishable  # 0.0248 is more than the mean


def test_equal_differences_are_distinguishable():
    assert estimate([0.02, 0.02, 0.02]).is_distinguishable
    assert estimate([-0.02, -0.021, -0.019]).is_distinguishable
    assert not estimate([0.0, 0.0]).is_distinguishable
