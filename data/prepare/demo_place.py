"""Where the objects of a demo scene stand, and how much of each the camera sees."""

import itertools
from functools import partial

import cv2
import numpy as np

import data.prepare.demo_shapes as shapes
from data.prepare.demo_items import Item, fill_mask
from data.prepare.demo_plan import Plan, View, corners
from data.prepare.demo_roofs import solid
from data.prepare.demo_sprites import SHIFT, fixed_point

PALETTE = np.array(
    [
        (236, 238, 238),
        (205, 205, 203),
        (150, 150, 152),
        (96, 94, 94),
        (44, 42, 42),
        (52, 48, 190),
        (60, 70, 140),
        (170, 92, 40),
        (104, 56, 32),
        (90, 128, 60),
        (150, 150, 70),
        (60, 190, 220),
        (48, 130, 226),
        (84, 104, 132),
        (150, 190, 214),
        (150, 80, 130),
    ],
    float,
)  # BGR, for every class
HABITS = {  # category: zones with the share of the objects that try there first
    shapes.PEDESTRIAN: {"walk": 0.6, "plaza": 0.25, "green": 0.15},
    shapes.PEOPLE: {"green": 0.4, "plaza": 0.35, "walk": 0.25},
    shapes.BICYCLE: {"curb": 0.45, "walk": 0.4, "plaza": 0.15},
    shapes.CAR: {"lane": 0.6, "slot": 0.4},
    shapes.VAN: {"lane": 0.6, "slot": 0.4},
    shapes.TRUCK: {"lane": 0.9, "plaza": 0.1},
    shapes.TRICYCLE: {"curb": 0.65, "lane": 0.15, "walk": 0.2},
    shapes.AWNING_TRICYCLE: {"curb": 0.65, "lane": 0.15, "plaza": 0.2},
    shapes.BUS: {"lane": 1.0},
    shapes.MOTOR: {"lane": 0.4, "curb": 0.4, "walk": 0.1, "slot": 0.1},
    shapes.OTHERS: {"plaza": 0.3, "curb": 0.4, "walk": 0.3},
}
BY_SIZE = (
    shapes.BUS,
    shapes.TRUCK,
    shapes.OTHERS,
    shapes.VAN,
    shapes.CAR,
    shapes.AWNING_TRICYCLE,
    shapes.TRICYCLE,
    shapes.MOTOR,
    shapes.PEOPLE,
    shapes.BICYCLE,
    shapes.PEDESTRIAN,
)
NIMBLE = (shapes.PEDESTRIAN, shapes.PEOPLE, shapes.BICYCLE, shapes.MOTOR)  # may touch their neighbours
ELBOW_ROOM = 1.22  # factor by which a placed object keeps others away
TRIES = 14  # places tried per zone before the next zone is tried
MIN_INSIDE, MAX_COVERED, MAX_HIDDEN = 0.55, 0.75, 0.85
MIN_SIDE = 3  # pixels; VisDrone marks hardly anything smaller


class Ground:
    """What is taken: `blocked` holds no object, `cover` hides what stands below it; both (H, W) uint8 0/1."""

    def __init__(self, plan: Plan, lids: list):
        shape = plan.view.height, plan.view.width
        self.blocked, self.cover = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        for building in plan.buildings:
            fill_mask(self.blocked, fixed_point(plan.view.pixels(corners(building.rect))))
        for left, top, width, height in plan.crowd:
            self.blocked[top : top + height, left : left + width] = 1
        for lid in lids:
            fill_mask(self.cover, lid)

    def accepts(self, item: Item) -> bool:
        """Whether the item lies mostly in the picture, on free ground and not deep below a roof or a tree."""
        below, mask = item.stamp.on(self.blocked)
        inside = cv2.countNonZero(mask) if mask.size else 0
        if inside < max(MIN_INSIDE * item.stamp.area, 5) or min(cv2.boundingRect(mask)[2:]) < MIN_SIDE:
            return False
        touching = 0.2 if item.category in NIMBLE else 0.02
        if cv2.countNonZero(cv2.bitwise_and(below, mask)) > touching * inside:
            return False
        return cv2.countNonZero(cv2.bitwise_and(item.stamp.on(self.cover)[0], mask)) <= MAX_COVERED * inside

    def take(self, item: Item) -> None:
        """Keep others off the item's place."""
        centre = np.array((item.x, item.y)) * (1 << SHIFT)
        fill_mask(self.blocked, (centre + ELBOW_ROOM * (item.outline - centre)).astype(np.int32))


def plant_trees(plan: Plan, rng: np.random.Generator) -> list:
    """The plan's trees as items, lit from the sun's side."""
    count, view = len(plan.trees), plan.view
    leaves = np.array([52, 114, 76.0]) + rng.uniform(-10, 14, 3)
    paints = leaves * rng.uniform(0.75, 1.25, (count, 1)) + rng.uniform(-6, 6, (count, 3))
    angles = np.arctan2(-view.sun[1], -view.sun[0]) + rng.uniform(-0.5, 0.5, count)
    centres = view.pixels(np.reshape([tree[:2] for tree in plan.trees], (-1, 2))).tolist()
    variants = rng.integers(shapes.TREES, size=count).tolist()
    return [
        Item(shapes.tree(variant), 0, x, y, angle, tree[2] * view.scale, np.stack([paint, paint]))
        for tree, (x, y), angle, paint, variant in zip(plan.trees, centres, angles.tolist(), paints, variants)
    ]


