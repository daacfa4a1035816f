"""Buildings of a demo city: walls, roofs with faces lit by the sun, chimneys, and the ground they hide and shade."""

import math

import cv2
import numpy as np

from data.prepare.demo_items import swept
from data.prepare.demo_plan import Building, View, corners, shrink
from data.prepare.demo_sprites import SHIFT, fixed_point

RISE = 1.3  # units from eaves to ridge
ROOFS = np.array(
    [
        (70, 92, 158),
        (58, 76, 128),
        (96, 92, 90),
        (128, 126, 122),
        (160, 166, 168),
        (120, 148, 172),
        (66, 62, 66),
        (128, 108, 84),
        (92, 120, 96),
        (178, 186, 190),
    ],
    float,
)


def lift(view: View, points, height: float) -> np.ndarray:
    """Pixels of city points (..., 2) at a height in units: tall things lean away from the picture's middle."""
    flat = view.pixels(points)
    return flat + (flat - (view.width / 2, view.height / 2)) * (height / view.altitude)


def hull(*shapes: np.ndarray) -> np.ndarray:
    """Convex fixed-point outline (k, 2) of several pixel shapes."""
    return cv2.convexHull(fixed_point(np.concatenate(shapes)))[:, 0]


def solid(view: View, building: Building) -> np.ndarray:
    """Fixed-point outline of all that the building hides."""
    base = corners(building.rect)
    ridge = [] if building.style == "flat" else [lift(view, _ridge(building), building.height + RISE)]
    return hull(view.pixels(base), lift(view, base, building.height), *ridge)


def cast(view: View, building: Building) -> np.ndarray:
    """Fixed-point outline of the building's shadow on the ground."""
    return swept(fixed_point(view.pixels(corners(building.rect))), view.sun * building.height)


def paint_building(image: np.ndarray, view: View, building: Building, rng: np.random.Generator) -> None:
    """Draw one building: the walls that the camera sees, then the roof."""
    base = corners(building.rect)
    foot, eaves = view.pixels(base), lift(view, base, building.height)
    middle = foot.mean(0)
    wall = rng.uniform(120, 205) + rng.uniform(-10, 10, 3)
    for i, j in ((0, 1), (1, 2), (2, 3), (3, 0)):
        centre = (foot[i] + foot[j]) / 2
        outward = centre - middle
        if outward @ (centre - (view.width / 2, view.height / 2)) < 0:
            _face(image, fixed_point([foot[i], foot[j], eaves[j], eaves[i]]), wall * _light(view, outward))
    if building.height > 2.4:  # a line between two storeys
        storey = (foot + eaves) / 2
        _lines(image, np.stack([storey, np.roll(storey, -1, axis=0)], 1), wall * 0.55)
    roof = ROOFS[int(building.colour * len(ROOFS))] * rng.uniform(0.85, 1.12)
    (_flat_roof if building.style == "flat" else _pitched_roof)(image, view, building, roof, rng)


def _light(view: View, outward: np.ndarray) -> float:
    """Brightness of a face that looks `outward` (pixels): 0.66 turned away from the sun .. 1.1 turned to it."""
    (x, y), (sun_x, sun_y) = outward.tolist(), view.sun.tolist()
    return 0.88 - 0.22 * (x * sun_x + y * sun_y) / max(math.hypot(x, y) * math.hypot(sun_x, sun_y), 1e-6)


def _face(image: np.ndarray, outline: np.ndarray, colour: np.ndarray) -> None:
    cv2.fillConvexPoly(image, outline, colour.tolist(), cv2.LINE_AA, SHIFT)


def _lines(image: np.ndarray, segments, colour) -> None:
    """Thin strokes (k, 2, 2) in pixels."""
    cv2.polylines(image, list(fixed_point(segments)), False, colour.tolist(), 1, cv2.LINE_AA, SHIFT)


