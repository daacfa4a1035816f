import cv2
import numpy as np
import pytest

from data.images import IMAGE_SUFFIXES, read_image, reduce_image, reduction, resized_shape
from tests.conftest import smooth_image, write_image
from tests.data.test_headers import turned_jpeg
from utils.errors import UserError


def test_files_that_are_no_image(tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.write_bytes(b"")
    page = tmp_path / "page.png"
    page.write_text("<html>not found</html>")
    for file in (empty, page, tmp_path / "missing.jpg"):
        with pytest.raises(UserError, match=file.name):
            read_image(file)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("name", ["plain", "with space", "größe ☂ 写真"])
def test_formats_and_names(tmp_path, suffix, name):
    image = smooth_image(40, 60)
    found = read_image(write_image(tmp_path / "фото" / f"{name}{suffix}", image))
    assert found.shape == (40, 60, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - image).mean() < 3
    assert suffix in IMAGE_SUFFIXES


def test_grey_deep_and_transparent_pictures(tmp_path):
    image = smooth_image(40, 60)
    grey = image[..., 0]
    found = read_image(write_image(tmp_path / "grey.png", grey))
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, -1))
    for suffix in (".png", ".tif"):
        deep = read_image(write_image(tmp_path / f"deep{suffix}", image.astype(np.uint16) * 257))
        assert deep.dtype == np.uint8 and np.abs(deep.astype(int) - image).max() <= 1
    transparent = np.dstack((image, np.full((40, 60), 7, np.uint8)))
    np.testing.assert_array_equal(read_image(write_image(tmp_path / "rgba.png", transparent)), image)
    light = read_image(write_image(tmp_path / "light.pfm", image.astype(np.float32) / 255))
    assert light.dtype == np.uint8 and np.abs(light.astype(int) - image).max() <= 1


def test_turned_pictures(tmp_path):
    upright = read_image(turned_jpeg(tmp_path / "a.jpg", 1)).astype(int)
    turned = read_image(turned_jpeg(tmp_path / "b.jpg", 6))
    assert np.abs(np.rot90(upright, -1) - turned).max() < 3
    assert read_image(tmp_path / "b.jpg", reduce=2).shape == (30, 20, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("reduce", [2, 4, 8])
def test_reduced_reading_averages_blocks(tmp_path, suffix, reduce):
    image = smooth_image(160, 240)
    found = read_image(write_image(tmp_path / f"a{suffix}", image), reduce)
    assert found.shape == (160 // reduce, 240 // reduce, 3)
    expected = cv2.resize(image, (240 // reduce, 160 // reduce), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_blocks_begin_at_the_corner_whatever_the_size():
    image = smooth_image(37, 51)
    np.testing.assert_array_equal(reduce_image(image, 4), reduce_image(image[:36, :48], 4))
    assert reduce_image(image[:1], 8).shape == (1, 51, 3)


@pytest.mark.parametrize(
    "shape, magnification, expected",
    [
        ((720, 1280), 1.0, 1),
        ((720, 1280), 0.5, 2),  # exactly half is enough
        ((720, 1279), 640 / 1279, 1),  # 639.5 pixels are not
        ((720, 1280), 0.5001, 1),
        ((720, 1280), 0.25, 4),
        ((720, 1280), 0.2501, 2),
        ((720, 1280), 0.125, 8),
        ((720, 1280), 0.01, 8),
        ((720, 1280), float("inf"), 1),
        ((1, 1000), 0.1, 1),
        ((5, 1000), 0.1, 4),
    ],
)
def test_reduction_boundaries(shape, magnification, expected):
    assert reduction(shape, magnification) == expected


@pytest.mark.parametrize(
    "shape, expected",
    [((480, 640), (480, 640)), ((1, 1000), (1, 640)), ((765, 1360), (360, 640)), ((300, 101), (640, 216))],
)
def test_resized_shape(shape, expected):
    assert resized_shape(shape, 640) == expected


def test_the_longer_side_is_exact_for_all_lengths():
    assert {max(resized_shape((length, length // 2 + 1), 640)) for length in range(1, 3000)} == {640}