def lids(plan: Plan, trees: list) -> list:
    """Outlines of all that hides the ground from the camera."""
    return [solid(plan.view, building) for building in plan.buildings] + [tree.outline for tree in trees]


def colours(count: int, rng: np.random.Generator) -> np.ndarray:
    """Two paints for each of `count` things (count, 2, 3) BGR, drawn alike for every class."""
    return PALETTE[rng.integers(len(PALETTE), size=(count, 2))] + rng.uniform(-14, 14, (count, 2, 3))


def _spots(plan: Plan, zone: str, count: int, rng: np.random.Generator) -> list:
    """Random (x, y, angle) within the picture, spread evenly over a zone's area; empty where there is none."""
    rects, view = np.array(plan.zones.get(zone, ()), float).reshape(-1, 5), plan.view
    if not len(rects):
        return []
    area = (rects[:, 2] - rects[:, 0]) * (rects[:, 3] - rects[:, 1])
    rects = rects[rng.choice(len(rects), count, p=area / area.sum())]
    pixels = view.pixels(rng.uniform(rects[:, :2], rects[:, 2:4]))
    heading = rects[:, 4] + rng.normal(0, 0.04, count)
    if zone in ("walk", "slot"):  # either way round
        heading = heading + np.pi * rng.integers(0, 2, count) + rng.normal(0, 0.25 if zone == "walk" else 0, count)
    angle = np.where(np.isnan(heading), rng.uniform(-np.pi, np.pi, count), view.angle(heading))
    seen = ((pixels > 0) & (pixels < (view.width, view.height))).all(1)
    return np.column_stack([pixels, angle])[seen].tolist()


def _anywhere(view: View, count: int, rng: np.random.Generator) -> list:
    spots = rng.uniform((0, 0, -np.pi), (view.width, view.height, np.pi), (count, 3))
    return spots.tolist()


def place(plan: Plan, ground: Ground, categories: list, rng: np.random.Generator) -> list:
    """Put one item of each category on free ground, large ones first; those that find no place are left out."""
    count = 40 + 4 * len(categories)
    zones = {name: _spots(plan, name, count, rng) for name in plan.zones}
    zones["anywhere"] = _anywhere(plan.view, count, rng)
    items, paints, draws = [], colours(len(categories), rng), rng.random((len(categories), 3)).tolist()
    for category, paint, (habit, look, size) in zip(sorted(categories, key=BY_SIZE.index), paints, draws):
        variants = shapes.OTHER_KINDS if category == shapes.OTHERS else shapes.VARIANTS
        sprite = shapes.sprite(category, int(look * variants))
        make = partial(Item, sprite, category, scale=plan.view.scale * (0.93 + 0.14 * size), paints=paint)
        for zone in _search_order(category, habit):
            item = _try_spots(zones[zone], ground, make)
            if item:
                ground.take(item)
                items.append(item)
                break
    return items


def _search_order(category: int, draw: float) -> list:
    """Zones to try in turn; draw in 0..1 decides which of the class's habits comes first."""
    habits = HABITS[category]
    bounds = itertools.accumulate(habits.values())
    first = next((zone for zone, bound in zip(habits, bounds) if draw < bound), next(iter(habits)))
    return list(dict.fromkeys((first, *habits, "curb", "plaza", "anywhere")))


def _try_spots(spots: list, ground: Ground, make) -> Item | None:
    """The first of TRIES spots that the ground accepts; tried spots are used up."""
    for _ in range(min(TRIES, len(spots))):
        item = make(*spots.pop())
        if ground.accepts(item):
            return item
    return None


def visibility(items: list, hiders: list, shape: tuple) -> tuple:
    """What the camera sees of items given in drawing order.

    -> boxes (n, 4) left, top, width, height in the picture; share hidden by others (n,); share cut off (n,).
    """
    owner = np.zeros(shape, np.uint16)
    for index, item in enumerate(items, 1):
        fill_mask(owner, item.outline, index)
    for outline in hiders:
        fill_mask(owner, outline, 0)
    boxes, hidden, cut = np.zeros((len(items), 4), np.int64), np.zeros(len(items)), np.zeros(len(items))
    for index, item in enumerate(items):
        stamp = item.stamp
        view, mask = stamp.on(owner)
        inside = cv2.countNonZero(mask)
        seen = np.count_nonzero((view == index + 1) & (mask > 0))
        x, y, width, height = cv2.boundingRect(mask)
        boxes[index] = max(stamp.left, 0) + x, max(stamp.top, 0) + y, width, height
        hidden[index] = 1 - seen / max(inside, 1)
        cut[index] = 1 - inside / max(stamp.area, 1)
    return boxes, hidden, cut
