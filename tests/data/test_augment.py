import math

import cv2
import numpy as np
import pytest

from data.augment import (
    View,
    flip_boxes,
    flip_matrix,
    magnification,
    mixup,
    move_boxes,
    random_flips,
    random_hsv,
    random_view,
)
from tests.conftest import smooth_image

NO_BOXES = np.zeros((0, 5), np.float32)
ALL = {"degrees": 20, "translate": 0.1, "scale": 0.5, "shear": 10, "perspective": 0.0005}


def generator(seed=0):
    return np.random.default_rng(seed)


def plain_view(matrix=None, size=(100, 100), scale=1.0):
    return View(size, size, np.eye(3) if matrix is None else np.array(matrix, float), scale)


def test_no_boxes():
    assert move_boxes(NO_BOXES, plain_view()).shape == (0, 5)
    assert flip_boxes(NO_BOXES, (True, True), (10, 10)).shape == (0, 5)


def test_no_hyper_parameters_mean_no_change():
    view = random_view(generator(), {}, (80, 120), (80, 120))
    np.testing.assert_allclose(view.matrix, np.eye(3), atol=1e-12)
    assert view.scale == 1
    image = smooth_image(20, 30)
    np.testing.assert_array_equal(random_hsv(image.copy(), generator(), {}), image)
    assert random_flips(generator(), {}) == (False, False)


def test_the_canvas_centre_stays_in_the_middle_and_scale_is_the_scale():
    for seed in range(20):
        view = random_view(generator(seed), {"scale": 0.5}, (200, 300), (100, 150))
        np.testing.assert_allclose(view.matrix @ (150, 100, 1), (75, 50, 1), atol=1e-9)
        assert 0.5 <= view.scale <= 1.5
        assert magnification(view.matrix, np.zeros((1, 2))) == pytest.approx(view.scale)


def test_ranges_of_translation_and_rotation():
    shifts, angles = [], []
    for seed in range(200):
        matrix = random_view(generator(seed), {"translate": 0.1, "degrees": 30}, (100, 100), (100, 100)).matrix
        shifts.append((matrix @ (50, 50, 1))[:2] - 50)
        angles.append(math.degrees(math.atan2(matrix[0, 1], matrix[0, 0])))
    assert 9 < np.abs(shifts).max() <= 10 and 28 < np.abs(angles).max() <= 30


def test_boxes_are_the_hull_of_their_moved_corners():
    view = random_view(generator(3), ALL, (200, 200), (160, 160))
    boxes = np.float32([[2, 60, 70, 110, 100], [0, 90, 90, 130, 150]])
    found = move_boxes(boxes, view)
    assert found.dtype == np.float32 and found[:, 0].tolist() == [2, 0]
    for (_, x1, y1, x2, y2), row in zip(boxes, found):
        corners = np.array([view.matrix @ (x, y, 1) for x in (x1, x2) for y in (y1, y2)])
        points = corners[:, :2] / corners[:, 2:]
        expected = np.concatenate((points.min(0), points.max(0))).clip(0, 160)
        np.testing.assert_allclose(row[1:], expected, rtol=1e-5)


@pytest.mark.parametrize(
    "box, kept",
    [
        ((10, 10, 12, 20), False),  # 2 pixels wide
        ((10, 10, 12.1, 20), True),
        ((10, 10, 20, 12), False),
        ((0, 10, 99.9, 13), True),
        ((-90, 10, 9, 60), False),  # less than a tenth of it is left
        ((-80, 10, 10, 60), True),
        ((200, 10, 220, 60), False),
    ],
)
def test_which_boxes_are_dropped(box, kept):
    assert len(move_boxes(np.float32([[0, *box]]), plain_view())) == kept