def _ridge(building: Building) -> np.ndarray:
    """Ends of the ridge (2, 2), city coordinates; hip roofs have a shorter one."""
    u0, v0, u1, v1 = building.rect
    inset = 0.0 if building.style == "gable" else 0.42 * min(u1 - u0, v1 - v0)
    if u1 - u0 >= v1 - v0:
        return np.array([(u0 + inset, (v0 + v1) / 2), (u1 - inset, (v0 + v1) / 2)])
    return np.array([((u0 + u1) / 2, v0 + inset), ((u0 + u1) / 2, v1 - inset)])


def _pitched_roof(image: np.ndarray, view: View, building: Building, colour, rng: np.random.Generator) -> None:
    """Gable or hip roof: two long faces with rows of tiles, two ends, a chimney."""
    base = corners(building.rect)
    if base[1, 0] - base[0, 0] < base[2, 1] - base[1, 1]:
        base = np.roll(base, -1, axis=0)[[3, 2, 1, 0]]  # first edge along the ridge, from its first end to its second
    eaves, ridge = lift(view, base, building.height), lift(view, _ridge(building), building.height + RISE)
    faces = [(eaves[0], eaves[1], ridge[1], ridge[0]), (eaves[3], eaves[2], ridge[1], ridge[0])]
    ends = [(eaves[0], eaves[3], ridge[0]), (eaves[1], eaves[2], ridge[1])]
    middle = eaves.mean(0)
    for face in sorted([*faces, *ends], key=lambda face: len(face)):
        shade = colour * _light(view, (face[0] + face[1]) / 2 - middle)
        _face(image, fixed_point(face), shade)
        if len(face) == 4:
            low, high = np.stack(face[:2]), np.stack(face[:1:-1])
            _lines(image, [low + share * (high - low) for share in (0.25, 0.5, 0.75)], shade * 0.9)
    _lines(image, [ridge], colour * 1.2)
    if rng.random() < 0.6:
        at = _ridge(building)[0] + rng.uniform(0.2, 0.8) * (_ridge(building)[1] - _ridge(building)[0])
        _block(image, view, (*(at - 0.35), *(at + 0.35)), building.height + RISE, (1.0, np.array([80, 88, 120.0])))


def _flat_roof(image: np.ndarray, view: View, building: Building, colour, rng: np.random.Generator) -> None:
    """Parapet, gravel, and plant: vents, lift housings, skylights."""
    _face(image, fixed_point(lift(view, corners(building.rect), building.height)), colour * 1.12)
    inner = shrink(building.rect, 0.35)
    floor = lift(view, corners(inner), building.height)
    _face(image, fixed_point(floor), colour * 0.8)
    shift = view.sun / max(np.hypot(*view.sun), 1e-6) * 0.35 * view.scale
    _face(image, fixed_point(_inside(floor, floor + shift)), colour * 0.95)
    for _ in range(int(rng.integers(1, 5))):
        size = rng.uniform(0.5, 1.6, 2)
        low = rng.uniform(inner[:2], np.maximum(np.array(inner[2:]) - size, inner[:2]))
        grey = rng.uniform(90, 200) * np.ones(3)
        _block(image, view, (*low, *np.minimum(low + size, inner[2:])), building.height, (rng.uniform(0.3, 0.9), grey))


def _inside(shape: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The part of a convex shape that its moved copy covers: what the parapet leaves in the sun."""
    area, common = cv2.intersectConvexConvex(shape.astype(np.float32), moved.astype(np.float32))
    return common[:, 0] if area > 0 else shape[:1]


def _block(image: np.ndarray, view: View, rect: tuple, floor: float, look: tuple) -> None:
    """A small box on a roof; look = (height in units, colour)."""
    height, colour = look
    base, top = lift(view, corners(rect), floor), lift(view, corners(rect), floor + height)
    _face(image, hull(base, base + view.sun * height * 0.6), colour * 0.35)
    _face(image, hull(base, top), colour * 0.7)
    _face(image, fixed_point(top), colour)
