import numpy as np
import pytest

from data.samplers import EpochBatches, by_aspect, class_weights, image_weights


def indices(order, epoch=0):
    order.epoch = epoch
    return [[pick.index for pick in batch] for batch in order]


def test_no_pictures():
    order = EpochBatches(0, 4, shuffle=True)
    assert len(order) == 0 and list(order) == []


@pytest.mark.parametrize("count, batches", [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_nothing_is_dropped(count, batches):
    order = EpochBatches(count, 4, shuffle=True)
    found = indices(order)
    assert len(order) == len(found) == batches
    assert sorted(sum(found, [])) == list(range(count))
    assert all(len(batch) == 4 for batch in found[:-1])


def test_the_order_comes_from_seed_and_epoch():
    first = indices(EpochBatches(50, 4, shuffle=True, seed=1), epoch=3)
    order = EpochBatches(50, 4, shuffle=True, seed=1)
    assert indices(order, 0) != indices(order, 1)
    assert indices(order, 3) == first != indices(EpochBatches(50, 4, shuffle=True, seed=2), 3)
    order.epoch = 7
    assert {pick.epoch for batch in order for pick in batch} == {7}


def test_a_given_order_is_kept():
    order = EpochBatches(5, 2, shuffle=False, order=np.array([4, 2, 0, 1, 3]))
    assert indices(order) == indices(order, 1) == [[4, 2], [0, 1], [3]]
    assert [batch.tolist() for batch in order.batches()] == [[4, 2], [0, 1], [3]]
    shapes = np.array([(10, 20), (10, 10), (30, 10), (10, 10)])
    assert by_aspect(shapes).tolist() == [0, 1, 3, 2]


def test_weights():
    order = EpochBatches(10, 4, shuffle=True)
    order.set_weights(np.array([0, 0, 3, 1, 0, 0, 0, 0, 0, 0]))
    picks = [pick for epoch in range(100) for order.epoch in [epoch] for batch in order for pick in batch]
    drawn = [pick.index for pick in picks]
    assert len(drawn) == 1000 and set(drawn) == {2, 3} and 680 < drawn.count(2) < 820
    assert {partner for pick in picks for partner in pick.partners} == {2, 3}
    for epoch in range(3):
        repeats = [pick.repeat for pick in picks if pick.epoch == epoch and pick.index == 2]
        assert repeats == list(range(len(repeats)))


@pytest.mark.parametrize("weights", [[0, 0], [1, 2, 3], [1, float("nan")]])
def test_weights_that_make_no_sense(weights):
    with pytest.raises(ValueError, match="2 finite weights"):
        EpochBatches(2, 1, shuffle=True).set_weights(np.array(weights))


def test_class_and_image_weights():
    labels = [np.float32([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]]), np.zeros((0, 5), np.float32)]
    weights = class_weights(labels, 3)
    np.testing.assert_allclose(weights, np.array([0.5, 1, 1]) / 2.5)
    np.testing.assert_allclose(image_weights(labels, weights), [0.4 + 0.4, 0])
    assert image_weights([], weights).shape == (0,)
