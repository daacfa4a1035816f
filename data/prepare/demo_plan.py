"""The plan of one demo city: where roads, blocks, buildings and trees lie. Numbers only, nothing is drawn here.

The plan lives in city coordinates (u, v) in units, u along the main road. One slanted matrix turns them into pixels.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

LANE, WALK = 2.7, 1.7  # widths of a traffic lane and of a sidewalk, units
ZEBRA = 2.0  # depth of a zebra crossing, units
ANY = np.nan  # heading of a zone in which things may point anywhere
SLOT = (4.2, 2.5)  # length and width of a parking space, units
LENS = 1.2  # flight height over the length of ground that the picture's longer side shows
BLOCK_KINDS = ("houses", "park", "parking", "plaza")


@dataclass(frozen=True)
class View:
    """Camera: pixel = matrix @ (u, v) + origin; scale in pixels per unit; sun: pixels of shadow per unit of height."""

    height: int
    width: int
    scale: float
    matrix: np.ndarray
    origin: np.ndarray
    sun: np.ndarray

    @cached_property
    def _floats(self) -> tuple:
        return (*self.matrix.ravel().tolist(), *self.origin.tolist())

    @property
    def altitude(self) -> float:
        """Of the camera, units; every scene is seen through the same lens."""
        return LENS * max(self.height, self.width) / self.scale

    def pixels(self, points) -> np.ndarray:
        """City points (..., 2) -> pixels (..., 2)."""
        return np.asarray(points, float) @ self.matrix.T + self.origin

    def angle(self, heading):
        """City heading(s) in radians -> angle(s) in the picture."""
        across, down = self.matrix @ np.stack([np.cos(heading), np.sin(heading)])
        return np.arctan2(down, across)

    def shows(self, rect: tuple) -> bool:
        """Whether the bounding box of a city rectangle touches the picture; plain floats, it is asked very often."""
        a, b, c, d, x, y = self._floats
        u, v = (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2
        reach_u, reach_v = abs(rect[2] - rect[0]) / 2, abs(rect[3] - rect[1]) / 2
        x, y = a * u + b * v + x, c * u + d * v + y
        reach_x, reach_y = abs(a) * reach_u + abs(b) * reach_v, abs(c) * reach_u + abs(d) * reach_v
        return -reach_x < x < self.width + reach_x and -reach_y < y < self.height + reach_y


@dataclass(frozen=True)
class Road:
    """A straight road; axis 0 runs along u at v = centre, axis 1 along v at u = centre."""

    axis: int
    centre: float
    lanes: int

    @property
    def half(self) -> float:
        """Half the carriageway, units."""
        return self.lanes * LANE / 2

    def rect(self, start: float, end: float, low: float, high: float) -> tuple:
        """(u0, v0, u1, v1) of the stretch start..end and of low..high across, measured from the centre line."""
        low, high = self.centre + low, self.centre + high
        return (start, low, end, high) if self.axis == 0 else (low, start, high, end)


@dataclass(frozen=True)
class Building:
    """rect (u0, v0, u1, v1); height in units; style flat, gable or hip; colour an index 0..1 into the roof tones."""

    rect: tuple
    height: float
    style: str
    colour: float


@dataclass(frozen=True)
class Plan:
    """zones: name -> list of (u0, v0, u1, v1, heading); trees: (u, v, radius); crowd: pixel box l, t, w, h or None."""

    view: View
    extent: tuple
    roads: tuple
    blocks: list = field(default_factory=list)  # (kind, rect)
    zebras: list = field(default_factory=list)  # (rect, heading of the people)
    buildings: list = field(default_factory=list)
    trees: list = field(default_factory=list)
    zones: dict = field(default_factory=dict)
    crowd: list = field(default_factory=list)


def corners(rect: tuple) -> np.ndarray:
    """(u0, v0, u1, v1) -> its four corners (4, 2)."""
    u0, v0, u1, v1 = rect
    return np.array([(u0, v0), (u1, v0), (u1, v1), (u0, v1)], float)


def shrink(rect: tuple, margin: float) -> tuple:
    """The rectangle with `margin` taken off each side."""
    u0, v0, u1, v1 = rect
    return u0 + margin, v0 + margin, u1 - margin, v1 - margin


def choose_view(height: int, width: int, objects: int, rng: np.random.Generator) -> View:
    """Pick the flight height, the direction of the streets and the sun. Crowded scenes are seen from higher up."""
    room = np.sqrt(height * width / max(objects, 1)) / 82.6  # 1 for 60 objects on 640 x 640
    scale = float(np.clip(np.exp(rng.uniform(np.log(6.4), np.log(13.0))) * min(room, 1.0), 5.0, 13.0))
    turn, slant = rng.uniform(-np.pi, np.pi), rng.uniform(-0.22, 0.22)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix = scale * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, slant], [0.0, 1.0]])
    origin = np.array([width, height]) * rng.uniform(0.4, 0.6, 2)
    sun = rng.uniform(-np.pi, np.pi)
    shadow = scale * rng.uniform(0.45, 1.1) * np.array([np.cos(sun), np.sin(sun)])
    return View(height, width, scale, matrix, origin, shadow)


def make_plan(height: int, width: int, objects: int, rng: np.random.Generator) -> Plan:
    """Lay out one city; every list holds only what the picture can show."""
    view = choose_view(height, width, objects, rng)
    frame = (corners((0, 0, width, height)) - view.origin) @ np.linalg.inv(view.matrix).T
    extent = (*(frame.min(0) - 8), *(frame.max(0) + 8))
    roads = tuple(_roads(0, extent[1], extent[3], rng) + _roads(1, extent[0], extent[2], rng))
    plan = Plan(view, extent, roads, zones={name: [] for name in ("lane", "curb", "walk", "slot", "plaza", "green")})
    for road in roads:
        _add_lanes(plan, road)
    _add_zebras(plan, rng)
    _add_blocks(plan, rng)
    return plan


def _roads(axis: int, low: float, high: float, rng: np.random.Generator) -> list:
    """Parallel roads from low to high; the one nearest to the picture's middle is the widest."""
    centre = rng.uniform(-6, 6)
    roads = [Road(axis, centre, 4 if axis == 0 or rng.random() < 0.3 else 2)]
    for way in (-1, 1):
        at = centre + way * rng.uniform(27, 44)
        while low < at < high:
            roads.append(Road(axis, at, int(rng.choice([2, 2, 4]))))
            at += way * rng.uniform(25, 44)
    return sorted(roads, key=lambda road: road.centre)