def test_area_is_compared_after_scaling_and_long_boxes_go():
    shrink = [[0.2, 0, 0], [0, 0.2, 0], [0, 0, 1]]
    assert len(move_boxes(np.float32([[0, 10, 10, 60, 60]]), plain_view(shrink, scale=0.2))) == 1
    assert len(move_boxes(np.float32([[0, 0, 10, 400, 13]]), plain_view(size=(500, 500)))) == 0 or 400 / 3 < 100
    assert len(move_boxes(np.float32([[0, 0, 10, 290, 13]]), plain_view(size=(500, 500)))) == 1


def test_magnification_is_the_largest_stretch():
    for seed in range(5):
        matrix = random_view(generator(seed), ALL, (200, 200), (160, 160)).matrix
        points = np.array([(0, 0), (200, 0), (200, 200), (0, 200)], float)
        stretches = []
        for x, y in points:
            moved = [matrix @ (x + dx, y + dy, 1) for dx, dy in ((0, 0), (1e-4, 0), (0, 1e-4))]
            origin, right, below = (p[:2] / p[2] for p in moved)
            jacobian = np.stack((right - origin, below - origin), 1) / 1e-4
            stretches.append(np.linalg.norm(jacobian, 2))
        assert magnification(matrix, points) == pytest.approx(max(stretches), rel=1e-3)
    behind = np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1]])
    assert magnification(behind, np.array([(150.0, 0)])) == math.inf


def reference_hsv(image, factors):
    """Stock's: each channel through its own table."""
    steps = np.arange(256)
    tables = (steps * factors[0]) % 180, (steps * factors[1]).clip(0, 255), (steps * factors[2]).clip(0, 255)
    channels = [cv2.LUT(part, table.astype(np.uint8)) for part, table in zip(cv2.split(to_hsv(image)), tables)]
    return cv2.cvtColor(cv2.merge(channels), cv2.COLOR_HSV2BGR)


def to_hsv(image):
    return cv2.cvtColor(image, cv2.COLOR_BGR2HSV)


@pytest.mark.parametrize("hue", [0.015, 0.4, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_hsv_equals_tables(hue, seed):
    hyp = {"hsv_h": hue, "hsv_s": 0.7, "hsv_v": 0.4}
    image = generator(9).integers(0, 256, (33, 47, 3), dtype=np.uint8)
    factors = generator(seed).uniform(-1, 1, 3) * list(hyp.values()) + 1
    expected = reference_hsv(image, factors).astype(int)
    difference = np.abs(random_hsv(image.copy(), generator(seed), hyp) - expected)
    assert difference.max() <= 10 and difference.mean() < 0.05


def test_flips_happen_as_often_as_told():
    drawn = np.array([random_flips(generator(seed), {"fliplr": 0.5, "flipud": 0.1}) for seed in range(1000)])
    assert np.abs(drawn.mean(0) - (0.5, 0.1)).max() < 0.05
    assert random_flips(generator(), {"fliplr": 1.0, "flipud": 1.0}) == (True, True)


@pytest.mark.parametrize("flips", [(True, False), (False, True), (True, True), (False, False)])
def test_flipping(flips):
    image = np.zeros((20, 30, 3), np.uint8)
    image[4:10, 3:12] = 255
    boxes = flip_boxes(np.float32([[1, 3, 4, 12, 10]]), flips, (20, 30))
    turned = cv2.warpAffine(image, flip_matrix(flips, (20, 30))[:2], (30, 20), flags=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(turned, image[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1])
    y, x = np.nonzero(turned[..., 0])
    np.testing.assert_array_equal(boxes, [[1, x.min(), y.min(), x.max() + 1, y.max() + 1]])


def test_mixup_shows_both():
    first, second = np.full((8, 8, 3), 200, np.uint8), np.zeros((8, 8, 3), np.uint8)
    boxes = np.float32([[0, 1, 1, 5, 5]])
    image, both = mixup((first, boxes), (second, boxes + 1), generator())
    assert 50 < image.mean() < 150 and image.std() == 0
    np.testing.assert_array_equal(both, np.concatenate((boxes, boxes + 1)))
