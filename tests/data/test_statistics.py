import numpy as np
import pytest

from data.statistics import (
    Level,
    Objects,
    count_classes,
    covered_area,
    describe_levels,
    describe_regions,
    describe_sizes,
    overlapping_pairs,
    shared_cells,
)

NO_BOXES, NONE = np.zeros((0, 4)), np.zeros(0, int)
LEVELS = [Level(8, np.array([[10.0, 10.0]])), Level(16, np.array([[40.0, 20.0]]))]


def test_nothing_at_all():
    objects = Objects(NONE, NONE, NO_BOXES, [], np.zeros((0, 2)))
    assert objects.per_image().tolist() == []
    assert objects.scaled(640).shape == (0, 4)
    assert describe_sizes(NO_BOXES)["under"] == {"8": 0, "16": 0, "32": 0, "64": 0}
    figures = describe_levels(objects, NO_BOXES, LEVELS, 4.0)
    assert [level["in_shared_cells"] for level in figures["levels"]] == [0, 0]
    assert overlapping_pairs(NO_BOXES, NONE, (0.5, 0.7)).tolist() == [[0, 0], [0, 0]]
    assert covered_area(NO_BOXES) == 0
    assert describe_regions(objects) == {"regions": 0, "images": 0, "pixels": 0, "share": 0.0}


def test_classes_too_high_are_counted_nowhere():
    assert count_classes(np.array([0, 2, 2, 7]), 4) == [1, 0, 2, 0]


def test_images_are_scaled_by_their_longer_side():
    boxes = np.array([[50.0, 20, 10, 4], [10, 30, 2, 8]])
    objects = Objects(
        np.array([0, 2]), np.array([0, 0]), boxes, [NO_BOXES] * 3, np.array([[100, 200], [9, 9], [50, 40]])
    )
    np.testing.assert_allclose(objects.scaled(100), [[25, 10, 5, 2], [20, 60, 4, 16]])
    np.testing.assert_array_equal(objects.scaled(None), boxes)
    assert objects.per_image().tolist() == [1, 0, 1]


def test_sizes_are_roots_of_areas_and_limits_are_exclusive():
    boxes = np.array([[0, 0, 2.0, 8], [0, 0, 8, 8], [0, 0, 16, 9], [0, 0, 100, 100]])
    figures = describe_sizes(boxes)
    assert figures["under"] == {"8": 1, "16": 3, "32": 3, "64": 3}
    assert figures["percentiles"]["50"] == 10


def test_levels_by_hand():
    boxes = np.array([[4.0, 4, 5, 7], [7, 7, 9, 5], [12, 4, 41, 20]])
    objects = Objects(np.zeros(3, int), np.zeros(3, int), boxes, [NO_BOXES])
    figures = describe_levels(objects, boxes, LEVELS, 4.0)
    fine, coarse = figures["levels"]
    assert (fine["under_a_cell"], fine["in_shared_cells"], fine["fitting"]) == (1, 2, 2)  # 41 is more than 4 x 10
    assert (coarse["under_a_cell"], coarse["in_shared_cells"], coarse["fitting"]) == (2, 3, 1)
    assert figures["best_possible_recall"] == 1
    assert figures["anchors_per_object"] == 1


def test_cells_of_different_images_are_different():
    centres = np.array([[1.0, 1], [2, 3], [1, 1], [100, 1], [1, 100]])
    assert shared_cells(np.array([0, 0, 1, 1, 1]), centres, 8) == 2


@pytest.mark.parametrize("copies", [1, 700])  # 2,100 boxes go through in three blocks
def test_overlapping_pairs_by_hand(copies):
    group = np.array([[10.0, 10, 10, 10], [10, 12, 10, 10], [10, 14, 10, 10]])  # IoU 8/12, 8/12, 6/14
    boxes = np.concatenate([group + [100.0 * i, 0, 0, 0] for i in range(copies)])
    classes = np.tile([0, 0, 1], copies)
    found = overlapping_pairs(boxes, classes, (0.4, 0.45, 0.7))
    np.testing.assert_array_equal(found, np.array([[3, 1], [2, 1], [0, 0]]) * copies)


def test_boxes_without_area_and_boxes_that_only_touch_do_not_overlap():
    boxes = np.array([[5.0, 5, 0, 0], [5, 5, 10, 10], [15, 5, 10, 10]])
    assert overlapping_pairs(boxes, np.zeros(3, int), (0.45,)).tolist() == [[0, 0]]


def test_area_is_counted_once():
    assert covered_area(np.array([[5.0, 5, 10, 10]])) == 100
    assert covered_area(np.array([[5.0, 5, 10, 10], [5, 5, 10, 10], [10, 10, 10, 10], [50, 50, 2, 3]])) == 181
    rng = np.random.default_rng(0)
    edges = np.sort(rng.integers(0, 40, (12, 2, 2)), axis=1)  # image, low / high, x / y
    mask = np.zeros((40, 40), bool)
    for (x1, y1), (x2, y2) in edges:
        mask[y1:y2, x1:x2] = True
    boxes = np.concatenate((edges.mean(1), edges[:, 1] - edges[:, 0]), 1)
    assert covered_area(boxes) == mask.sum()


def test_regions_without_image_sizes_have_no_share():
    regions = [np.array([[5.0, 5, 10, 10]]), NO_BOXES]
    known = Objects(NONE, NONE, NO_BOXES, regions, np.array([[10, 10], [30, 10]]))
    assert describe_regions(known) == {"regions": 1, "images": 1, "pixels": 100, "share": 0.25}
    assert describe_regions(Objects(NONE, NONE, NO_BOXES, regions))["share"] is None
