"""Random changes of pictures and boxes. Pure functions: what is random comes in as a numpy generator.

Boxes are (n, 5) rows of class, x1, y1, x2, y2 in pixels. Matrices are 3 x 3 and map (x, y, 1); as in stock YOLOv5 the
same matrix serves box edges and pixel indices.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

MIN_SIDE, MIN_AREA_LEFT, MAX_ASPECT = 2, 0.1, 100
EPS = 1e-16
MAX_HUE = 179  # of OpenCV's 8-bit HSV, steps of 2 degrees
ROUND_DOWN = 0.499  # makes rounding to the nearest cut decimals off

Hyp = Mapping[str, float]


@dataclass(frozen=True)
class View:
    """A canvas seen as a picture, both (height, width): its points go through `matrix`, which enlarges by `scale`."""

    canvas: tuple[int, int]
    size: tuple[int, int]
    matrix: np.ndarray
    scale: float


def random_view(rng: np.random.Generator, hyp: Hyp, canvas: tuple[int, int], size: tuple[int, int]) -> View:
    """A random perspective from a (height, width) canvas to a (height, width) picture.

    The canvas' centre goes to the origin; then perspective (+-hyp["perspective"]), rotation (+-hyp["degrees"]) with
    scale (1 +- hyp["scale"]), shear (+-hyp["shear"] degrees), and a shift to the picture's middle +- hyp["translate"]
    of its sides. A value that is missing counts as 0.
    """
    perspective, degrees, scaling, shear, translate = (
        hyp.get(key, 0.0) for key in ("perspective", "degrees", "scale", "shear", "translate")
    )
    centre = np.eye(3)
    centre[:2, 2] = -canvas[1] / 2, -canvas[0] / 2
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-perspective, perspective, 2)
    angle, scale = rng.uniform(-degrees, degrees), rng.uniform(1 - scaling, 1 + scaling)
    turn = np.eye(3)
    turn[:2] = cv2.getRotationMatrix2D(center=(0, 0), angle=angle, scale=scale)
    slant = np.eye(3)
    slant[0, 1], slant[1, 0] = np.tan(np.radians(rng.uniform(-shear, shear, 2)))
    shift = np.eye(3)
    shift[:2, 2] = rng.uniform(0.5 - translate, 0.5 + translate, 2) * (size[1], size[0])
    return View(canvas, size, shift @ slant @ turn @ tilt @ centre, float(scale))


def move_boxes(boxes: np.ndarray, view: View) -> np.ndarray:
    """The canvas' boxes in the picture: the upright hull of the moved corners, cut to the picture.

    Dropped are boxes with a side of 2 pixels or less, less than a tenth of their (scaled) area left, or sides 100 : 1.
    """
    if not len(boxes):
        return boxes
    x, y = boxes[:, [1, 3, 1, 3]], boxes[:, [2, 2, 4, 4]]
    moved = np.stack((x, y, np.ones_like(x)), -1).astype(np.float64) @ view.matrix.T
    points = moved[..., :2] / moved[..., 2:]
    limits = np.array(view.size[::-1])
    low, high = points.min(1).clip(0, limits), points.max(1).clip(0, limits)
    width, height = (high - low).T
    area_before = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2]) * view.scale**2
    aspect = np.maximum(width / (height + EPS), height / (width + EPS))
    keep = (width > MIN_SIDE) & (height > MIN_SIDE) & (aspect < MAX_ASPECT)
    keep &= width * height / (area_before + EPS) > MIN_AREA_LEFT
    return np.concatenate((boxes[:, :1], low, high), 1)[keep].astype(np.float32)


def magnification(matrix: np.ndarray, points: np.ndarray) -> float:
    """The largest stretch (a length after over before) that a matrix has at any of the (n, 2) points."""
    largest = 0.0
    for x, y in points if matrix[2, :2].any() else points[:1]:  # without perspective all points are alike
        u, v, w = matrix @ (x, y, 1)
        if w <= 0:
            return math.inf
        (a, b), (c, d) = ((matrix[:2, :2] - np.outer((u / w, v / w), matrix[2, :2])) / w).tolist()
        largest = max(largest, (math.hypot(a + d, c - b) + math.hypot(a - d, c + b)) / 2)  # larger singular value
    return largest


def random_hsv(image: np.ndarray, rng: np.random.Generator, hyp: Hyp) -> np.ndarray:
    """Hue, saturation and value of a BGR picture times 1 +- hyp["hsv_h"], hyp["hsv_s"], hyp["hsv_v"], in its place."""
    gains = np.array([hyp.get(key, 0.0) for key in ("hsv_h", "hsv_s", "hsv_v")])
    factors = rng.uniform(-1, 1, 3) * gains + 1
    if not gains.any():
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV, dst=image)
    if MAX_HUE * factors[0] <= 255:  # OpenCV takes hues beyond the circle, so no modulo: three times as fast
        cv2.transform(hsv, np.column_stack((np.diag(factors), [-ROUND_DOWN] * 3)), dst=hsv)
    else:
        steps = np.arange(256)[:, None] * factors
        steps = np.stack((steps[:, 0] % (MAX_HUE + 1), *steps[:, 1:].clip(0, 255).T), -1)
        cv2.LUT(hsv, steps.astype(np.uint8)[None], dst=hsv)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR, dst=hsv)


def random_flips(rng: np.random.Generator, hyp: Hyp) -> tuple[bool, bool]:
    """Whether to turn left to right (probability hyp["fliplr"]) and upside down (hyp["flipud"])."""
    across, down = rng.random(2) < (hyp.get("fliplr", 0.0), hyp.get("flipud", 0.0))
    return bool(across), bool(down)


def flip_matrix(flips: tuple[bool, bool], size: tuple[int, int]) -> np.ndarray:
    """The matrix that flips the pixel indices of a (height, width) picture."""
    matrix = np.eye(3)
    for axis, (flip, length) in enumerate(zip(flips, size[::-1])):
        if flip:
            matrix[axis, axis], matrix[axis, 2] = -1, length - 1
    return matrix


def flip_boxes(boxes: np.ndarray, flips: tuple[bool, bool], size: tuple[int, int]) -> np.ndarray:
    """The boxes of a flipped (height, width) picture."""
    boxes = boxes.copy()
    for axis, (flip, length) in enumerate(zip(flips, size[::-1])):
        if flip:
            boxes[:, [1 + axis, 3 + axis]] = length - boxes[:, [3 + axis, 1 + axis]]
    return boxes


def mixup(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two (image, boxes) of one size shown through each other in parts drawn from Beta(32, 32); arXiv 1710.09412."""
    part = rng.beta(32.0, 32.0)
    image = cv2.addWeighted(first[0], part, second[0], 1 - part, 0)
    return image, np.concatenate((first[1], second[1]))
