"""Draw made-up aerial street scenes, annotated as VisDrone annotates its pictures.

The picture is a small city seen from above: roads, roofs, trees, shadows, haze. VisDrone's ten classes stand in it,
told apart by size, outline and roof marks, never by colour. Crowds too small to mark are ignored regions.
"""

from dataclasses import dataclass

import cv2
import numpy as np

import data.prepare.demo_shapes as shapes
from data.prepare.demo_ground import grain, paint_ground
from data.prepare.demo_items import Item, blit, fill_mask, swept
from data.prepare.demo_place import MAX_HIDDEN, Ground, colours, lids, place, plant_trees, visibility
from data.prepare.demo_plan import Building, Plan, View, make_plan
from data.prepare.demo_roofs import cast, paint_building
from data.prepare.demo_sprites import fixed_point

IGNORED = 0
SHADE = (0.40, 0.44, 0.52)  # BGR share of light that a shadow takes: least of blue, the sky's own light
CROWD_SCALE = 0.42  # crowds are drawn small and blurred: nobody could mark them one by one


@dataclass(frozen=True)
class Scene:
    """image (H, W, 3) uint8 BGR; annotations (n, 8) int64 rows of VisDrone's raw format:
    left, top, width, height, score, category, truncation, occlusion."""

    image: np.ndarray
    annotations: np.ndarray


def draw_scene(seed: int, height: int = 640, width: int = 640, objects: int = 60) -> Scene:
    """Draw the scene that belongs to (seed >= 0, size, count): always the same bytes.

    `objects` of the ten classes are asked for, each class as often as any other; a scene holds fewer where the
    streets are full. Ignored regions and 'others' come on top.
    """
    if seed < 0 or objects < 0 or min(height, width) < 64:
        raise ValueError(f"need seed >= 0, objects >= 0, sides >= 64, got {seed}, {objects}, {height} x {width}")
    rng = np.random.default_rng([seed, height, width, objects])
    plan = make_plan(height, width, objects, rng)
    trees = plant_trees(plan, rng)
    hiders = lids(plan, trees)
    items, seen = _keep_visible(_place_objects(plan, Ground(plan, hiders), objects, rng), hiders, (height, width))
    annotations = _annotate(plan, items, seen)
    image = paint_ground(plan, rng)
    _paint_things(image, plan, items, trees, rng)
    _finish(image, rng)
    return Scene(image, annotations)


def _place_objects(plan: Plan, ground: Ground, objects: int, rng: np.random.Generator) -> list:
    """Items in drawing order: large below small."""
    deck = np.resize(rng.permutation(shapes.CLASSES), objects).tolist()
    others = [shapes.OTHERS] * int(rng.choice(3, p=(0.6, 0.3, 0.1))) if objects else []
    return place(plan, ground, others + deck, rng)


def _keep_visible(items: list, hiders: list, shape: tuple) -> tuple:
    """Take out what hardly anything is seen of, so that all that is drawn is annotated -> items, their visibility."""
    while True:
        seen = visibility(items, hiders, shape)
        hidden = seen[1]
        if not (hidden > MAX_HIDDEN).any():
            return items, seen
        items = [item for item, share in zip(items, hidden) if share <= MAX_HIDDEN]


def _annotate(plan: Plan, items: list, seen: tuple) -> np.ndarray:
    """Rows (n, 8) int64: the ignored regions, then the objects."""
    boxes, hidden, cut = seen
    rows = [(*box, 0, IGNORED, 0, 0) for box in plan.crowd]
    for item, box, share, lost in zip(items, boxes.tolist(), hidden.tolist(), cut.tolist()):
        occlusion = 0 if share < 0.01 else 1 if share <= 0.5 else 2
        rows.append((*box, int(item.category != shapes.OTHERS), item.category, int(lost >= 0.01), occlusion))
    return np.array(rows, np.int64).reshape(-1, 8)


