"""The size of an image file from its header, and whether the file is whole, without decoding it."""

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from data.images import JPEG_START, UnreadableImage, decode_image, read_bytes

JPEG_END = b"\xff\xd9"
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
JPEG_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_SCAN, JPEG_EXIF = 0xDA, 0xE1
ORIENTATION = 0x0112
TAIL = 1 << 16


def image_shape(path: str | Path) -> tuple[int, int]:
    """(height, width) as `data.images.read_image` gives it; raises `UnreadableImage` where the file is cut short or
    broken. JPEG and PNG are judged by their headers and end marks, other formats are decoded."""
    try:
        with Path(path).open("rb") as file:
            shape = _shape_by_header(file)
    except OSError as error:
        raise UnreadableImage((error.strerror or str(error)).lower()) from None
    return shape or decode_image(read_bytes(path)).shape[:2]


def _shape_by_header(file: BinaryIO) -> tuple[int, int] | None:
    start = file.read(8)
    if not start:
        raise UnreadableImage("is empty")
    if start[:2] == JPEG_START:
        return _jpeg_shape(file)
    return _png_shape(file) if start == PNG_START else None


def _png_shape(file: BinaryIO) -> tuple[int, int] | None:
    """None where a chunk may turn the picture: only decoding tells how OpenCV takes it."""
    file.seek(0)
    data = file.read()
    if PNG_END not in data[-TAIL:]:
        raise UnreadableImage("is cut short (a PNG without its end mark)")
    _check_chunks(memoryview(data))
    width, height = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
    return (height, width) if width and height and b"eXIf" not in data else None


def _check_chunks(data: memoryview) -> None:
    """A PNG is chunks of length, name, content and checksum of the two: damage inside shows without decoding."""
    position = len(PNG_START)
    while position < len(data) and data[position + 4 : position + 8] != b"IEND":
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise UnreadableImage("is a broken PNG (a checksum is wrong)")
        position = end + 4


def _jpeg_shape(file: BinaryIO) -> tuple[int, int] | None:
    """None where the header leaves the height open: it then stands at the end of the file."""
    shape, turned, position = None, False, 2
    while True:
        file.seek(position)
        head = file.read(4)
        if len(head) < 4:
            raise UnreadableImage("is cut short (a JPEG that ends in its header)")
        if head[0] != 0xFF:
            raise UnreadableImage("is a broken JPEG (a segment does not begin with its mark)")
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if marker == 0xFF or marker in JPEG_WITHOUT_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in JPEG_FRAMES:
            shape = struct.unpack(">HH", file.read(5)[1:].ljust(4, b"\0"))
        elif marker == JPEG_EXIF:
            turned = turned or _turns(file.read(max(length - 2, 0)))
        elif marker == JPEG_SCAN:
            break
        position += 2 + length
    _check_jpeg_end(file, position)
    if shape is None or 0 in shape:
        return None
    return (shape[1], shape[0]) if turned else shape


def _check_jpeg_end(file: BinaryIO, scan: int) -> None:
    """The end mark cannot occur in the coded picture; cameras may write other things after it."""
    size = file.seek(0, os.SEEK_END)
    for start in (max(scan, size - TAIL), scan):
        file.seek(start)
        if JPEG_END in file.read():
            return
    raise UnreadableImage("is cut short (a JPEG without its end mark)")


def _turns(segment: bytes) -> bool:
    """Whether an EXIF segment's orientation (5 to 8) swaps the sides."""
    tiff = segment[6:]
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if segment[:6] != b"Exif\0\0" or order is None or len(tiff) < 10:
        return False
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack(order + "H", tiff[start : start + 2].ljust(2, b"\0"))
    for at in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, at)
        if tag == ORIENTATION and kind == 3:
            return 5 <= value <= 8
    return False
