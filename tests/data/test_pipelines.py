"""Ignored regions through the pipelines: drawn white into black pictures, they must cover the white of the result."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.dataset import DetectionDataset, Pick
from data.image_cache import MemoryCache
from data.loader import collate
from data.pipelines import TrainPipeline, ValPipeline
from data.region_files import to_pixels
from tests.data.test_augment import ALL

SIZE = 160
SHAPES = np.array([(120, 160), (200, 90), (64, 64), (350, 250)])
REGIONS = [
    np.array([[0.3, 0.4, 0.4, 0.5], [0.8, 0.8, 0.4, 0.4]]),
    np.array([[0.5, 0.5, 1.0, 0.3]]),
    np.zeros((0, 4)),
    np.array([[0.5, 0.2, 0.6, 0.4]]),
]
LABELS = [np.float32([[0, 0.5, 0.5, 0.3, 0.3]])] * 4


def picture(shape, regions):
    """Black with white regions, their edges at whole pixels (for regions over an even pixel count they are)."""
    image = np.zeros((*shape, 3), np.uint8)
    for x1, y1, x2, y2 in to_pixels(regions, shape).round().astype(int).tolist():
        image[y1:y2, x1:x2] = 255
    return image


IMAGES = [picture(tuple(shape), regions) for shape, regions in zip(SHAPES.tolist(), REGIONS)]


def dataset(pipeline, regions=REGIONS):
    files = [Path(f"{i}.jpg") for i in range(len(IMAGES))]
    return DetectionDataset(files, LABELS, SHAPES, pipeline, 7, MemoryCache(IMAGES), regions)


def covered(polygons, shape):
    """The pixels whose centres lie on one side of all four edges of a polygon."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    found = np.zeros(shape, bool)
    for polygon in polygons:
        edges = list(zip(polygon, np.roll(polygon, -1, 0)))
        sides = np.array([(b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) for a, b in edges])
        found |= (sides >= 0).all(0) | (sides <= 0).all(0)
    return found


def shrunk(mask):
    return cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0


def assert_covers(sample):
    """The polygons cover what is white, to within two pixels."""
    white = sample.image[..., 0] > 180
    drawn = covered(sample.regions, white.shape)
    assert not (shrunk(white) & ~drawn).any() and not (shrunk(drawn) & ~white).any()
    return bool(white.any())


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
@pytest.mark.parametrize(
    "hyp",
    [{}, {"translate": 0.2, "scale": 0.5}, ALL | {"perspective": 0.0}, ALL],
    ids=["still", "upright", "turned", "all"],
)
@pytest.mark.parametrize("flips", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_regions_go_where_the_picture_goes(hyp, flips, mosaic):
    colours = {"hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0}
    pipeline = TrainPipeline(SIZE, hyp | colours | {"mosaic": mosaic, "fliplr": flips[0], "flipud": flips[1]})
    data = dataset(pipeline)
    seen = [assert_covers(data[Pick(epoch, index)]) for epoch in range(4) for index in range(4)]
    assert sum(seen) >= 8


def test_regions_do_not_touch_chance():
    pipeline = TrainPipeline(SIZE, ALL | {"mosaic": 0.7, "mixup": 0.5, "fliplr": 0.5})
    for with_regions, without in zip(*(([d[Pick(e, i)] for e in range(3) for i in range(4)])
                                       for d in (dataset(pipeline), dataset(pipeline, None)))):  # fmt: skip
        assert without.regions is None
        np.testing.assert_array_equal(with_regions.image, without.image)
        np.testing.assert_array_equal(with_regions.boxes, without.boxes)


def test_rectangular_training():
    sizes = np.array([(128, 160), (160, 96), (160, 160), (160, 128)])
    data = dataset(TrainPipeline(SIZE, {"fliplr": 1.0}, sizes))
    assert [assert_covers(data[i]) for i in range(4)] == [True, True, False, True]


@dataclass(frozen=True)
class Scenes(TrainPipeline):
    def _mosaic(self, data, indices, rng, flips):
        number = indices[0] // 10
        return np.zeros((8, 8, 3), np.uint8), np.zeros((1, 5), np.float32), np.full((1 + number, 4, 2), number + 0.0)


def test_mixup_unites_the_regions_of_both():
    data = dataset(Scenes(8, {"mosaic": 1.0, "mixup": 1.0}))
    sample = data[Pick(0, 0, partners=(1, 2, 3, 10, 11, 12, 13))]
    assert sample.regions[:, 0, 0].tolist() == [0, 1, 1] and len(sample.boxes) == 2
    assert dataset(Scenes(8, {"mosaic": 1.0}))[0].regions.shape == (1, 4, 2)


def test_a_region_of_the_whole_picture_ends_at_its_tile():
    whole = [np.array([[0.5, 0.5, 1.0, 1.0]]), *[np.zeros((0, 4))] * 3]
    data = dataset(TrainPipeline(SIZE, {"mosaic": 1.0}), whole)
    for epoch in range(6):
        sample = data[Pick(epoch, 0, partners=(1, 2, 2, 2, 2, 2, 2))]
        for polygon in sample.regions:  # 120 x 160 fits in the height: the rest is other pictures or grey
            assert np.ptp(polygon[:, 0]) <= SIZE and np.ptp(polygon[:, 1]) <= 120
            assert (polygon >= 0).all() and (polygon <= SIZE).all()


@pytest.mark.parametrize("sizes", [None, np.array([(128, 160), (192, 96), (192, 192), (160, 128)])])
def test_validation(sizes):
    data = dataset(ValPipeline(SIZE, sizes))
    for index in range(4):
        sample = data[index]
        assert assert_covers(sample) == (index != 2)
        np.testing.assert_array_equal(sample.ignored, to_pixels(REGIONS[index], tuple(SHAPES[index])))
        corners = sample.regions[:, [0, 2]].reshape(-1, 4)
        np.testing.assert_allclose(sample.letterbox.invert(corners), sample.ignored, atol=1e-9)
    none = dataset(ValPipeline(SIZE, sizes), None)[0]
    assert none.ignored.shape == (0, 4) and none.regions.shape == (0, 4, 2)


def test_a_batch_numbers_its_regions():
    data = dataset(ValPipeline(SIZE))
    batch = collate([data[i] for i in range(4)])
    assert batch.regions[:, 0].tolist() == [0, 0, 1, 3] and str(batch.regions.dtype) == "torch.float32"
    # 120 x 160 in the middle of 160 x 160: 20 rows of grey above
    x1, x2, y1, y2 = 0.1, 0.5, (20 + 0.15 * 120) / 160, (20 + 0.65 * 120) / 160
    np.testing.assert_allclose(batch.regions[0, 1:], [x1, y1, x2, y1, x2, y2, x1, y2], rtol=1e-6)
    assert [len(found) for found in batch.ignored] == [2, 1, 0, 1]
    assert collate([data[2]]).regions.shape == (0, 9)
    train = dataset(TrainPipeline(SIZE, {}), None)
    assert collate([train[0]]).regions.shape == (0, 9) and collate([train[0]]).ignored == ()
