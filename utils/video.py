"""Writing mp4 files that can be played however the program ends."""

import errno
import os
import shutil
import uuid
from pathlib import Path

import cv2
import numpy as np

from utils.errors import UserError

FOURCC = "mp4v"
DEFAULT_FPS = 30.0
ROOM = 1 << 20  # bytes that stay free for the table that ends an mp4 file


class VideoWriter:
    """An mp4 file, written under a hidden name and renamed when it is closed.

    Close it in a `finally`: only then can the file be played. Odd sides are extended by one pixel, which the codec
    asks for. A full disk is an `OSError` while there is still room to finish the file.
    """

    def __init__(self, path: Path, fps: float | None, shape: tuple[int, int]) -> None:
        """fps: None or a value outside 0..1000 = 30. shape: (height, width) of every picture."""
        self.path = path
        self.shape = shape
        self.written = 0
        self._pad = shape[0] % 2, shape[1] % 2
        self._partial = path.with_name(f".partial-{uuid.uuid4().hex[:12]}.mp4").absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (shape[1] + self._pad[1], shape[0] + self._pad[0])
        fps = fps if fps and 0 < fps <= 1000 else DEFAULT_FPS
        self._writer = cv2.VideoWriter(str(self._partial), cv2.VideoWriter_fourcc(*FOURCC), fps, size)
        if not self._writer.isOpened():
            self._partial.unlink(missing_ok=True)
            raise UserError(f"{path}: a video of {size[0]} x {size[1]} cannot be written there; use --nosave")

    def write(self, image: np.ndarray) -> None:
        """Append an (H, W, 3) uint8 BGR picture of this film's shape."""
        if shutil.disk_usage(self.path.parent).free < ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        if any(self._pad):
            image = cv2.copyMakeBorder(image, 0, self._pad[0], 0, self._pad[1], cv2.BORDER_REPLICATE)
        self._writer.write(image)
        self.written += 1

    def close(self) -> None:
        """Finish the file and check that all of it is there. May be called twice."""
        if not self._writer.isOpened():
            return
        self._writer.release()
        kept = count_frames(self._partial)
        if kept:
            self._partial.replace(self.path)
        self._partial.unlink(missing_ok=True)
        if kept < self.written:
            raise UserError(f"{self.path}: only {kept} of {self.written} frames could be written; is the disk full?")


def count_frames(path: Path) -> int:
    """Frames that a video file announces; 0 where it cannot be opened."""
    capture = cv2.VideoCapture(str(path))
    try:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0) if capture.isOpened() else 0
    finally:
        capture.release()
