import numpy as np
import pytest
import torch
from torchvision.ops import batched_nms

from utils.merging import fuse_models, merge, overlap

METHODS = pytest.mark.parametrize("method", ["none", "nms", "nmm", "wbf"])


def rows(*table):
    return np.array(table, dtype=np.float32).reshape(-1, 6)


def random_rows(count, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 200, (count, 2))
    boxes = np.concatenate((corners, corners + rng.uniform(5, 80, (count, 2))), 1)
    return np.column_stack((boxes, rng.uniform(0.1, 1, count), rng.integers(0, classes, count))).astype(np.float32)


WHOLE = [0, 0, 100, 100, 0.6, 0]
PART = [0, 0, 30, 100, 0.9, 0]  # all of it lies in WHOLE: IoU 0.3, intersection over smaller 1


@METHODS
@pytest.mark.parametrize("agnostic", [False, True])
def test_nothing_and_one(method, agnostic):
    assert merge(rows(), method, agnostic=agnostic).shape == (0, 6)
    one = rows([1.5, 2, 3, 4, 0.5, 7])
    np.testing.assert_array_equal(merge(one, method, agnostic=agnostic), one)
    tensor = merge(torch.from_numpy(one), method)
    assert torch.equal(tensor, torch.from_numpy(one)) and merge(torch.empty(0, 6), method).shape == (0, 6)


def test_overlap():
    assert overlap(np.array([0, 0, 2, 2.0]), np.empty((0, 4))).shape == (0,)
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [0, 0, 1, 1], [2, 0, 3, 3], [1, 1, 1, 1.0]])
    assert overlap(np.array([0, 0, 2, 2.0]), others).tolist() == pytest.approx([1, 1 / 3, 1 / 4, 0, 0])
    assert overlap(np.array([0, 0, 2, 2.0]), others, True).tolist() == pytest.approx([1, 1 / 2, 1, 0, 0])
    mixed = overlap(np.array([0, 0, 2, 2.0]), others, np.array([False, True, False, True, True]))
    assert mixed.tolist() == pytest.approx([1, 1 / 2, 1 / 4, 0, 0])


@METHODS
def test_the_order_of_the_rows_does_not_matter(method):
    table = random_rows(60)
    table[10:20, 4] = 0.5  # ties
    cut = np.arange(60) % 3 == 0
    expected = merge(table, method, 0.4, cut=cut)
    assert (np.diff(expected[:, 4]) <= 0).all() and expected.dtype == np.float32
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(60)
        np.testing.assert_array_equal(merge(table[order], method, 0.4, cut=cut[order]), expected)
        np.testing.assert_array_equal(merge(torch.from_numpy(table[order]), method, 0.4, cut=cut[order]), expected)


@pytest.mark.parametrize("agnostic", [False, True])
def test_nms_is_that_of_torchvision(agnostic):
    table = random_rows(300)
    group = torch.zeros(300) if agnostic else torch.from_numpy(table[:, 5])
    kept = batched_nms(torch.from_numpy(table[:, :4]), torch.from_numpy(table[:, 4]), group, 0.45)
    np.testing.assert_array_equal(merge(table, "nms", 0.45, agnostic=agnostic), table[kept])
    assert 10 < len(kept) < 290


def test_classes_are_apart_unless_told_otherwise():
    table = rows(WHOLE, [0, 0, 100, 100, 0.5, 1])
    for method in ("nms", "nmm", "wbf"):
        assert len(merge(table, method)) == 2
        assert merge(table, method, agnostic=True)[:, 5].tolist() == [0]


def test_intersection_over_smaller():
    table = rows(WHOLE, PART)
    assert len(merge(table, "nms")) == 2
    assert merge(table, "nms", metric="ios").tolist() == rows(PART).tolist()
    assert merge(table, "nmm", metric="ios").tolist() == rows([0, 0, 100, 100, 0.9, 0]).tolist()


def test_a_part_goes_into_the_whole_and_never_the_reverse():
    table, cut = rows(PART, WHOLE), [True, False]
    for method in ("nms", "nmm", "wbf"):
        assert merge(table, method, cut=cut).tolist() == rows(WHOLE).tolist()
    small_inside_large = [False, False]
    assert len(merge(table, "nms", cut=small_inside_large)) == 2


def test_halves_of_an_object_without_a_whole():
    halves = rows([0, 0, 60, 10, 0.8, 0], [30, 0, 90, 10, 0.6, 0])  # IoU 1/3, over the smaller 1/2
    cut = [True, True]
    assert merge(halves, "nms", 0.45, cut=cut).tolist() == halves[:1].tolist()
    assert merge(halves, "nmm", 0.45, cut=cut).tolist() == rows([0, 0, 90, 10, 0.8, 0]).tolist()
    np.testing.assert_allclose(merge(halves, "wbf", 0.45, cut=cut), rows([0, 0, 90, 10, 0.7, 0]), atol=1e-6)
    assert len(merge(halves, "nms", 0.45)) == 2


def test_merging_stops_where_the_grown_box_no_longer_matches():
    table = rows([0, 0, 10, 10, 0.9, 0], [4, 0, 14, 10, 0.8, 0], [-4, 0, 6, 10, 0.7, 0])
    assert merge(table, "nmm", 0.41).tolist() == rows([0, 0, 14, 10, 0.9, 0]).tolist()


def test_weighted_box_fusion_by_hand():
    table = rows([0, 0, 10, 10, 0.9, 0], [1, 0, 11, 10, 0.6, 0], [50, 50, 60, 60, 0.3, 0])
    expected = rows([0.4, 0, 10.4, 10, 0.75, 0], [50, 50, 60, 60, 0.3, 0])
    np.testing.assert_allclose(merge(table, "wbf", 0.5), expected, atol=1e-6)
    np.testing.assert_allclose(fuse_models([table], 0.5), expected, atol=1e-6)
    apart = fuse_models([table[:1], table[1:]], 0.5)  # two models: who is seen by one of them is half believed
    np.testing.assert_allclose(apart, rows([0.4, 0, 10.4, 10, 0.75, 0], [50, 50, 60, 60, 0.15, 0]), atol=1e-6)
    three = fuse_models([torch.from_numpy(table[:1]), torch.from_numpy(table[1:2]), torch.empty(0, 6)], 0.5)
    np.testing.assert_allclose(three, rows([0.4, 0, 10.4, 10, 0.5, 0]), atol=1e-6)
    assert fuse_models([rows(), rows()]).shape == (0, 6)


def test_fusion_takes_the_best_cluster_and_the_running_mean():
    table = rows([0, 0, 10, 10, 0.9, 0], [6, 0, 16, 10, 0.8, 0], [4, 0, 14, 10, 0.7, 0])
    merged = merge(table, "wbf", 0.4)  # IoU of the third: 0.43 and 0.67
    assert merged[:, 0] == pytest.approx([0, (6 * 0.8 + 4 * 0.7) / 1.5])


def test_confidence_of_zero_is_no_nan():
    merged = merge(rows([0, 0, 9, 9, 0, 0], [0, 0, 9, 9, 0, 0]), "wbf")
    assert merged.tolist() == rows([0, 0, 9, 9, 0, 0]).tolist()


def test_unknown_words():
    with pytest.raises(ValueError, match="unknown method 'soft': use none, nms, nmm, wbf"):
        merge(rows(), "soft")
    with pytest.raises(ValueError, match="unknown metric 'giou'"):
        merge(rows(), metric="giou")
