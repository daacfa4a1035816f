import cv2
import numpy as np
import pytest

from data.augment import flip_matrix, move_boxes, random_view
from data.images import reduce_image, reduction
from data.mosaic import Tile, draw, plan_mosaic, plan_single, tile_boxes, tile_regions
from tests.conftest import smooth_image
from tests.data.test_augment import ALL

SIZE = 160
SHAPES = np.array([(120, 160), (200, 90), (64, 64), (700, 500), (1, 300)])
IMAGES = [smooth_image(*shape, seed=seed) for seed, shape in enumerate(SHAPES.tolist())]
UPRIGHT = {"translate": 0.1, "scale": 0.5}


def read(index, shown):
    reduce = reduction(tuple(SHAPES[index]), shown)
    return reduce_image(IMAGES[index], reduce), (reduce, reduce)


def by_canvas(tiles, canvas, matrix, size):
    """What stock does: resize, paste on a grey canvas, warp that; and the warped mask of pixels away from seams."""
    image, inside = np.full((*canvas, 3), 114, np.uint8), np.zeros(canvas, np.uint8)
    for tile in tiles:
        resized = cv2.resize(IMAGES[tile.index], tile.shape[::-1], interpolation=cv2.INTER_AREA)
        x1, y1, x2, y2 = tile.region
        left, top = x1 - tile.offset[0], y1 - tile.offset[1]
        image[y1:y2, x1:x2] = resized[top : top + y2 - y1, left : left + x2 - x1]
        inside[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] = 1
        cv2.rectangle(inside, (x1 - 2, y1 - 2), (x2 + 1, y2 + 1), 0, 4)
    for tile in tiles:
        x1, y1, x2, y2 = tile.region
        inside[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] = 1
    warped = cv2.warpPerspective(image, matrix, size[::-1], borderValue=(114, 114, 114))
    return warped, cv2.warpPerspective(inside, matrix, size[::-1], flags=cv2.INTER_NEAREST) > 0


def test_no_tiles_are_a_grey_picture():
    image = draw([], np.eye(3), (20, 30), SHAPES, read)
    assert image.shape == (20, 30, 3) and (image == 114).all()


