"""Test-time augmentation: one network, three sizes, one of them mirrored."""

import math

import torch
from torch.nn import functional

SCALES = (1.0, 0.83, 0.67)
MIRRORED = (False, True, False)
GREY = 0.447  # the mean of ImageNet, as stock pads with


def predict_augmented(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) -> (B, N, 5+nc) in pixels of `images`: the boxes of all three passes together.

    The full-size pass leaves out the level of the largest stride and the smallest pass that of the smallest stride:
    large objects are better seen small, and small ones large.
    """
    passes = []
    for number, (scale, mirrored) in enumerate(zip(SCALES, MIRRORED)):
        raw = model(_rescale(images.flip(3) if mirrored else images, scale, model.max_stride))
        boxes = _decode_some(model, raw, first=number == 0, last=number == len(SCALES) - 1)
        passes.append(_map_back(boxes, scale, images.shape[3] if mirrored else None))
    return torch.cat(passes, 1)


def _rescale(images: torch.Tensor, scale: float, stride: int) -> torch.Tensor:
    """Resize by `scale` and pad with grey to multiples of the stride."""
    if scale == 1.0:
        return images
    height, width = images.shape[2:]
    size = int(height * scale), int(width * scale)
    small = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
    target = [math.ceil(side * scale / stride) * stride for side in (height, width)]
    return functional.pad(small, (0, target[1] - size[1], 0, target[0] - size[0]), value=GREY)


def _decode_some(model: torch.nn.Module, raw: list[torch.Tensor], *, first: bool, last: bool) -> torch.Tensor:
    order = sorted(range(len(raw)), key=lambda i: model.strides[i])
    levels = order[:-1] if first else order[1:] if last else order
    return model.head.decode(raw, levels=sorted(levels))


def _map_back(boxes: torch.Tensor, scale: float, mirror_width: int | None) -> torch.Tensor:
    x, y, size, rest = boxes[..., :1] / scale, boxes[..., 1:2] / scale, boxes[..., 2:4] / scale, boxes[..., 4:]
    x = x if mirror_width is None else mirror_width - x
    return torch.cat((x, y, size, rest), -1)
