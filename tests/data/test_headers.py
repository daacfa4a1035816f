import struct

import cv2
import numpy as np
import pytest

from data.headers import image_shape
from data.images import UnreadableImage, read_image
from tests.conftest import smooth_image, write_image


def exif(orientation, order=">"):
    mark = b"MM" if order == ">" else b"II"
    tiff = mark + struct.pack(order + "HIH", 42, 8, 1) + struct.pack(order + "HHIHHI", 0x0112, 3, 1, orientation, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff


def turned_jpeg(path, orientation, order=">"):
    write_image(path, smooth_image(40, 60))
    data = path.read_bytes()
    path.write_bytes(data[:2] + exif(orientation, order) + data[2:])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("shape", [(40, 60), (1, 100), (100, 1)])
def test_formats(tmp_path, suffix, shape):
    assert image_shape(write_image(tmp_path / f"a{suffix}", smooth_image(*shape))) == shape


def test_kinds_of_pixels(tmp_path):
    grey = smooth_image(30, 50)[..., 0]
    for name, image in (("g.jpg", grey), ("g.png", grey), ("d.png", grey.astype(np.uint16) * 256)):
        assert image_shape(write_image(tmp_path / name, image)) == (30, 50)
    rgba = cv2.cvtColor(smooth_image(30, 50), cv2.COLOR_BGR2BGRA)
    assert image_shape(write_image(tmp_path / "a.png", rgba)) == (30, 50)
    file = tmp_path / "p.jpg"  # progressive
    file.write_bytes(cv2.imencode(".jpg", smooth_image(30, 50), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    assert image_shape(file) == (30, 50)


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_by_exif_as_it_is_read(tmp_path, orientation, order):
    file = turned_jpeg(tmp_path / "a.jpg", orientation, order)
    assert image_shape(file) == read_image(file).shape[:2] == ((60, 40) if orientation >= 5 else (40, 60))


@pytest.mark.parametrize(
    "content", [b"\xff\xe1\x00\x0cExif\0\0MM\0\0", b"\xff\xe1\x00\x08Exif\0\0", b"\xff\xe1\x00\x04ab"]
)
def test_odd_exif_blocks_do_no_harm(tmp_path, content):
    file = write_image(tmp_path / "a.jpg", smooth_image(40, 60))
    data = file.read_bytes()
    file.write_bytes(data[:2] + content + data[2:])
    assert image_shape(file) == (40, 60)


def test_bytes_after_the_end_mark_are_allowed(tmp_path):
    file = write_image(tmp_path / "a.jpg", smooth_image(40, 60))
    file.write_bytes(file.read_bytes() + b"\0" * 70000)
    assert image_shape(file) == (40, 60)


def test_damage_inside_a_png_shows(tmp_path):
    file = write_image(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (30, 50, 3), np.uint8))
    content = bytearray(file.read_bytes())
    file.write_bytes(bytes(content) + b"behind the end")
    assert image_shape(file) == (30, 50)
    content[len(content) // 2] ^= 255
    file.write_bytes(content)
    with pytest.raises(UnreadableImage, match="checksum"):
        image_shape(file)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.95])
def test_cut_short(tmp_path, suffix, part):
    file = write_image(tmp_path / f"a{suffix}", smooth_image(60, 90))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    if suffix == ".bmp" and part == 0.95:
        pytest.skip("OpenCV reads most of a bitmap")
    with pytest.raises(UnreadableImage):
        image_shape(file)


def test_other_files(tmp_path):
    file = tmp_path / "a.jpg"
    for content in (b"<html></html>", b"\xff\xd8\xff\xe0", b"\xff\xd8" + b"A" * 100):
        file.write_bytes(content)
        with pytest.raises(UnreadableImage):
            image_shape(file)
    with pytest.raises(UnreadableImage, match="no such file"):
        image_shape(tmp_path / "b.jpg")


@pytest.mark.parametrize("header", [b"", struct.pack(">II", 0, 5), struct.pack(">II", 5, 0)], ids=["", "0x5", "5x0"])
def test_a_png_without_pixels(tmp_path, header):
    file = tmp_path / "a.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dIHDR" * bool(header) + header + b"IEND\xaeB`\x82")
    with pytest.raises(UnreadableImage):
        image_shape(file)