def test_the_plan_is_stock_s():
    for seed in range(50):
        tiles = plan_mosaic((0, 1, 2, 3), SHAPES, SIZE, np.random.default_rng(seed))
        regions = np.array([tile.region for tile in tiles])
        centre = regions[0, 2:]
        assert (centre >= SIZE // 2).all() and (centre <= 3 * SIZE // 2).all()
        np.testing.assert_array_equal(regions[:, [2, 0, 2, 0]][range(4), range(4)], [centre[0]] * 4)
        np.testing.assert_array_equal(regions[:, [3, 3, 1, 1]][range(4), range(4)], [centre[1]] * 4)
        assert (regions >= 0).all() and (regions <= 2 * SIZE).all()
        assert [max(tile.shape) for tile in tiles] == [SIZE] * 4


@pytest.mark.parametrize(
    "hyp", [{}, UPRIGHT, ALL | {"perspective": 0.0}, ALL], ids=["still", "upright", "turned", "all"]
)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("flips", [(False, False), (True, True)])
def test_drawing_equals_pasting_and_warping(hyp, seed, flips):
    rng = np.random.default_rng(seed)
    tiles = plan_mosaic(rng.permutation(4), SHAPES, SIZE, rng)
    canvas, size = (2 * SIZE, 2 * SIZE), (SIZE, SIZE)
    matrix = random_view(rng, hyp, canvas, size).matrix
    expected, inside = by_canvas(tiles, canvas, matrix, size)
    if flips[0]:
        expected, inside = expected[::-1, ::-1], inside[::-1, ::-1]
    found = draw(tiles, flip_matrix(flips, size) @ matrix, size, SHAPES, read)
    difference = np.abs(found.astype(int) - expected)
    assert inside.mean() > 0.3
    assert difference[inside].max() <= 12 and difference[inside].mean() < 1.0
    assert (difference.max(-1) > 25).mean() < 0.04  # at most lines at the seams
    grey = (expected == 114).all(-1)
    assert not grey.any() or difference[grey].mean() < 1.0


def test_seams_leave_no_gaps():
    white = [np.full((*shape, 3), 255, np.uint8) for shape in SHAPES.tolist()]
    for seed in range(30):
        rng = np.random.default_rng(seed)
        tiles = [
            Tile(2, (SIZE, SIZE), (x, y), (x, y, x + SIZE, y + SIZE), (x, y)) for x in (0, SIZE) for y in (0, SIZE)
        ]
        for hyp in ({"scale": 0.4}, {"scale": 0.4, "degrees": 30}):
            matrix = random_view(rng, hyp, (2 * SIZE, 2 * SIZE), (60, 60)).matrix
            image = draw(tiles, matrix, (60, 60), SHAPES, lambda index, shown: (white[index], (1, 1)))
            assert image.min() == 255


def test_a_whole_upright_picture_is_a_resize():
    image = smooth_image(9, 7)
    for scale_x, scale_y in ((3.3, 5.7), (0.8, 0.6), (1.0, 1.0)):
        height, width = round(9 * scale_y), round(7 * scale_x)
        tile = Tile(0, (height, width), (0, 0), (0, 0, width, height), (0, 0))
        found = draw([tile], np.eye(3), (height, width), np.array([(9, 7)]), lambda index, shown: (image, (1, 1)))
        expected = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        assert np.abs(found.astype(int) - expected).max() <= 4  # half a pixel at the edges is repeated


def test_tiles_out_of_sight_are_not_read():
    tiles = plan_mosaic((0, 1, 2, 3), SHAPES, SIZE, np.random.default_rng(0))
    seen = []

    def watch(index, shown):
        seen.append(index)
        return read(index, shown)

    x, y = tiles[0].region[2], tiles[0].region[3]
    draw(tiles, np.array([[1, 0, 20 - x], [0, 1, 20 - y], [0, 0, 1]]), (20, 20), SHAPES, watch)
    assert seen == [0]
    seen.clear()
    draw(tiles, np.array([[1, 0, 10 - x], [0, 1, 10 - y], [0, 0, 1]]), (20, 20), SHAPES, watch)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("scale, expected", [(1.0, 0.5), (0.5, 0.25), (1.5, 0.75)])
def test_how_large_a_tile_is_asked_for(scale, expected):
    asked = []

    def watch(index, shown):
        asked.append(shown)
        return np.zeros((320, 240, 3), np.uint8), (1, 1)

    tile = plan_single(0, np.array([(320, 240)]), SIZE, (SIZE, SIZE))
    draw([tile], np.diag((scale, scale, 1.0)), (SIZE, SIZE), np.array([(320, 240)]), watch)
    assert asked == [pytest.approx(expected)]


def test_a_picture_of_one_row_works():
    rng = np.random.default_rng(0)
    for hyp in (UPRIGHT, ALL):
        tiles = plan_mosaic((4, 4, 4, 4), SHAPES, SIZE, rng)
        view = random_view(rng, hyp, (2 * SIZE, 2 * SIZE), (SIZE, SIZE))
        assert draw(tiles, view.matrix, view.size, SHAPES, read).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("canvas", [(160, 160), (128, 160), (160, 96)])
@pytest.mark.parametrize("index", range(4))
def test_a_single_picture_is_letterboxed(index, canvas):
    tile = plan_single(index, SHAPES, SIZE, canvas)
    x1, y1, x2, y2 = tile.region
    assert (y2 - y1, x2 - x1) == tile.shape and x1 >= 0 and y1 >= 0 and x2 <= canvas[1] and y2 <= canvas[0]
    assert x1 == 0 and x2 == canvas[1] or y1 == 0 and y2 == canvas[0]
    assert abs(x1 - (canvas[1] - x2)) <= 1 and abs(y1 - (canvas[0] - y2)) <= 1
    height, width = SHAPES[index]
    assert abs(tile.shape[0] / tile.shape[1] * width / height - 1) < 0.02


def test_boxes_go_where_stock_s_go():
    rng = np.random.default_rng(5)
    canvas, size = (2 * SIZE, 2 * SIZE), (SIZE, SIZE)
    labels = np.concatenate((rng.integers(0, 3, (40, 1)), rng.uniform(0, 1, (40, 2)), rng.uniform(0, 0.6, (40, 2))), 1)
    labels = labels.astype(np.float32)
    tiles = plan_mosaic((0, 1, 2, 3), SHAPES, SIZE, rng)
    view = random_view(rng, UPRIGHT, canvas, size)
    found = move_boxes(np.concatenate([tile_boxes(tile, labels, canvas) for tile in tiles]), view)
    expected = []
    for tile in tiles:
        (height, width), (pad_x, pad_y) = tile.shape, tile.offset
        for number, cx, cy, w, h in labels.astype(float):
            xs = np.array([cx - w / 2, cx + w / 2]) * width + pad_x
            ys = np.array([cy - h / 2, cy + h / 2]) * height + pad_y
            xs, ys = xs.clip(0, 2 * SIZE), ys.clip(0, 2 * SIZE)
            area = (xs[1] - xs[0]) * (ys[1] - ys[0]) * view.scale**2
            new_x = (xs * view.matrix[0, 0] + view.matrix[0, 2]).clip(0, SIZE)
            new_y = (ys * view.matrix[1, 1] + view.matrix[1, 2]).clip(0, SIZE)
            w2, h2 = new_x[1] - new_x[0], new_y[1] - new_y[0]
            if w2 > 2 and h2 > 2 and w2 * h2 > 0.1 * area and max(w2 / h2, h2 / w2) < 100:
                expected.append((number, new_x[0], new_y[0], new_x[1], new_y[1]))
    assert len(expected) > 20
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_no_labels():
    tile = plan_single(0, SHAPES, SIZE, (SIZE, SIZE))
    assert tile_boxes(tile, np.zeros((0, 5), np.float32), (SIZE, SIZE)).shape == (0, 5)


def test_regions_are_cut_to_the_tile_s_visible_part():
    tile = Tile(0, (100, 200), (-50, 30), (0, 30, 150, 110), (-50, 30))  # cut at the canvas' left edge and below
    regions = np.array([[0.5, 0.5, 1, 1], [0.75, 0.25, 0.25, 0.1], [0.1, 0.5, 0.2, 0.5], [0.5, 0.9, 0.5, 0.2]])
    found = tile_regions(tile, regions)
    np.testing.assert_allclose(found, [[0, 30, 150, 110], [75, 50, 125, 60]], atol=1e-9)
    assert tile_regions(tile, np.zeros((0, 4))).shape == (0, 4)
