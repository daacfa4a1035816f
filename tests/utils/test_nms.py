import json
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.nms import MAX_CANDIDATES, non_max_suppression

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = json.loads((GOLDEN / "nms_cases.json").read_text())


def candidate(x, y, w, h, objectness, *classes):
    return [x, y, w, h, objectness, *classes]


@pytest.mark.parametrize("shape", [(0, 10, 7), (2, 0, 7), (1, 0, 6)])
def test_nothing_in_nothing_out(shape):
    found = non_max_suppression(torch.zeros(shape), multi_label=True)
    assert [tuple(rows.shape) for rows in found] == [(0, 6)] * shape[0]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_equals_the_reference(number):
    with np.load(GOLDEN / "nms.npz") as golden:
        found = non_max_suppression(torch.from_numpy(golden[f"c{number}_pred"]), **CASES[number])
        for image, rows in enumerate(found):
            assert rows.dtype == torch.float32
            np.testing.assert_array_equal(rows.numpy(), golden[f"c{number}_out{image}"])


def test_input_is_left_alone_and_batch_does_not_matter():
    torch.manual_seed(0)
    pred = torch.rand(3, 200, 8) * torch.tensor([600.0, 600, 60, 60, 1, 1, 1, 1])
    before = pred.clone()
    together = non_max_suppression(pred, 0.1, multi_label=True)
    assert torch.equal(pred, before)
    for image, rows in zip(pred, together):
        assert torch.equal(non_max_suppression(image[None], 0.1, multi_label=True)[0], rows)


def test_objectness_and_confidence_must_both_pass():
    pred = torch.tensor([[candidate(10, 10, 4, 4, 0.9, 0.2), candidate(50, 10, 4, 4, 0.2, 0.9)]])
    assert len(non_max_suppression(pred, 0.17)[0]) == 2
    assert len(non_max_suppression(pred, 0.19)[0]) == 0
    only = non_max_suppression(torch.tensor([[candidate(10, 20, 4, 6, 0.8, 0.5)]]), 0.3)[0]
    torch.testing.assert_close(only, torch.tensor([[8.0, 17.0, 12.0, 23.0, 0.4, 0.0]]))


def test_one_class_takes_no_second_label():
    pred = torch.tensor([[candidate(10, 10, 4, 4, 1, 0.9)]])
    assert len(non_max_suppression(pred, multi_label=True)[0]) == 1


def test_multi_label_counts_every_class_and_agnostic_lets_one_through():
    pred = torch.tensor([[candidate(10, 10, 8, 8, 1, 0.9, 0.6, 0.1)]])
    assert non_max_suppression(pred, multi_label=True)[0][:, 5].tolist() == [0, 1]
    assert non_max_suppression(pred, multi_label=True, agnostic=True)[0][:, 5].tolist() == [0]
    assert non_max_suppression(pred, multi_label=True, classes=[1, 99])[0][:, 5].tolist() == [1]
    assert len(non_max_suppression(pred, classes=[1])[0]) == 0  # its best class is 0
    assert len(non_max_suppression(pred, classes=[])[0]) == 0


def test_nan_and_infinite_candidates_are_dropped():
    nan, inf = float("nan"), float("inf")
    bad = [candidate(nan, 1, 4, 4, 1, 1), candidate(1, 1, inf, 4, 1, 1), candidate(1, 1, 4, 4, nan, 1)]
    bad += [candidate(1, 1, 4, 4, 1, nan)]
    good = candidate(50, 50, 4, 4, 0.9, 1)
    for multi_label in (False, True):
        found = non_max_suppression(torch.tensor([[*bad, good]]), multi_label=multi_label)[0]
        assert found[:, 4].tolist() == pytest.approx([0.9])


def test_half_precision_keeps_high_classes_apart():
    pred = torch.zeros(1, 2, 5 + 80, dtype=torch.float16)
    pred[0, :, :5] = torch.tensor([100.0, 100, 20, 20, 1])
    pred[0, 0, 5 + 78], pred[0, 1, 5 + 79] = 0.9, 0.8
    assert non_max_suppression(pred)[0][:, 5].tolist() == [78, 79]


def test_a_long_tail_is_searched_when_the_first_candidates_are_one_object():
    """5000 copies of one box hide a second, weaker one: the prefix that is tried first must not be the end."""
    pred = torch.tensor([candidate(100, 100, 50, 50, 0.9, 1)]).repeat(5000, 1)
    weak = torch.tensor([candidate(300, 300, 50, 50, 0.5, 1)])
    found = non_max_suppression(torch.cat((weak, pred))[None], max_det=10)[0]
    assert found[:, 4].tolist() == pytest.approx([0.9, 0.5])


def test_no_more_than_the_most_confident_candidates_are_looked_at():
    count = MAX_CANDIDATES + 10
    pred = torch.tensor([candidate(100, 100, 50, 50, 0.9, 1)]).repeat(count, 1)
    pred[-1] = torch.tensor(candidate(300, 300, 50, 50, 0.5, 1))
    assert len(non_max_suppression(pred[None])[0]) == 1
    assert len(non_max_suppression(pred[20:][None])[0]) == 2


@pytest.mark.parametrize("thresholds", [(-0.1, 0.5), (1.1, 0.5), (0.5, 2)])
def test_thresholds_outside_0_to_1_are_refused(thresholds):
    with pytest.raises(ValueError, match="0..1"):
        non_max_suppression(torch.zeros(1, 1, 6), *thresholds)
