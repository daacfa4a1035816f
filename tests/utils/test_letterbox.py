import json
from pathlib import Path

import numpy as np
import pytest

from utils.boxes import scale_boxes
from utils.letterbox import apply, check_image_size, fit

CASES = json.loads((Path(__file__).parents[1] / "golden" / "letterbox.json").read_text())
BOXES = np.array([[10, 20, 60, 90], [-5, 3, 700, 800]], dtype=np.float64)


def plan_of(case):
    new = case["new"] if isinstance(case["new"], int) else tuple(case["new"])
    return fit((case["h"], case["w"]), new, stride=32, auto=case["auto"], scaleup=case["scaleup"])


def name_of(case):
    return f"{case['h']}x{case['w']}-{case['new']}-{case['auto']}-{case['scaleup']}"


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_plan_and_scaling_back_equal_the_reference(case):
    plan = plan_of(case)
    assert (list(plan.size), list(plan.pad)) == (case["out"], case["pad"])
    assert list(plan.ratio) == pytest.approx(case["ratio"])
    np.testing.assert_allclose(scale_boxes(BOXES, plan.size, plan.original), case["unscaled"], atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_inverse_undoes_the_plan(case):
    """Exactly, also where the picture was not enlarged and the two sizes alone do not tell the ratio."""
    plan = plan_of(case)
    boxes = np.array([[0, 0, case["w"], case["h"]], [case["w"] / 4, case["h"] / 3, case["w"] / 2, case["h"] / 2]])
    there = boxes * (plan.ratio * 2) + plan.pad * 2
    np.testing.assert_allclose(plan.invert(there), boxes, atol=1e-9)


@pytest.mark.parametrize("shape", [(480, 640), (33, 47), (1, 1000), (1000, 1), (1, 1)])
@pytest.mark.parametrize("auto", [True, False])
def test_apply_gives_the_planned_size(shape, auto):
    plan = fit(shape, 320, auto=auto)
    assert apply(np.zeros((*shape, 3), np.uint8), plan).shape == (*plan.size, 3)


def test_apply_puts_the_picture_where_the_plan_says():
    image = np.zeros((100, 200, 3), np.uint8)
    plan = fit((100, 200), 200, auto=False)
    boxed = apply(image, plan)
    assert plan.pad == (0, 50)
    assert (boxed[50:150] == 0).all() and (boxed[:50] == 114).all() and (boxed[150:] == 114).all()


def test_no_boxes():
    assert fit((480, 640), 320).invert(np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize(
    ("size", "expected"), [(640, (640, 640)), ((384, 640), (384, 640)), (100, (128, 128)), (1, (32, 32))]
)
def test_image_size_is_rounded_up_and_said(size, expected, caplog):
    assert check_image_size(size, 32) == expected
    assert ("multiple of the stride" in caplog.text) == (expected not in (size, (size, size)))