def crossings(plan: Plan, road: Road) -> list:
    """The roads that cross `road`."""
    return [other for other in plan.roads if other.axis != road.axis]


def stretch(plan: Plan, road: Road) -> tuple:
    """Start and end of the road inside the plan's extent."""
    return plan.extent[road.axis], plan.extent[road.axis + 2]


def _add_lanes(plan: Plan, road: Road) -> None:
    """Driving lanes (traffic keeps right) and the strips along the curbs."""
    start, end = stretch(plan, road)
    for lane in range(road.lanes):
        middle = -road.half + (lane + 0.5) * LANE
        heading = road.axis * np.pi / 2 + (np.pi if (middle < 0) == (road.axis == 0) else 0)
        plan.zones["lane"].append((*road.rect(start, end, middle - 0.25, middle + 0.25), heading))
        if lane in (0, road.lanes - 1):
            edge = np.sign(middle) * (road.half - 0.75)
            plan.zones["curb"].append((*road.rect(start, end, edge - 0.2, edge + 0.2), heading))


def _add_zebras(plan: Plan, rng: np.random.Generator) -> None:
    """Zebra crossings on most arms of the junctions; people walk across the road."""
    for road in plan.roads:
        for other in crossings(plan, road):
            for side in (-1, 1):
                near = other.centre + side * (other.half + 0.5)
                far = near + side * ZEBRA
                rect = road.rect(min(near, far), max(near, far), -road.half + 0.2, road.half - 0.2)
                if rng.random() < 0.65 and plan.view.shows(rect):
                    plan.zebras.append((rect, road.axis))
                    plan.zones["walk"].append((*rect, (1 - road.axis) * np.pi / 2))


def _gaps(roads: list, low: float, high: float) -> list:
    """The intervals between parallel roads."""
    edges = [low, *(edge for road in roads for edge in (road.centre - road.half, road.centre + road.half)), high]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2]) if b - a > 2 * WALK + 5]


def _add_blocks(plan: Plan, rng: np.random.Generator) -> None:
    """Fill the blocks between the roads; in about a third of the scenes one of them is crowded."""
    across, along = ([road for road in plan.roads if road.axis == axis] for axis in (0, 1))
    rects = [
        (u0, v0, u1, v1)
        for u0, u1 in _gaps(along, plan.extent[0], plan.extent[2])
        for v0, v1 in _gaps(across, plan.extent[1], plan.extent[3])
    ]
    rects = [rect for rect in rects if plan.view.shows(rect)]
    crowded = int(rng.integers(len(rects))) if rects and rng.random() < 0.5 else -1
    kinds = rng.choice(BLOCK_KINDS, len(rects), p=(0.46, 0.2, 0.17, 0.17))
    for index, (rect, kind) in enumerate(zip(rects, kinds)):
        u0, v0, u1, v1 = rect
        for strip in ((u0, v0, u1, v0 + WALK), (u0, v1 - WALK, u1, v1)):
            plan.zones["walk"].append((*strip, 0.0))
        for strip in ((u0, v0, u0 + WALK, v1), (u1 - WALK, v0, u1, v1)):
            plan.zones["walk"].append((*strip, np.pi / 2))
        inner = shrink(rect, WALK)
        box = _crowd_box(plan.view, inner, rng) if index == crowded else None
        plan.crowd.extend([box] if box else [])
        kind = str(rng.choice(["plaza", "parking"])) if box else str(kind)
        plan.blocks.append((kind, inner))
        _FILL[kind](plan, inner, rng)
        _street_trees(plan, rect, rng)


