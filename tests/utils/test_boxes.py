from pathlib import Path

import numpy as np
import pytest
import torch

from utils import boxes

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("make", [np.array, torch.tensor])
@pytest.mark.parametrize("shape", [(0, 4), (3, 4), (2, 3, 4)])
def test_formats_turn_into_each_other(make, shape):
    corners = make(np.random.RandomState(0).rand(*shape))
    back = boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(corners))
    assert type(back) is type(corners) and back.shape == corners.shape
    np.testing.assert_allclose(np.asarray(back), np.asarray(corners), atol=1e-12)


def test_formats_by_hand():
    assert boxes.xyxy_to_xywh(np.array([10, 20, 30, 60.0])).tolist() == [20, 40, 20, 40]
    assert boxes.xywh_to_xyxy(np.array([20, 40, 20, 40.0])).tolist() == [10, 20, 30, 60]


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_clipping_knows_height_from_width(make):
    assert boxes.clip_boxes(make([[-5.0, -5, 500, 500]]), 100, 200).tolist() == [[0, 0, 200, 100]]
    assert boxes.clip_boxes(make(np.empty((0, 4))), 100, 200).shape == (0, 4)


def test_scaling_back_undoes_a_letterbox():
    """480 x 640 in 320 x 320: ratio 0.5, 40 pixels of border above."""
    assert boxes.scale_boxes(np.array([[10, 50, 20, 60.0]]), (320, 320), (480, 640)).tolist() == [[20, 20, 40, 40]]


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_paired_overlap_equals_the_reference(kind):
    golden = np.load(GOLDEN / "iou.npz")
    first, second = (torch.from_numpy(golden[name]) for name in ("a_xywh", "b_xywh"))
    found = boxes.bbox_iou(first, second, kind)
    np.testing.assert_allclose(found.numpy(), golden[kind].squeeze(1), atol=1e-9)


def test_all_pairs_agree_with_paired_overlap():
    golden = np.load(GOLDEN / "iou.npz")
    first, second = (boxes.xywh_to_xyxy(torch.from_numpy(golden[name])) for name in ("a_xywh", "b_xywh"))
    np.testing.assert_allclose(boxes.box_iou(first, second).diagonal().numpy(), golden["iou"].squeeze(1), atol=1e-9)
    assert boxes.box_iou(first, second[:0]).shape == (200, 0)


def test_overlap_of_points_is_a_number():
    point = torch.zeros(1, 4, requires_grad=True)
    for kind in ("iou", "giou", "diou", "ciou"):
        assert boxes.bbox_iou(point, torch.zeros(1, 4), kind).isfinite().all()


def test_unknown_kind():
    with pytest.raises(ValueError, match="siou"):
        boxes.bbox_iou(torch.zeros(1, 4), torch.zeros(1, 4), "siou")
