import numpy as np
import pytest
import torch

from utils.anchors import anchor_fitness, best_ratio, fit_anchors, object_sizes, possible_recall
from utils.autoanchor import adapt_anchors

ANCHORS = np.array([[10.0, 13], [30, 61], [116, 90]])


class Head:
    """What autoanchor needs of a detection head: here three levels with two anchors each."""

    def __init__(self, pixels, strides=(8, 16, 32)):
        self.strides = strides
        levels = torch.tensor(pixels, dtype=torch.float32).view(len(strides), -1, 2)
        self.anchors = levels / torch.tensor(strides, dtype=torch.float32).view(-1, 1, 1)

    @property
    def pixels(self):
        return self.anchors * torch.tensor(self.strides, dtype=torch.float32).view(-1, 1, 1)


def made_up_sizes(seed=0, count=2000):
    return np.exp(np.random.default_rng(seed).normal(3.2, 0.8, (count, 2)))


def test_no_objects():
    sizes = object_sizes(np.array([[480, 640]]), [np.zeros((0, 5))], 640)
    assert sizes.shape == (0, 2)
    assert possible_recall(sizes, ANCHORS, 4.0) == (1.0, 0.0)
    assert fit_anchors(sizes, 9) is None


def test_object_sizes_scale_the_longer_side():
    labels = [np.array([[0, 0.5, 0.5, 0.5, 0.5]]), np.array([[1, 0.5, 0.5, 0.25, 1.0]])]
    shapes = np.array([[480, 640], [1000, 500]])
    np.testing.assert_allclose(object_sizes(shapes, labels, 320), [[160, 120], [40, 320]])
    scaled = object_sizes(shapes, labels, 320, np.random.default_rng(0)) / [[160, 120], [40, 320]]
    assert ((scaled >= 0.9) & (scaled <= 1.1)).all()


def test_ratio_and_recall_by_hand():
    sizes = np.array([[20.0, 13], [10, 60], [500, 500]])
    np.testing.assert_allclose(best_ratio(sizes, ANCHORS[:1]), [[0.5], [13 / 60], [10 / 500]])
    recall, per_object = possible_recall(sizes, ANCHORS, 4.0)
    # 20x13 fits the first anchor only (61 / 13 > 4); 10x60 the second; 500x500 none (500 / 116 > 4)
    assert recall == pytest.approx(2 / 3)
    assert per_object == pytest.approx(2 / 3)
    assert anchor_fitness(sizes[:1], ANCHORS, 4.0) == pytest.approx(0.5)


def test_fitted_anchors_are_seeded_sorted_and_better():
    sizes = made_up_sizes()
    fitted = fit_anchors(sizes, 9, generations=200, seed=1)
    np.testing.assert_array_equal(fitted, fit_anchors(sizes, 9, generations=200, seed=1))
    assert (np.diff(fitted.prod(axis=1)) >= 0).all()
    plain = fit_anchors(sizes, 9, generations=0, seed=1)
    assert anchor_fitness(sizes, fitted, 4.0) > anchor_fitness(sizes, plain, 4.0) > 0.5
    assert possible_recall(sizes, fitted, 4.0)[0] > 0.95


def test_good_anchors_are_left_alone():
    head = Head([[16, 16], [30, 30], [40, 20], [20, 40], [64, 64], [100, 100]])
    before = head.anchors.clone()
    assert adapt_anchors(head, np.exp(np.random.default_rng(0).normal(3.4, 0.2, (500, 2))), 4.0) > 0.98
    assert torch.equal(head.anchors, before)


@pytest.mark.parametrize("strides", [(8, 16, 32), (32, 16, 8)])
def test_bad_anchors_are_replaced_small_ones_on_fine_levels(strides, caplog):
    caplog.set_level("INFO")
    head = Head([[0, 1], [2, 3], [4, 5]] * 2, strides)  # what 'anchors: N' stands for
    head.anchors += 0.01
    recall = adapt_anchors(head, made_up_sizes(), 4.0)
    assert recall > 0.95
    areas = head.pixels.prod(-1).mean(-1)
    assert torch.equal(areas.argsort(), torch.tensor(strides).argsort())
    assert "replaced by" in caplog.text


def test_too_few_objects_keep_the_anchors(caplog):
    caplog.set_level("INFO")
    head = Head([[1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [6, 6]])
    before = head.anchors.clone()
    assert adapt_anchors(head, np.array([[300.0, 300]]), 4.0) == 0
    assert torch.equal(head.anchors, before)
    assert "kept" in caplog.text


@pytest.mark.parametrize("levels, mean", [(3, 2.0), (3, 3.2), (4, 2.0), (4, 4.5)])
def test_poor_anchors_are_recomputed_for_every_level(levels, mean):
    """As given ones for large objects, too: small to large over the levels, recall above the threshold."""
    strides = (4, 8, 16, 32)[-levels:]
    rng = np.random.default_rng(1)
    sizes = np.exp(rng.normal(mean, 0.6, (3000, 1)) + rng.normal(0, 0.25, (3000, 2)))
    sizes = sizes[(sizes > 2).all(axis=1)]
    head = Head([[300, 300], [400, 300], [300, 500]] * levels, strides)
    assert adapt_anchors(head, sizes, 4.0) > 0.98
    areas = head.pixels.prod(-1).flatten()
    assert (areas.diff() >= 0).all()
    served = [possible_recall(sizes, level.double().numpy(), 4.0)[0] for level in head.pixels]
    assert min(served) > 0.05  # no level is left without objects


def test_placeholders_are_replaced_even_where_they_seem_to_fit():
    """'anchors: 3' is 0x1, 2x3, 4x5 on each level: tiny objects fit the last two, but the first has no width."""
    head = Head([[0, 1], [2, 3], [4, 5]] * 4, (4, 8, 16, 32))
    sizes = np.random.default_rng(0).uniform(2, 8, (500, 2))
    assert possible_recall(sizes, np.array([[2.0, 3], [4, 5]]), 4.0)[0] > 0.98
    assert adapt_anchors(head, sizes, 4.0) > 0.98
    assert head.pixels.min() >= 2 - 1e-5
    assert (head.pixels.prod(-1).flatten().diff() >= -1e-4).all()


@pytest.mark.parametrize("sizes", [np.zeros((0, 2)), np.array([[20.0, 30], [9, 9]])])
def test_placeholders_without_enough_objects_become_squares_of_their_level(sizes):
    head = Head([[0, 1], [2, 3], [4, 5]] * 3)
    adapt_anchors(head, sizes, 4.0)
    torch.testing.assert_close(head.anchors[..., 0], head.anchors[..., 1])
    torch.testing.assert_close(head.anchors[:, [0, 2], 0], torch.tensor([[1.5, 5.0]] * 3))
