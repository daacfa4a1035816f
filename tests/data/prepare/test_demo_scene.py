"""The demo scenes: reproducible, honestly annotated, and told apart by shape rather than colour."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import combinations

import cv2
import numpy as np
import pytest

from data.prepare.demo_items import Item, blit
from data.prepare.demo_place import colours
from data.prepare.demo_scene import draw_scene
from data.prepare.demo_shapes import CLASSES, OTHERS, VARIANTS, sprite

SCENES = 20


@cache
def scenes() -> list:
    return [draw_scene(seed) for seed in range(SCENES)]


def rows() -> np.ndarray:
    """All annotated objects of the ten classes."""
    table = np.concatenate([scene.annotations for scene in scenes()])
    return table[(table[:, 5] >= 1) & (table[:, 5] <= 10)]


def test_no_objects():
    scene = draw_scene(3, 200, 240, objects=0)
    assert scene.image.shape == (200, 240, 3) and scene.image.dtype == np.uint8
    assert scene.annotations.shape[1] == 8 and scene.annotations.dtype == np.int64
    assert not np.isin(scene.annotations[:, 5], (*CLASSES, OTHERS)).any()


@pytest.mark.parametrize("arguments", [(-1,), (0, 640, 640, -1), (0, 10, 640)])
def test_bad_requests_are_refused(arguments):
    with pytest.raises(ValueError, match="need seed"):
        draw_scene(*arguments)


def test_same_request_same_bytes():
    """Whatever was drawn before, and on however many threads."""
    first = scenes()[7]
    with ThreadPoolExecutor(3) as pool:
        again = list(pool.map(draw_scene, (8, 7, 7)))[1:]
    for other in again:
        assert other.image.tobytes() == first.image.tobytes()
        np.testing.assert_array_equal(other.annotations, first.annotations)


def test_seed_size_and_count_all_matter():
    base = draw_scene(0, 160, 160, 5).image
    assert not np.array_equal(base, draw_scene(1, 160, 160, 5).image)
    assert not np.array_equal(base, draw_scene(0, 160, 160, 6).image)
    assert not np.array_equal(base, draw_scene(0, 192, 160, 5).image[:160])


@pytest.mark.parametrize(
    ("height", "width", "objects"), [(128, 128, 3), (131, 517, 400), (720, 1280, 60), (1400, 200, 80), (640, 640, 1)]
)
def test_any_size_and_boxes_inside(height, width, objects):
    scene = draw_scene(5, height, width, objects)
    left, top, box_width, box_height = scene.annotations[:, :4].T
    assert scene.image.shape == (height, width, 3)
    assert 0 < len(scene.annotations) <= objects + 4
    assert (left >= 0).all() and (top >= 0).all() and (box_width > 0).all() and (box_height > 0).all()
    assert (left + box_width <= width).all() and (top + box_height <= height).all()


def test_the_wanted_number_of_objects():
    counts = [np.isin(scene.annotations[:, 5], CLASSES).sum() for scene in scenes()]
    assert max(counts) == 60 and np.mean(counts) > 59


def test_a_third_is_small_and_nothing_is_huge():
    width, height = rows()[:, 2:4].T
    assert (np.sqrt(width * height) < 16).mean() >= 1 / 3
    assert 60 < max(width.max(), height.max()) <= 115
    assert min(width.min(), height.min()) >= 3


def test_classes_are_balanced():
    counts = np.bincount(rows()[:, 5], minlength=11)[1:]
    assert counts.min() > 0.9 * counts.mean() and counts.max() < 1.1 * counts.mean()


def test_ignored_regions_and_others_occur_unscored():
    tables = [scene.annotations for scene in scenes()]
    crowded, special = (sum((table[:, 5] == category).any() for table in tables) for category in (0, OTHERS))
    assert 2 <= crowded <= 12 and 3 <= special <= 14
    for table in tables:
        np.testing.assert_array_equal(table[:, 4], np.isin(table[:, 5], CLASSES))


def test_truncation_and_occlusion_occur_and_are_valid():
    truncation, occlusion = rows()[:, 6:].T
    assert set(truncation) == {0, 1} and set(occlusion) == {0, 1, 2}
    assert 0.02 < truncation.mean() < 0.3 and 0.05 < (occlusion > 0).mean() < 0.5


def test_truncated_boxes_touch_the_edge():
    table = rows()
    left, top, width, height = table[table[:, 6] == 1, :4].T
    assert ((left == 0) | (top == 0) | (left + width == 640) | (top + height == 640)).all()


def _cover(item: Item, height: int, width: int) -> np.ndarray:
    """Where the item hides the ground, (H, W) bool: what stays different between a black and a white ground shows."""
    black, white = np.zeros((height, width, 3), np.uint8), np.full((height, width, 3), 255, np.uint8)
    blit(black, item)
    blit(white, item)
    return white[..., 0].astype(int) - black[..., 0] < 170


@pytest.mark.parametrize("category", CLASSES)
def test_a_box_is_tight_around_what_is_drawn(category):
    """The outline from which boxes are made ends within two pixels of where the drawing ends."""
    item = Item(sprite(category), category, 60.3, 50.8, 0.7, 10.0, np.full((2, 3), 128.0))
    x, y, width, height = cv2.boundingRect(_cover(item, 110, 120).astype(np.uint8))
    left, top, columns, rows_ = cv2.boundingRect(item.stamp.mask)
    found = np.array((item.stamp.left + left, item.stamp.top + top, columns, rows_))
    assert np.abs(found - (x, y, width, height)).max() <= 2


def test_no_class_has_a_colour():
    """Paints are drawn alike for all: the classes' mean tints differ far less than objects of one class do."""
    tints = {category: [] for category in CLASSES}
    for scene in scenes():
        for left, top, width, height, _, category, _, occlusion in scene.annotations.tolist():
            if category in tints and occlusion == 0:
                x, y = left + width // 4, top + height // 4
                core = scene.image[y : y + height // 2 + 1, x : x + width // 2 + 1].reshape(-1, 3).astype(float).mean(0)
                tints[category].append(core - core.mean())
    means = np.array([np.mean(tints[category], axis=0) for category in CLASSES])
    within = np.mean([np.std(tints[category], axis=0) for category in CLASSES], axis=0)
    assert (means.std(0) < 0.35 * within).all()
    paints = colours(4000, np.random.default_rng(0))
    assert paints.shape == (4000, 2, 3) and paints.min() >= 0 and paints.max() <= 255


def test_outlines_differ():
    """Of two classes no two silhouettes agree by 85 % (intersection over union)."""
    paint = np.full((2, 3), 128.0)
    shapes = {
        (c, v): _cover(Item(sprite(c, v), c, 160, 160, 0.0, 32.0, paint), 320, 320)
        for c in CLASSES
        for v in range(VARIANTS)
    }
    for (one, first), (two, second) in combinations(shapes.items(), 2):
        if one[0] != two[0]:
            assert (first & second).sum() < 0.85 * (first | second).sum(), (one, two)
