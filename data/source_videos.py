"""Videos, read to their end."""

from collections.abc import Iterator
from pathlib import Path

import cv2

from utils.errors import LOG, UserError
from utils.frames import Frame, is_address, without_credentials

VIDEO_SUFFIXES = frozenset((".asf", ".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".wmv"))
TRIES = 10  # grabs after a failed one: a broken frame in the middle does not end a video


def read_video(path: str, stride: int = 1, place: tuple[int, int] = (1, 1)) -> Iterator[Frame]:
    """Every `stride`-th frame of a file (or of one on a web server): frames stride, 2 x stride, ... as in stock.

    The frames between are not decoded into pictures. A video that gives fewer frames than it announces is reported in
    one line; one that gives none is a `UserError`.
    """
    name = without_credentials(path) if is_address(path) else path
    capture = cv2.VideoCapture(capture_name(path))
    try:
        if not capture.isOpened():
            raise UserError(f"{name}: cannot be opened as a video; it is damaged, not finished or not a video")
        film = _Film(capture, name)
        for index, image in film.read(stride):
            yield Frame(image, name, "video", index, film.total, film.rate(stride), place=place)
        film.report(stride)
    finally:
        capture.release()


def capture_name(path: str) -> str:
    """What OpenCV is to open: FFmpeg takes `cam:1.mp4` for a protocol named cam, but no absolute path."""
    return path if is_address(path) else str(Path(path).absolute())


class _Film:
    """An open video and the account of what it gave."""

    def __init__(self, capture: cv2.VideoCapture, name: str) -> None:
        self.capture = capture
        self.name = name
        frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        self.total = int(frames) if frames > 0 else None
        self.fps = float(fps) if 0 < fps < 1000 else None
        self.grabbed = 0
        self.yielded = 0
        self.gap: int | None = None  # the last good frame before a hole in the time stamps
        self._time = 0.0

    def rate(self, stride: int) -> float | None:
        """Yielded frames per second, so that a film of them plays at the original speed."""
        return self.fps / stride if self.fps else None

    def read(self, stride: int) -> Iterator[tuple[int, cv2.typing.MatLike]]:
        """(1-based number, picture) of every stride-th frame."""
        while self._grab():
            if self.grabbed % stride:
                continue
            good, image = self.capture.retrieve()
            if good:
                self.yielded += 1
                yield self.grabbed, image

    def report(self, stride: int) -> None:
        """Say what is missing; nothing at all is a `UserError`."""
        if self.grabbed >= stride and not self.yielded or not self.grabbed:
            raise UserError(f"{self.name}: no frame of this video can be decoded; it is damaged")
        if not self.yielded:
            raise UserError(f"{self.name}: has {self.grabbed} frames, fewer than --vid-stride {stride}; lower it")
        if self.total and self.grabbed < self.total:
            where = f"frames are missing after frame {self.gap}" if self.gap else "it is damaged or ends early"
            LOG.warning("%s: %d of %d frames could be read: %s", self.name, self.grabbed, self.total, where)

    def _grab(self) -> bool:
        tries = TRIES if self.total and self.grabbed < self.total else 1
        if not any(self.capture.grab() for _ in range(tries)):
            return False
        self.grabbed += 1
        self._watch_clock()
        return True

    def _watch_clock(self) -> None:
        """A jump of more than a frame and a half in the time stamps is where frames are missing."""
        now = self.capture.get(cv2.CAP_PROP_POS_MSEC)
        if self.gap is None and self.fps and self.grabbed > 1 and now - self._time > 1500 / self.fps:
            self.gap = self.grabbed - 1
        self._time = now