def _crowd_box(view: View, rect: tuple, rng: np.random.Generator) -> tuple | None:
    """An upright pixel box (left, top, width, height) in the middle of a block, or None where it does not fit."""
    centre = view.pixels([(rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2])
    reach = min(rect[2] - rect[0], rect[3] - rect[1]) * view.scale * 0.36
    half = np.minimum(reach * rng.uniform(0.75, 1.0, 2), (view.width * 0.2, view.height * 0.2))
    low = np.clip(np.rint(centre - half), 0, (view.width, view.height)).astype(int)
    high = np.clip(np.rint(centre + half), 0, (view.width, view.height)).astype(int)
    left, top, right, bottom = map(int, (*low, *high))
    return (left, top, right - left, bottom - top) if min(right - left, bottom - top) >= 28 else None


def _plant(plan: Plan, rect: tuple, count: int, rng: np.random.Generator) -> None:
    """Scatter trees over a rectangle, keeping those that the picture shows."""
    spots = rng.uniform(rect[:2], rect[2:], (count, 2))
    for (u, v), radius in zip(spots.tolist(), rng.uniform(0.9, 2.3, count).tolist()):
        if plan.view.shows((u - radius, v - radius, u + radius, v + radius)):
            plan.trees.append((u, v, radius))


def _street_trees(plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    """A row of trees between sidewalk and carriageway on some sides of a block."""
    u0, v0, u1, v1 = shrink(rect, 0.5)
    for start, end in (((u0, v0), (u1, v0)), ((u0, v1), (u1, v1)), ((u0, v0), (u0, v1)), ((u1, v0), (u1, v1))):
        if rng.random() < 0.45:
            length = end[0] - start[0] + end[1] - start[1]
            steps = np.arange(2.0, length - 1.5, rng.uniform(4.5, 8))[:, None] / length
            spots = np.array(start) * (1 - steps) + np.array(end) * steps + rng.normal(0, 0.15, (len(steps), 2))
            for (u, v), draw in zip(spots.tolist(), rng.random(len(steps)).tolist()):
                if draw < 0.75 and plan.view.shows((u - 2, v - 2, u + 2, v + 2)):
                    plan.trees.append((u, v, 1.0 + draw))


def _houses(plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    """Cut the block into plots of about 11 x 10 units; a house on most, trees on the others."""
    u0, v0, u1, v1 = rect
    columns, rows = (max(int(round(side / rng.uniform(8, 12))), 1) for side in (u1 - u0, v1 - v0))
    us, vs = np.linspace(u0, u1, columns + 1), np.linspace(v0, v1, rows + 1)
    for i in range(columns):
        for j in range(rows):
            plot = (float(us[i]), float(vs[j]), float(us[i + 1]), float(vs[j + 1]))
            if not plan.view.shows(shrink(plot, -2)):
                continue
            if min(plot[2] - plot[0], plot[3] - plot[1]) < 4 or rng.random() < 0.13:
                _plant(plan, plot, 4, rng)
                plan.zones["green"].append((*plot, ANY))
                continue
            margins = rng.uniform(0.4, 1.6, 4)
            house = tuple(float(x) for x in np.array(plot) + margins * (1, 1, -1, -1))
            style = str(rng.choice(["flat", "gable", "hip"], p=(0.4, 0.35, 0.25)))
            plan.buildings.append(Building(house, float(rng.uniform(1.6, 4.5)), style, float(rng.random())))


def _park(plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    area = (rect[2] - rect[0]) * (rect[3] - rect[1])
    plan.zones["green"].append((*shrink(rect, 0.8), ANY))
    _plant(plan, shrink(rect, 1.2), int(area * rng.uniform(0.015, 0.04)), rng)


def _parking(plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    """Rows of parking spaces along u, an aisle between each pair of rows."""
    length, width = SLOT
    for row, v in enumerate(np.arange(rect[1] + 0.5, rect[3] - length, length + 1.9)):
        for u in np.arange(rect[0] + 1.0, rect[2] - width - 0.5, width):
            slot = (u, v, u + width, v + length)
            if plan.view.shows(slot):
                middle = (u + width / 2 - 0.1, v + length / 2 - 0.15, u + width / 2 + 0.1, v + length / 2 + 0.15)
                plan.zones["slot"].append((*middle, np.pi / 2 * (1 if row % 2 else -1)))


def _plaza(plan: Plan, rect: tuple, rng: np.random.Generator) -> None:
    plan.zones["plaza"].append((*shrink(rect, 0.8), ANY))
    _plant(plan, shrink(rect, 1.5), int(rng.integers(2, 7)), rng)


_FILL = {"houses": _houses, "park": _park, "parking": _parking, "plaza": _plaza}
