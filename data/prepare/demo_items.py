"""A sprite at a place: the pixels it takes and how it is drawn into a picture."""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from data.prepare.demo_sprites import LEVELS, SHIFT, SPRITE_PX, Sprite, fixed_point


@dataclass(frozen=True)
class Stamp:
    """The pixels (h, w) uint8 0/1 of an outline, its corner at (left, top) in the picture, maybe outside it."""

    left: int
    top: int
    mask: np.ndarray
    area: int

    @classmethod
    def of(cls, outline: np.ndarray) -> "Stamp":
        """Rasterise a convex outline (k, 2) int32 with SHIFT fractional bits."""
        left, top, columns, rows = whole_pixels(outline)
        mask = np.zeros((rows, columns), np.uint8)
        cv2.fillConvexPoly(mask, outline - np.array((left << SHIFT, top << SHIFT), np.int32), 1, cv2.LINE_8, SHIFT)
        return cls(left, top, mask, cv2.countNonZero(mask))

    def on(self, canvas: np.ndarray) -> tuple:
        """(view of the canvas, mask of the same size): the part of the stamp that lies on the canvas."""
        rows, columns = self.mask.shape
        x0, y0 = max(self.left, 0), max(self.top, 0)
        x1, y1 = max(min(self.left + columns, canvas.shape[1]), x0), max(min(self.top + rows, canvas.shape[0]), y0)
        return canvas[y0:y1, x0:x1], self.mask[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left]


@dataclass(frozen=True)
class Item:
    """A sprite in a picture: x, y in pixels, angle in radians (picture axes), scale in pixels per unit."""

    sprite: Sprite
    category: int
    x: float
    y: float
    angle: float
    scale: float
    paints: np.ndarray  # (2, 3) BGR 0..255

    @cached_property
    def matrix(self) -> np.ndarray:
        """(2, 2): units of the sprite -> pixels."""
        cos, sin = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        return np.array([[cos, -sin], [sin, cos]])

    @cached_property
    def outline(self) -> np.ndarray:
        """Convex outline (k, 2) int32 in pixels with SHIFT fractional bits; may reach beyond the picture."""
        return fixed_point(self.sprite.hull @ self.matrix.T + (self.x, self.y))

    @cached_property
    def stamp(self) -> Stamp:
        """The pixels inside the outline."""
        return Stamp.of(self.outline)


def whole_pixels(outline: np.ndarray) -> tuple:
    """left, top, width, height of the pixels that a fixed-point outline touches."""
    x, y, width, height = cv2.boundingRect(outline)
    left, top = x >> SHIFT, y >> SHIFT
    return left, top, ((x + width) >> SHIFT) - left + 2, ((y + height) >> SHIFT) - top + 2


def fill_mask(mask: np.ndarray, outline: np.ndarray, value: int = 1) -> None:
    """Write `value` wherever a convex fixed-point outline (k, 2) covers the mask."""
    cv2.fillConvexPoly(mask, outline, value, cv2.LINE_8, SHIFT)


def swept(outline: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Convex fixed-point outline of all that an outline touches while it moves by `way` pixels."""
    return cv2.convexHull(np.concatenate([outline, outline + fixed_point(way)]))[:, 0]


def blit(image: np.ndarray, item: Item, light: float = 1.0, softness: int = 0) -> None:
    """Draw the item into image (H, W, 3) uint8; light 0..1 darkens it, softness takes a coarser (blurred) level."""
    height, width = image.shape[:2]
    x, y, columns, rows = whole_pixels(item.outline)
    left, top, right, bottom = max(x - 1, 0), max(y - 1, 0), min(x + columns + 1, width), min(y + rows + 1, height)
    if left >= right or top >= bottom:
        return
    level = min(max(int(math.log2(SPRITE_PX / item.scale)), 0) + softness, LEVELS - 1)
    source = item.sprite.levels[level]
    rows, columns = source.shape[:2]
    step = 2.0**level / SPRITE_PX
    (a, b), (c, d) = (item.matrix * step).tolist()
    middle_x, middle_y = columns / 2 - 0.5, rows / 2 - 0.5
    place = np.array(
        [[a, b, item.x - left - a * middle_x - b * middle_y], [c, d, item.y - top - c * middle_x - d * middle_y]]
    )
    patch = cv2.warpAffine(source, place, (right - left, bottom - top))
    mixer = np.zeros((4, 4), np.float32)  # 4 x 4, because OpenCV is three times as fast with it as with 3 x 4
    mixer[:3, :2] = item.paints.T * (light / 255)
    mixer[:3, 2] = light
    mixer[3, 3] = 1
    patch = cv2.transform(patch, mixer)
    uncovered = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(patch, 3)), cv2.COLOR_GRAY2BGR)
    view = image[top:bottom, left:right]
    view[:] = cv2.add(cv2.multiply(view, uncovered, scale=1 / 255), cv2.cvtColor(patch, cv2.COLOR_BGRA2BGR))
