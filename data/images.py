"""Reading image files: any of the supported formats becomes an 8-bit BGR picture, turned as its EXIF tag says."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from utils.errors import UserError

IMAGE_SUFFIXES = (".bmp", ".dng", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp", ".pfm")
REDUCED_MODES = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
JPEG_START, PFM_STARTS = b"\xff\xd8", (b"PF", b"Pf")


class UnreadableImage(ValueError):
    """An image file that cannot be used; the message is the reason, without the file's name."""


def read_image(path: str | Path, reduce: int = 1) -> np.ndarray:
    """Return the picture as (H, W, 3) uint8 BGR, the sides divided by `reduce` (1, 2, 4 or 8).

    A pixel of the reduced picture stands for a block of reduce x reduce original pixels from the top left corner on;
    JPEG files decode straight to it, which saves most of the time. Raises `UserError` naming the file.
    """
    try:
        return decode_image(read_bytes(path), reduce)
    except UnreadableImage as error:
        raise UserError(f"{path}: {error}; repair or remove the file") from None


def read_bytes(path: str | Path) -> np.ndarray:
    """The file's content as uint8 (`np.fromfile` takes names with any letters on every system)."""
    try:
        return np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise UnreadableImage((error.strerror or str(error)).lower()) from None


def decode_image(content: np.ndarray, reduce: int = 1) -> np.ndarray:
    """As `read_image`, from the file's bytes; raises `UnreadableImage`."""
    start = content[:2].tobytes()
    direct = reduce > 1 and start == JPEG_START
    mode = REDUCED_MODES[reduce] if direct else cv2.IMREAD_COLOR
    try:
        image = cv2.imdecode(content, mode | cv2.IMREAD_ANYDEPTH if start in PFM_STARTS else mode)
    except cv2.error:
        image = None
    if image is None or image.size == 0:
        raise UnreadableImage("is not an image that can be decoded")
    if image.dtype != np.uint8:  # floating point: 0 to 1 is black to white
        image = (np.nan_to_num(image).clip(0, 1) * 255).round().astype(np.uint8)
    return image if direct else reduce_image(image, reduce)


def reduce_image(image: np.ndarray, reduce: int) -> np.ndarray:
    """Average blocks of reduce x reduce pixels; what is left over at the right and bottom edge is cut off."""
    height, width = image.shape[0] // reduce, image.shape[1] // reduce
    if reduce == 1 or not height or not width:
        return image
    return cv2.resize(image[: height * reduce, : width * reduce], (width, height), interpolation=cv2.INTER_AREA)


def reduction(shape: tuple[int, int], magnification: float) -> int:
    """The largest of 8, 4, 2, 1 by which a (height, width) picture may be decoded smaller, when it is shown at
    `magnification` (shown / original side) and no decoded side may be below the shown one."""
    for reduce in (8, 4, 2):
        if reduce * magnification <= 1 and min(shape) >= reduce:
            return reduce
    return 1


def resized_shape(shape: Sequence[int], size: int) -> tuple[int, int]:
    """(height, width) with the longer side brought to `size`, the other rounded up: no side falls below 1."""
    longer = int(max(shape))
    return -(-int(shape[0]) * size // longer), -(-int(shape[1]) * size // longer)
