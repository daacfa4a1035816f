"""Fitting a picture into a given size with its aspect ratio kept, and the way back."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from utils.boxes import Array, unletterbox
from utils.errors import LOG, UserError

GREY = (114, 114, 114)


@dataclass(frozen=True)
class Letterbox:
    """Where a picture lies in its letterboxed copy.

    original and size are (height, width) in pixels; ratio is (x, y) size over original; pad is (left, top) in
    letterboxed pixels, possibly half ones.
    """

    original: tuple[int, int]
    size: tuple[int, int]
    ratio: tuple[float, float]
    pad: tuple[float, float]

    def invert(self, boxes: Array) -> Array:
        """xyxy boxes (..., 4) of the letterboxed picture -> boxes of the original one, clipped to it."""
        return unletterbox(boxes, self.ratio, self.pad, self.original)

    def crop(self, picture: np.ndarray) -> np.ndarray:
        """The part of a letterboxed (H, W, ...) picture that the original one fills; a view."""
        (left, right), (top, bottom) = _split(self.pad[0]), _split(self.pad[1])
        return picture[top : self.size[0] - bottom, left : self.size[1] - right]


def fit(
    shape: tuple[int, int], new: int | tuple[int, int], *, stride: int = 32, auto: bool = True, scaleup: bool = True
) -> Letterbox:
    """Plan a letterbox of a (height, width) picture into `new` (one number = a square).

    auto: pad each side only up to the next multiple of `stride` (the smallest rectangle), not up to `new`.
    scaleup: also enlarge smaller pictures.
    """
    target = (new, new) if isinstance(new, int) else (new[0], new[1])
    ratio = min(target[0] / shape[0], target[1] / shape[1])
    ratio = ratio if scaleup else min(ratio, 1.0)
    inner = tuple(max(round(side * ratio), 1) for side in shape)
    spare = [outer - side for outer, side in zip(target, inner)]
    if auto:
        spare = [rest % stride for rest in spare]
    size = (inner[0] + spare[0], inner[1] + spare[1])
    return Letterbox((shape[0], shape[1]), size, (ratio, ratio), (spare[1] / 2, spare[0] / 2))


def apply(image: np.ndarray, plan: Letterbox) -> np.ndarray:
    """Return the (H, W, 3) uint8 picture letterboxed as planned, (size[0], size[1], 3), borders grey."""
    left, right = _split(plan.pad[0])
    top, bottom = _split(plan.pad[1])
    width, height = plan.size[1] - left - right, plan.size[0] - top - bottom
    if image.shape[:2] != (height, width):
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if left or right or top or bottom:
        image = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=GREY)
    return image


def check_image_size(size: int | tuple[int, ...], stride: int) -> tuple[int, int]:
    """Return (height, width), each at least `stride` and rounded up to a multiple of it; says so when it rounds.

    Raises `UserError` for a side below 1.
    """
    given = (size, size) if isinstance(size, int) else (size[0], size[-1])
    if min(given) < 1:
        raise UserError(f"--imgsz {min(given)}: is no image size; give a number of pixels such as 640")
    rounded = tuple(max(math.ceil(side / stride), 1) * stride for side in given)
    if rounded != given:
        LOG.warning("image size %s must be a multiple of the stride %d: %s is used", list(given), stride, list(rounded))
    return rounded


def _split(pad: float) -> tuple[int, int]:
    """An even split of the padding; a half pixel goes to the right or bottom."""
    return round(pad - 0.1), round(pad + 0.1)