def _paint_things(image: np.ndarray, plan: Plan, items: list, trees: list, rng: np.random.Generator) -> None:
    """Shadows on the ground, then things from the ground up, all in place."""
    view = plan.view
    shadow = np.zeros(image.shape[:2], np.uint8)
    for outline in [cast(view, building) for building in plan.buildings]:
        fill_mask(shadow, outline, 255)
    for tree in trees:
        fill_mask(shadow, tree.outline + fixed_point(view.sun * tree.sprite.height), 255)
    in_shade = [_at(shadow, item) for item in items]
    crowd = _crowd(plan, rng)
    for item in items + crowd:
        tall = view.sun * item.sprite.height * (item.scale / view.scale)
        fill_mask(shadow, swept(item.outline, tall), 255)
    _light(image, shadow, grain(rng, shadow.shape))
    for item in crowd:
        blit(image, item, softness=1)
    for item, shaded in zip(items, in_shade):
        blit(image, item, light=0.6 if shaded else 1.0)
    for building in sorted(plan.buildings, key=lambda building: -_distance(view, building)):
        paint_building(image, view, building, rng)
    for tree in trees:
        blit(image, tree)


def _distance(view: View, building: Building) -> float:
    """From the picture's middle, pixels; buildings lean outwards, so the near one hides the far one's foot."""
    u0, v0, u1, v1 = building.rect
    return float(np.hypot(*(view.pixels(((u0 + u1) / 2, (v0 + v1) / 2)) - (view.width / 2, view.height / 2))))


def _at(mask: np.ndarray, item: Item) -> bool:
    """Whether the mask is set at the item's centre."""
    row, column = (int(np.clip(at, 0, side - 1)) for at, side in zip((item.y, item.x), mask.shape))
    return bool(mask[row, column])


def _crowd(plan: Plan, rng: np.random.Generator) -> list:
    """Small things by the dozen, inside the ignored regions."""
    items = []
    scale = plan.view.scale * CROWD_SCALE
    for left, top, width, height in plan.crowd:
        kinds = (shapes.PEDESTRIAN, shapes.PEOPLE) if rng.random() < 0.6 else (shapes.MOTOR, shapes.BICYCLE)
        inset = min(1.0 * scale, width / 4, height / 4)
        count = min(int(width * height / (2.6 * scale) ** 2), 90)
        low, high = (left + inset, top + inset, -np.pi), (left + width - inset, top + height - inset, np.pi)
        places, paints = rng.uniform(low, high, (count, 3)).tolist(), colours(count, rng)
        for spot, paint, category in zip(places, paints, rng.choice(kinds, count).tolist()):
            items.append(Item(shapes.sprite(category), category, *spot, scale, paint))
    return items


def _light(image: np.ndarray, shadow: np.ndarray, dirt: np.ndarray) -> None:
    """Take light away in place: where shadow (H, W) is 255, with soft edges, and `dirt` (H, W) of 255 everywhere."""
    soft = cv2.blur(shadow, (3, 3))
    keep = [np.rint(255 - np.arange(256) * share).astype(np.uint8) for share in SHADE]
    channels = [cv2.LUT(soft, table) for table in keep]
    for channel in channels:
        cv2.subtract(channel, dirt, dst=channel)
    cv2.multiply(image, cv2.merge(channels), dst=image, scale=1 / 220)


def _finish(image: np.ndarray, rng: np.random.Generator) -> None:
    """Camera and air, in place: warmth, exposure, haze, a little blur, sensor noise."""
    warmth, exposure, haze = rng.normal(1, 3.5), rng.uniform(0.88, 1.25), rng.uniform(0, 0.28) ** 1.3
    tones = (1 - haze) * exposure * 255 * (np.arange(256) / 255) ** rng.uniform(0.85, 1.15) + haze * 198
    cv2.LUT(image, np.clip(np.rint(tones), 0, 255).astype(np.uint8), dst=image)
    # a scalar sum is much faster than three tables
    cv2.add(image, (15 * haze - warmth, 0.0, warmth - 15 * haze, 0.0), dst=image)
    cv2.GaussianBlur(image, (3, 3), float(rng.uniform(0.3, 0.75)), dst=image)
    noise = rng.bit_generator.random_raw(image.size // 8 + 1).view(np.uint8)[: image.size].reshape(image.shape)
    amount = float(rng.uniform(0.015, 0.06))
    cv2.addWeighted(image, 1.0, noise, amount, -127.5 * amount, dst=image)
