"""Four pictures on one canvas, seen through a random perspective: planned first, then drawn straight from the sources.

Stock YOLOv5 resizes four pictures, pastes them on a canvas of twice the size and warps that. Here a plan only says
where each picture would lie; its pixels go from the (possibly reduced) source to the output in one step.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from data.augment import magnification
from data.images import resized_shape
from utils.letterbox import GREY, fit
from utils.regions import cut

Reader = Callable[[int, float], tuple[np.ndarray, tuple[float, float]]]
PIXEL = 0.5  # a pixel with index i covers i - 0.5 to i + 0.5


@dataclass(frozen=True)
class Tile:
    """Where a picture lies on the canvas, in canvas pixels.

    index = which picture; shape = its (height, width) there; offset = (x, y) of its left top pixel; region = x1, y1,
    x2, y2 of the part that the canvas shows; pad = (x, y) of its left top corner for the boxes (may be half pixels).
    """

    index: int
    shape: tuple[int, int]
    offset: tuple[int, int]
    region: tuple[int, int, int, int]
    pad: tuple[float, float]


def plan_mosaic(indices: Sequence[int], shapes: np.ndarray, size: int, rng: np.random.Generator) -> list[Tile]:
    """Four pictures around a random centre (within the middle quarter) of a canvas of 2 size x 2 size: left above,
    right above, left below, right below, each touching the centre with a corner and cut at the canvas' edge."""
    centre_y, centre_x = (int(value) for value in rng.uniform(size / 2, 3 * size / 2, 2))
    tiles = []
    for place, index in enumerate(indices):
        height, width = shape = resized_shape(shapes[index], size)
        x = centre_x if place % 2 else centre_x - width
        y = centre_y if place >= 2 else centre_y - height
        region = max(x, 0), max(y, 0), min(x + width, 2 * size), min(y + height, 2 * size)
        tiles.append(Tile(int(index), shape, (x, y), region, (x, y)))
    return tiles


def plan_single(index: int, shapes: np.ndarray, size: int, canvas: tuple[int, int]) -> Tile:
    """One picture letterboxed on a (height, width) canvas."""
    plan = fit(resized_shape(shapes[index], size), canvas, auto=False)
    left, top = round(plan.pad[0] - 0.1), round(plan.pad[1] - 0.1)
    width, height = canvas[1] - round(2 * plan.pad[0]), canvas[0] - round(2 * plan.pad[1])
    return Tile(int(index), (height, width), (left, top), (left, top, left + width, top + height), plan.pad)


def tile_boxes(tile: Tile, labels: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """(n, 5) class, cx, cy, w, h in parts of the picture -> class, x1, y1, x2, y2 on the canvas, cut to it."""
    sides = np.array([tile.shape[1], tile.shape[0]], np.float32)
    centre, half = labels[:, 1:3] * sides, labels[:, 3:5] * sides / 2
    pad, limits = np.array(tile.pad, np.float32), np.array([canvas[1], canvas[0]], np.float32)
    low, high = (centre - half + pad).clip(0, limits), (centre + half + pad).clip(0, limits)
    return np.concatenate((labels[:, :1], low, high), 1)


def tile_regions(tile: Tile, regions: np.ndarray) -> np.ndarray:
    """(m, 4) cx, cy, w, h in parts of the picture -> (k, 4) x1, y1, x2, y2 on the canvas, cut to what it shows of the
    picture."""
    sides, pad = np.array(tile.shape[::-1], np.float64), np.array(tile.pad, np.float64)
    centre, half = regions[:, :2] * sides + pad, regions[:, 2:] * sides / 2
    return cut(np.concatenate((centre - half, centre + half), 1), tile.region)


def draw(
    tiles: Sequence[Tile], matrix: np.ndarray, size: tuple[int, int], shapes: np.ndarray, read: Reader
) -> np.ndarray:
    """The (height, width, 3) picture that `matrix` makes of a canvas with these tiles; grey where nothing lies.

    read(index, magnification) returns a picture, decoded as small as that allows, and its pixels' (x, y) size in
    original pixels. Tiles that do not reach the picture are not read.
    """
    image = np.full((*size, 3), GREY[0], np.uint8)
    for tile in tiles:
        x1, y1, x2, y2 = (value - PIXEL for value in tile.region)
        if x2 <= x1 or y2 <= y1:
            continue
        corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
        outline = _project(matrix, corners)
        area = _covered(outline, size)
        if area is None:
            continue
        height, width = shapes[tile.index]
        ratio = tile.shape[1] / width, tile.shape[0] / height
        source, step = read(tile.index, magnification(matrix, corners) * max(ratio))
        place = matrix @ _placement(tile.offset, (ratio[0] * step[0], ratio[1] * step[1]))
        if _is_upright(matrix):
            paint_upright(image, source, place, area)
        else:
            paint_slanting(image, source, place, area, outline)
    return image


def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = np.concatenate((points, np.ones((len(points), 1))), 1) @ matrix.T
    return moved[:, :2] / moved[:, 2:]


def _covered(outline: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The pixels x1, y1, x2, y2 (ends not included) whose centres lie in the outline's upright hull."""
    low, high = np.ceil(outline.min(0)), np.ceil(outline.max(0))
    x1, y1, x2, y2 = max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), size[1]), min(int(high[1]), size[0])
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _placement(offset: tuple[int, int], step: tuple[float, float]) -> np.ndarray:
    """From pixel indices of a source to those of the canvas, one source pixel being `step` canvas pixels; pixel centres
    lie in the middle of their pixel, as in a resize."""
    return np.array(
        [
            [step[0], 0, PIXEL * step[0] - PIXEL + offset[0]],
            [0, step[1], PIXEL * step[1] - PIXEL + offset[1]],
            [0, 0, 1],
        ]
    )


