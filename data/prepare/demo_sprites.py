"""Small pictures of things seen from above, and the brush that draws them.

A sprite knows no colour: its four channels say how much of a first paint, of a second paint and of plain grey a
pixel holds, and how much of the ground it covers. Any class can therefore wear any paint.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

SPRITE_PX = 32  # pixels per unit on the finest level; a unit is a metre compressed to about metre ** 0.75
LEVELS = 5  # 32, 16, 8, 4 and 2 pixels per unit
SHIFT = 4  # sub-pixel bits of OpenCV's drawing functions
MARGIN = 0.5  # units of empty border, one pixel on the coarsest level, so that no outline touches the rim


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Float pixel positions (..., 2) -> int32 with SHIFT fractional bits, as OpenCV's drawing functions take them."""
    return np.rint(np.asarray(points) * (1 << SHIFT)).astype(np.int32)


def paint(level: int, gloss: int = 0) -> tuple:
    """Tone: `level` of the first paint plus `gloss` of grey, each 0..255, together at most 255."""
    return level, 0, gloss, 255


def trim(level: int, gloss: int = 0) -> tuple:
    """Tone: `level` of the second paint plus `gloss` of grey."""
    return 0, level, gloss, 255


def grey(level: int) -> tuple:
    """Tone: plain grey without any paint."""
    return 0, 0, level, 255


class Brush:
    """Draws one sprite. Lengths in units; x points forward, y to the side, the origin is the canvas centre."""

    def __init__(self, length: float, width: float):
        grid = 1 << (LEVELS - 1)  # every level must hold a whole number of pixels
        rows, columns = (int(np.ceil((side + 2 * MARGIN) * SPRITE_PX / grid)) * grid for side in (width, length))
        self.canvas = np.zeros((rows, columns, 4), np.uint8)
        self._centre = np.array([columns, rows]) / 2 - 0.5

    def polygon(self, points, tone: tuple) -> None:
        """Fill a polygon (k, 2)."""
        pixels = np.asarray(points, float) * SPRITE_PX + self._centre
        cv2.fillPoly(self.canvas, [fixed_point(pixels)], tone, cv2.LINE_AA, SHIFT)

    def box(self, x: tuple, y: tuple, tone: tuple, cut: float = 0.0) -> None:
        """Fill the rectangle x[0]..x[1], y[0]..y[1], its corners cut off by `cut`."""
        (x0, x1), (y0, y1) = x, y
        if not cut:
            self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], tone)
            return
        self.polygon(
            [
                (x0 + cut, y0),
                (x1 - cut, y0),
                (x1, y0 + cut),
                (x1, y1 - cut),
                (x1 - cut, y1),
                (x0 + cut, y1),
                (x0, y1 - cut),
                (x0, y0 + cut),
            ],
            tone,
        )

    def disc(self, x: float, y: float, radii: tuple, tone: tuple) -> None:
        """Fill an ellipse with half axes `radii` along x and y."""
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.polygon(np.stack([x + radii[0] * np.cos(turn), y + radii[1] * np.sin(turn)], 1), tone)

    def bar(self, start: tuple, end: tuple, thickness: float, tone: tuple) -> None:
        """Draw a thick straight stroke."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        along = (end - start) / max(np.hypot(*(end - start)), 1e-9)
        side = np.array([-along[1], along[0]]) * thickness / 2
        self.polygon([start + side, end + side, end - side, start - side], tone)


@dataclass(frozen=True)
class Sprite:
    """levels: (h, w, 4) uint8 each, weights already multiplied by the cover; height: units, for the shadow."""

    levels: tuple
    height: float

    @classmethod
    def from_canvas(cls, canvas: np.ndarray, height: float) -> "Sprite":
        """Build the coarser levels, each pixel the mean of four."""
        levels = [canvas]
        for _ in range(LEVELS - 1):
            rows, columns = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], (columns // 2, rows // 2), interpolation=cv2.INTER_AREA))
        return cls(tuple(levels), height)

    @cached_property
    def hull(self) -> np.ndarray:
        """Convex outline (k, 2) float64 in units about the sprite's centre."""
        cover = self.levels[0][..., 3]
        hull = cv2.convexHull(cv2.findNonZero((cover > 127).astype(np.uint8)))
        hull = cv2.approxPolyDP(hull, 0.6, True)[:, 0].astype(float)
        return (hull - (np.array(cover.shape[::-1]) / 2 - 0.5)) / SPRITE_PX

    @cached_property
    def radius(self) -> float:
        """Distance of the outline's farthest point from the centre, units."""
        return float(np.hypot(*self.hull.T).max())
