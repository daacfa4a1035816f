"""Box arithmetic. Every function is pure and takes torch tensors or numpy arrays with the boxes on the last axis.

Formats: xyxy = left, top, right, bottom; xywh = centre x, centre y, width, height.
"""

import math
from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", torch.Tensor, np.ndarray)
EPS = 1e-7


def xywh_to_xyxy(boxes: Array) -> Array:
    """(..., 4) centre format to corner format."""
    centre, half = boxes[..., :2], boxes[..., 2:4] / 2
    return _join(centre - half, centre + half)


def xyxy_to_xywh(boxes: Array) -> Array:
    """(..., 4) corner format to centre format."""
    low, high = boxes[..., :2], boxes[..., 2:4]
    return _join((low + high) / 2, high - low)


def clip_boxes(boxes: Array, height: float, width: float) -> Array:
    """xyxy boxes cut to the picture: x in 0..width, y in 0..height."""
    clip = torch.clamp if isinstance(boxes, torch.Tensor) else np.clip
    parts = [clip(boxes[..., i : i + 1], 0, limit) for i, limit in enumerate((width, height, width, height))]
    return _join(*parts)


def scale_boxes(boxes: Array, from_shape: tuple[int, int], to_shape: tuple[int, int]) -> Array:
    """xyxy boxes of a letterboxed picture back in the original one, clipped to it; shapes are (height, width).

    The ratio is what fills `from_shape`. A letterbox that was told not to enlarge used another one: `unletterbox` takes
    what it really was.
    """
    ratio = min(from_shape[0] / to_shape[0], from_shape[1] / to_shape[1])
    pad = (from_shape[1] - to_shape[1] * ratio) / 2, (from_shape[0] - to_shape[0] * ratio) / 2
    return unletterbox(boxes, (ratio, ratio), pad, to_shape)


def unletterbox(boxes: Array, ratio: tuple[float, float], pad: tuple[float, float], shape: tuple[int, int]) -> Array:
    """xyxy boxes of a letterboxed picture back in the original one, clipped to it.

    ratio = (x, y) original -> letterboxed; pad = (left, top) in letterboxed pixels; shape = original (height, width).
    """
    parts = [(boxes[..., i : i + 1] - pad[i % 2]) / ratio[i % 2] for i in range(4)]
    return clip_boxes(_join(*parts), *shape)


def box_area(boxes: Array) -> Array:
    """Areas of xyxy boxes."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_iou(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """(n, 4) and (m, 4) xyxy boxes -> (n, m) intersection over union."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:4], second[None, :, 2:4])
    inter = (high - low).clamp(min=0).prod(-1)
    return inter / (box_area(first)[:, None] + box_area(second)[None] - inter + EPS)


def bbox_iou(first: torch.Tensor, second: torch.Tensor, kind: str = "iou") -> torch.Tensor:
    """Overlap of paired xywh boxes, (..., 4) each -> (...).

    kind: 'iou', 'giou' (arXiv 1902.09630), 'diou' or 'ciou' (arXiv 1911.08287; its trade-off weight is a constant
    for the gradient).
    """
    a, b = xywh_to_xyxy(first), xywh_to_xyxy(second)
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area_a, area_b = first[..., 2] * first[..., 3], second[..., 2] * second[..., 3]
    union = area_a + area_b - inter + EPS
    iou = inter / union
    if kind == "iou":
        return iou
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    if kind == "giou":
        hull_area = hull.prod(-1) + EPS
        return iou - (hull_area - union) / hull_area
    distance = (first[..., :2] - second[..., :2]).square().sum(-1) / (hull.square().sum(-1) + EPS)
    if kind == "diou":
        return iou - distance
    if kind != "ciou":
        raise ValueError(f"unknown kind of overlap {kind!r}: use iou, giou, diou or ciou")
    angle = [torch.atan2(box[..., 2], box[..., 3]) for box in (first, second)]
    aspect = (4 / math.pi**2) * (angle[1] - angle[0]).square()
    with torch.no_grad():
        weight = aspect / (aspect - iou + (1 + EPS))
    return iou - (distance + aspect * weight)


def _join(*parts: Array) -> Array:
    return torch.cat(parts, -1) if isinstance(parts[0], torch.Tensor) else np.concatenate(parts, -1)
