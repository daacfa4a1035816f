"""The ground of a demo city: grass, paving, roads and what is painted on them."""

import cv2
import numpy as np

from data.prepare.demo_plan import LANE, SLOT, WALK, Plan, Road, corners, crossings, stretch
from data.prepare.demo_sprites import SHIFT, fixed_point

WHITE = np.array([215, 218, 220.0])


def tone(rng: np.random.Generator, low: float, high: float, tint: float = 4.0) -> np.ndarray:
    """A nearly grey BGR colour between low and high."""
    return rng.uniform(low, high) + rng.uniform(-tint, tint, 3)


def clouds(rng: np.random.Generator, shape: tuple, cells: tuple) -> np.ndarray:
    """Smooth random field (h, w) uint8 about 128, the mean of one octave per cell size in pixels."""
    height, width = shape
    field = np.zeros(shape, np.uint8)
    for index, cell in enumerate(cells):
        coarse = rng.integers(0, 256, (height // cell + 2, width // cell + 2), np.uint8)
        octave = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
        field = octave if index == 0 else cv2.addWeighted(field, index / (index + 1), octave, 1 / (index + 1), 0)
    return field


def fill(image: np.ndarray, plan: Plan, rect: tuple, colour) -> None:
    """Fill a city rectangle."""
    outline = fixed_point(plan.view.pixels(corners(rect)))
    cv2.fillConvexPoly(image, outline, list(map(float, colour)), cv2.LINE_AA, SHIFT)


def strokes(image: np.ndarray, plan: Plan, segments, thickness: float, colour) -> None:
    """Draw city segments (k, 2, 2) as strokes `thickness` units wide."""
    points = plan.view.pixels(np.reshape(segments, (-1, 2, 2)))
    low, high = points.min(1), points.max(1)
    points = points[((high > -9) & (low < (plan.view.width + 9, plan.view.height + 9))).all(1)]
    if len(points):
        pixels = max(int(round(thickness * plan.view.scale)), 1)
        cv2.polylines(image, list(fixed_point(points)), False, list(map(float, colour)), pixels, cv2.LINE_AA, SHIFT)


def paint_ground(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """Everything that lies flat -> image (H, W, 3) uint8 BGR."""
    shape = plan.view.height, plan.view.width
    grass = cv2.cvtColor(clouds(rng, _half(shape), (24, 4, 1)), cv2.COLOR_GRAY2BGR)
    image = cv2.resize(cv2.LUT(grass, _grass(rng)), shape[::-1])
    walk, asphalt = tone(rng, 128, 172), tone(rng, 66, 104, 4)
    for road in plan.roads:
        fill(image, plan, road.rect(*stretch(plan, road), -road.half - WALK, road.half + WALK), walk)
    for kind, rect in plan.blocks:
        _BLOCKS[kind](image, plan, rect, rng)
        strokes(image, plan, np.stack([corners(rect), np.roll(corners(rect), -1, axis=0)], 1), 0.25, walk * 0.78)
    for road in plan.roads:
        fill(image, plan, road.rect(*stretch(plan, road), -road.half - 0.15, road.half + 0.15), walk * 0.72)
    for road in plan.roads:
        fill(image, plan, road.rect(*stretch(plan, road), -road.half, road.half), asphalt)
    for road in plan.roads:
        _repairs(image, plan, road, asphalt, rng)
        _markings(image, plan, road)
    _zebras(image, plan)
    return image


def _half(shape: tuple) -> tuple:
    """Half the picture's size: fine enough for textures, and four times as fast."""
    return shape[0] // 2 + 1, shape[1] // 2 + 1


def grain(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """How much darker each pixel of the ground is (H, W) uint8, 0..72 of 255: stains over fine grit."""
    field = cv2.convertScaleAbs(clouds(rng, _half(shape), (15, 1)), alpha=0.28)
    return cv2.resize(field, shape[::-1])


def _grass(rng: np.random.Generator) -> np.ndarray:
    """Colours from shade to light, (1, 256, 3) uint8; some scenes are lush, some dry."""
    dry = rng.uniform(0, 1)
    dark = (1 - dry) * np.array([42, 78, 52]) + dry * np.array([62, 96, 98])
    bright = (1 - dry) * np.array([72, 132, 98]) + dry * np.array([98, 142, 150])
    ramp = np.clip((np.arange(256) - 60) / 136, 0, 1)[:, None]
    return (dark + ramp * (bright - dark)).astype(np.uint8)[None]


def _yard(image: np.ndarray, plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    if rng.random() < 0.55:
        fill(image, plan, rect, tone(rng, 105, 150, 9))


def _park(image: np.ndarray, plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    """Gravel paths over the grass; they meet at a round place."""
    meeting = rng.uniform(0.35, 0.65, 2) * (rect[2] - rect[0], rect[3] - rect[1]) + rect[:2]
    gravel = np.array([128, 152, 166.0]) * rng.uniform(0.85, 1.1)
    ways = corners(rect) if rng.random() < 0.5 else (corners(rect) + np.roll(corners(rect), 1, axis=0)) / 2
    strokes(image, plan, [(meeting, way) for way in ways], 1.2, gravel)
    middle, radius = fixed_point(plan.view.pixels(meeting)), fixed_point(2.2 * plan.view.scale)
    cv2.circle(image, middle, int(radius), gravel.tolist(), -1, cv2.LINE_AA, SHIFT)


def _parking(image: np.ndarray, plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    """Grey lot with white lines; the spaces are those of the plan."""
    fill(image, plan, rect, tone(rng, 84, 118, 4))
    length, width = SLOT
    lines = []
    for u0, v0, u1, v1, _ in plan.zones["slot"]:
        if rect[0] < u0 < rect[2] and rect[1] < v0 < rect[3]:
            u, v = (u0 + u1) / 2, (v0 + v1) / 2
            lines += [((u + side, v - length / 2), (u + side, v + length / 2)) for side in (-width / 2, width / 2)]
    strokes(image, plan, lines, 0.16, WHITE * 0.9)


def _plaza(image: np.ndarray, plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    """Slabs with joints."""
    slab = tone(rng, 120, 165, 8)
    fill(image, plan, rect, slab)
    pitch = rng.uniform(2.2, 3.6)
    lines = [((u, rect[1]), (u, rect[3])) for u in np.arange(rect[0] + pitch, rect[2], pitch)]
    lines += [((rect[0], v), (rect[2], v)) for v in np.arange(rect[1] + pitch, rect[3], pitch)]
    strokes(image, plan, lines, 0.12, slab * 0.86)


_BLOCKS = {"houses": _yard, "park": _park, "parking": _parking, "plaza": _plaza}


def _repairs(image: np.ndarray, plan: Plan, road: Road, asphalt: np.ndarray, rng: np.random.Generator) -> None:
    """Patches of newer or older asphalt."""
    start, end = stretch(plan, road)
    for at in rng.uniform(start, end, 4):
        low = -road.half + LANE * int(rng.integers(road.lanes)) + 0.2
        rect = road.rect(at, at + rng.uniform(2, 7), low, low + rng.uniform(1.2, 2.3))
        fill(image, plan, rect, asphalt * rng.uniform(0.86, 1.1))


def _free_stretches(plan: Plan, road: Road) -> list:
    """The parts of a road between its junctions and their zebras."""
    start, end = stretch(plan, road)
    marks = sorted((other.centre, other.half + 3.1) for other in crossings(plan, road))
    edges = [start, *(edge for at, half in marks for edge in (at - half, at + half)), end]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2]) if b > a]


def _markings(image: np.ndarray, plan: Plan, road: Road) -> None:
    """Solid centre line on wide roads, dashes between lanes, stop lines before junctions."""
    solid, dashes = [], []
    for start, end in _free_stretches(plan, road):
        for index in range(1, road.lanes):
            across = -road.half + index * LANE
            if index * 2 == road.lanes and road.lanes > 2:
                solid += [road.rect(start, end, across + d, across + d) for d in (-0.16, 0.16)]
            else:
                starts = np.arange(start, end - 1.5, 3.6)
                dashes += [road.rect(s, s + 1.6, across, across) for s in starts]
        right = road.half if road.axis == 0 else -road.half  # the side on which traffic reaches `end`
        solid.append(road.rect(end, end, *sorted((0, right))))
        solid.append(road.rect(start, start, *sorted((0, -right))))
    for rects, thickness, shade in ((solid, 0.14, 0.95), (dashes, 0.16, 0.9)):
        strokes(image, plan, rects, thickness, WHITE * shade)


def _zebras(image: np.ndarray, plan: Plan) -> None:
    """White bars, long side along the traffic."""
    bars = []
    for (u0, v0, u1, v1), axis in plan.zebras:
        if axis == 0:
            bars += [corners((u0, v, u1, v + 0.55)) for v in np.arange(v0 + 0.2, v1 - 0.4, 1.05)]
        else:
            bars += [corners((u, v0, u + 0.55, v1)) for u in np.arange(u0 + 0.2, u1 - 0.4, 1.05)]
    if bars:
        cv2.fillPoly(image, list(fixed_point(plan.view.pixels(bars))), list(map(float, WHITE)), cv2.LINE_AA, SHIFT)