def _is_upright(matrix: np.ndarray) -> bool:
    return not (matrix[0, 1] or matrix[1, 0] or matrix[2, 0] or matrix[2, 1])


def paint_upright(image: np.ndarray, source: np.ndarray, place: np.ndarray, area: tuple[int, int, int, int]) -> None:
    """Warp `source`, only scaled and shifted, into image[area], edge pixels continued outwards.

    The part that lies between the centres of the source's pixels is warped, which OpenCV does faster than any kind of
    border, and its rim repeated up to half a source pixel outwards.
    """
    left, top, right, bottom = area
    x1, x2 = _between_centres(place[0, 0], place[0, 2], source.shape[1], (left, right))
    y1, y2 = _between_centres(place[1, 1], place[1, 2], source.shape[0], (top, bottom))
    if x1 >= x2 or y1 >= y2:
        shifted = _shifted(place, (left, top))[:2]
        _warp(cv2.warpAffine, source, shifted, image[top:bottom, left:right], cv2.BORDER_REPLICATE)
        return
    _warp(cv2.warpAffine, source, _shifted(place, (x1, y1))[:2], image[y1:y2, x1:x2], cv2.BORDER_CONSTANT)
    image[y1:y2, left:x1] = image[y1:y2, x1 : x1 + 1]
    image[y1:y2, x2:right] = image[y1:y2, x2 - 1 : x2]
    image[top:y1, left:right] = image[y1, left:right]
    image[y2:bottom, left:right] = image[y2 - 1, left:right]


def _between_centres(scale: float, shift: float, count: int, limits: tuple[int, int]) -> tuple[int, int]:
    """The part of `limits` that lies between the centres of the first and the last of `count` scaled pixels."""
    low, high = sorted((shift, shift + scale * (count - 1)))
    return max(math.ceil(low), limits[0]), min(math.floor(high) + 1, limits[1])


def paint_slanting(
    image: np.ndarray, source: np.ndarray, place: np.ndarray, area: tuple[int, int, int, int], outline: np.ndarray
) -> None:
    """Warp `source` into image[area], only inside the outline (4, 2)."""
    x1, y1, x2, y2 = area
    target = image[y1:y2, x1:x2]
    warped, mask = np.empty_like(target), np.zeros(target.shape[:2], np.uint8)
    _warp(cv2.warpPerspective, source, _shifted(place, (x1, y1)), warped, cv2.BORDER_REPLICATE)
    cv2.fillConvexPoly(mask, np.round((outline - (x1, y1)) * 16).astype(np.int32), 255, shift=4)
    cv2.copyTo(warped, mask, target)


def _shifted(place: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    return np.array([[1, 0, -origin[0]], [0, 1, -origin[1]], [0, 0, 1]]) @ place


def _warp(function: Callable, source: np.ndarray, place: np.ndarray, target: np.ndarray, border: int) -> None:
    function(source, place, target.shape[1::-1], dst=target, flags=cv2.INTER_LINEAR, borderMode=border)
