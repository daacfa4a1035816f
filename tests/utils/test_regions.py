import numpy as np
import pytest

from utils.regions import NO_REGIONS, cut, flip, move, rectangles

BOX = np.array([[10.0, 20.0, 30.0, 60.0]])


def test_nothing():
    assert (
        rectangles(np.zeros((0, 4))).shape == cut(np.zeros((0, 4)), (0, 0, 9, 9)).reshape(-1, 4, 2).shape == (0, 4, 2)
    )
    assert move(NO_REGIONS, np.eye(3), (10, 10)).shape == flip(NO_REGIONS, (True, True), (10, 10)).shape == (0, 4, 2)


def test_corners_go_around():
    assert rectangles(BOX).tolist() == [[[10, 20], [30, 20], [30, 60], [10, 60]]]


def test_cut_to_the_visible_part():
    boxes = np.array([[10, 20, 30, 60], [-5, -5, 200, 200], [0, 0, 15, 25], [0, 0, 14, 90], [50, 0, 60, 90.0]])
    assert cut(boxes, (15, 25, 50, 50)).tolist() == [[15, 25, 30, 50], [15, 25, 50, 50]]


@pytest.mark.parametrize(
    "flips, expected",
    [
        ((True, False), [[90, 20], [70, 20], [70, 60], [90, 60]]),
        ((False, True), [[10, 60], [30, 60], [30, 20], [10, 20]]),
        ((True, True), [[90, 60], [70, 60], [70, 20], [90, 20]]),
    ],
)
def test_flips_by_hand(flips, expected):
    polygons = rectangles(BOX)
    assert flip(polygons, flips, (80, 100)).tolist() == [expected]
    assert polygons.tolist() == rectangles(BOX).tolist()


def test_an_upright_view_leaves_rectangles_cut_to_the_picture():
    matrix = np.array([[2.0, 0, -30], [0, 0.5, 0], [0, 0, 1]])
    assert move(rectangles(BOX), matrix, (25, 100)).tolist() == [[[0, 10], [30, 10], [30, 25], [0, 25]]]
    assert move(rectangles(BOX), matrix, (10, 100)).shape == (0, 4, 2)  # it begins where the picture ends
    matrix[0, 2] = -60
    assert move(rectangles(BOX), matrix, (25, 100)).shape == (0, 4, 2)


def test_a_turned_region_stays_its_polygon():
    quarter = np.array([[0.0, -1, 50], [1, 0, 0], [0, 0, 1]])  # (x, y) -> (50 - y, x)
    assert move(rectangles(BOX), quarter, (100, 100)).tolist() == [[[30, 10], [30, 30], [-10, 30], [-10, 10]]]
    half = np.sqrt(0.5)
    turn = np.array([[half, -half, 0], [half, half, 0], [0, 0, 1]])
    found = move(rectangles(BOX), turn, (100, 100))
    np.testing.assert_allclose(found[0], np.array([(-10, 30), (10, 50), (-30, 90), (-50, 70)]) * half, atol=1e-9)
    assert move(rectangles(BOX), turn, (20, 100)).shape == (0, 4, 2)


def test_perspective_divides_and_what_lies_behind_the_horizon_goes():
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [0.1, 0, 1]])
    found = move(rectangles(BOX), matrix, (100, 100))
    np.testing.assert_allclose(found, [[[5, 10], [7.5, 5], [7.5, 15], [5, 30]]])
    matrix[2, 0] = -0.05  # the horizon is x = 20
    assert move(rectangles(BOX), matrix, (100, 100)).shape == (0, 4, 2)
