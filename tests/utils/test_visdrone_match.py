import numpy as np
import pytest

from utils.visdrone_match import HIT, MISS, NEUTRAL, inside_ignored, match

THRESHOLDS = np.array([0.5, 0.75])
NONE = np.empty((0, 4))


def by_mask(boxes, regions, height, width):
    """The same with a picture of marked pixels, as the rules are written down."""
    mask = np.zeros((height + 1, width + 1), int)
    for region in np.maximum(regions, 1).astype(int):
        x, y, w, h = region.tolist()
        mask[y : min(height, y + h) + 1, x : min(width, x + w) + 1] = 1
    answers = []
    for box in np.maximum(np.floor(boxes + 0.5), 1).astype(int):
        x, y, w, h = box.tolist()
        x0, y0, x1, y1 = min(width, x), min(height, y), min(width, x + w), min(height, y + h)
        answers.append(mask[y0 + 1 : y1 + 1, x0 + 1 : x1 + 1].sum() / (w * h) >= 0.5)
    return np.array(answers, bool)


def test_no_boxes_or_no_regions():
    box = np.array([[1, 1, 5, 5.0]])
    assert inside_ignored(NONE, box, 10, 10).shape == (0,)
    assert inside_ignored(box, NONE, 10, 10).tolist() == [False]


@pytest.mark.parametrize("seed", range(20))
def test_filter_is_that_of_a_mask(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(5, 60, 2).tolist()
    regions = np.column_stack((rng.integers(-5, 65, (6, 2)), rng.integers(-2, 40, (6, 2)))).astype(float)
    boxes = np.column_stack((rng.uniform(-5, 65, (80, 2)), rng.uniform(-2, 20, (80, 2)))).round(1)
    found = inside_ignored(boxes, regions, height, width)
    assert found.tolist() == by_mask(boxes, regions, height, width).tolist()


def test_only_regions_beyond_the_picture():
    assert not inside_ignored(np.array([[1, 1, 5, 5.0]]), np.array([[50, 50, 5, 5.0]]), 10, 10).any()


def test_a_region_of_half_pixels_marks_the_whole_pixels_in_it():
    region = np.array([[0.6, 0.6, 5.0, 5.0]])  # raised to 1: pixels 1 .. 6
    assert inside_ignored(np.array([[1, 1, 5, 5.0]]), region, 10, 10).all()


def test_nothing_to_match():
    assert match(NONE, NONE, NONE, THRESHOLDS).shape == (0, 2)
    box = np.array([[0, 0, 10, 10.0]])
    assert match(box, NONE, NONE, THRESHOLDS).tolist() == [[MISS, MISS]]
    assert match(NONE, box, box, THRESHOLDS).shape == (0, 2)


def test_a_real_object_wins_over_a_flagged_one_and_is_used_once():
    box, near = np.array([[0, 0, 10, 10.0]]), np.array([[0, 0, 10, 6.0]])
    found = match(np.repeat(box, 3, 0), near, box, THRESHOLDS)
    assert found.tolist() == [[HIT, NEUTRAL], [NEUTRAL, NEUTRAL], [NEUTRAL, NEUTRAL]]


def test_a_detection_takes_the_next_free_object():
    real = np.array([[0, 0, 10, 10.0], [0, 0, 10, 8.0]])
    found = match(np.array([[0, 0, 10, 10.0], [0, 0, 10, 10.0]]), real, NONE, THRESHOLDS)
    assert found.tolist() == [[HIT, HIT], [HIT, HIT]]


def test_of_equal_objects_the_last_is_taken():
    """The second detection overlaps the first object alone, so the first must have left it free."""
    real = np.array([[0, 0, 10, 10.0], [2, 0, 10, 10.0]])
    detections = np.array([[1, 0, 10, 10.0], [-1, 0, 10, 10.0]])
    assert match(detections, real, NONE, np.array([0.8])).tolist() == [[HIT], [HIT]]


def test_boxes_without_area_match_nothing():
    flat = np.array([[0, 0, 10, 0.0]])
    assert match(flat, flat, flat, THRESHOLDS).tolist() == [[MISS, MISS]]


def test_exact_thresholds_count():
    """Ratios of 0.6, 0.65 and 0.7 reach those thresholds; 17/20 does not reach 0.8500000000000001 (Octave's)."""
    thresholds = 0.5 + 0.05 * np.arange(10)
    for part, reached in ((12, 3), (13, 4), (14, 5), (17, 7)):
        found = match(np.array([[0, 0, 20, part]], float), np.array([[0, 0, 20, 20.0]]), NONE, thresholds)
        assert (found == HIT).sum() == reached
