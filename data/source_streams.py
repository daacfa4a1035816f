"""Live streams: one thread per stream that keeps the newest frame and connects again when it is cut."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np

from data.source_videos import capture_name
from utils.errors import LOG, UserError
from utils.frames import Frame, without_credentials

LONGEST_PAUSE = 8.0
LOSSLESS_WAIT = 0.5
QUIET = threading.Lock()  # the level of OpenCV's messages is one for the whole process


@dataclass(frozen=True)
class StreamSettings:
    """How patient a stream is.

    retries: failures in a row (no frame in between) after which it is given up. timeout: seconds that connecting, or
    waiting for one frame, may take. pause: seconds before the first new attempt, doubled each time up to 8. stride:
    every n-th frame. patience: seconds that a batch waits for slower streams once one has a frame.
    """

    retries: int = 5
    timeout: float = 10.0
    pause: float = 0.5
    stride: int = 1
    patience: float = 0.2


DEFAULTS = StreamSettings()


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Without the page that OpenCV writes about each way in which it found no camera."""
    logging = getattr(cv2.utils, "logging", None)  # older OpenCV does not offer it
    if logging is None:
        yield
        return
    with QUIET:
        level = logging.getLogLevel()
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            logging.setLogLevel(level)


class StreamReader:
    """Follows one address (URL, camera number, or a video file) in a thread of its own.

    Live frames that nobody took in time are dropped and counted. A stream of known length (a file) is read whole, one
    frame after the other, and is not opened again at its end.
    """

    def __init__(
        self, address: str | int, number: int, count: int, settings: StreamSettings, news: threading.Condition
    ) -> None:
        self.address = address
        self.name = without_credentials(address) if isinstance(address, str) else str(address)
        self.place = (number + 1, count)
        self.settings = settings
        self.news = news  # guards everything below; notified on every change
        self.connected = False
        self.alive = True
        self.error: str | None = None
        self.delivered = self.dropped = self.cuts = 0
        self._index = 0
        self._frame: Frame | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"stream {self.name}", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Tell the thread to end after the read that it is in."""
        self._stop.set()
        with self.news:
            self.news.notify_all()

    def join(self) -> None:
        """Wait for the thread, at most as long as one read may take."""
        if self._thread.ident is not None:
            self._thread.join(self.settings.timeout + 1)

    @property
    def fresh(self) -> bool:
        """Whether a frame waits to be taken."""
        return self._frame is not None

    def take(self) -> Frame | None:
        """The newest frame, once; None if there is none. The caller holds `news`."""
        frame, self._frame = self._frame, None
        if frame is not None:
            self.delivered += 1
            self.news.notify_all()
        return frame

    def _run(self) -> None:
        try:
            self._follow()
        except cv2.error as error:
            self.error = f"{self.name}: {str(error).strip().splitlines()[-1]}"
        finally:
            with self.news:
                self.alive = self.connected = False
                self.news.notify_all()

    def _follow(self) -> None:
        failures = 0
        while not self._stop.is_set():
            frames, reason = self._play()
            if reason is None or self._stop.is_set():
                return
            failures = 1 if frames else failures + 1
            if failures > self._retries():
                remedy = f"({failures} attempts in a row); check the address and the sender"
                if isinstance(self.address, int):
                    remedy = "by this number; plug one in or give another number"
                self.error = f"{self.name}: {reason} {remedy}"
                return
            pause = min(self.settings.pause * 2 ** (failures - 1), LONGEST_PAUSE)
            LOG.warning("%s: %s; attempt %d of %d in %g s", self.name, reason, failures, self._retries(), pause)
            self._stop.wait(pause)

    def _retries(self) -> int:
        """A camera that was never there will not appear while we wait."""
        return 0 if isinstance(self.address, int) and not self._index else self.settings.retries

    def _play(self) -> tuple[int, str | None]:
        """Connect and read until the stream breaks: (frames read, what went wrong; None at the end of a file)."""
        capture = self._open()
        try:
            if not capture.isOpened():
                return 0, "no camera answers" if isinstance(self.address, int) else "cannot be opened"
            if self._index:
                LOG.info("%s: connected again", self.name)
            finite = capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0 and not isinstance(self.address, int)
            frames = self._read(capture, finite)
            if finite and frames:
                return frames, None
            self.cuts += bool(frames) and not self._stop.is_set()
            return frames, "was cut" if frames else "sends no frame"
        finally:
            with self.news:
                self.connected = False
                self.news.notify_all()
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        if isinstance(self.address, int):
            with _quiet_opencv():
                return cv2.VideoCapture(self.address)
        limit = int(self.settings.timeout * 1000)
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit]
        return cv2.VideoCapture(capture_name(self.address), cv2.CAP_FFMPEG, limits)

    def _read(self, capture: cv2.VideoCapture, finite: bool) -> int:
        fps = capture.get(cv2.CAP_PROP_FPS)
        fps = fps / self.settings.stride if 0 < fps < 1000 else None
        frames = 0
        while not self._stop.is_set() and capture.grab():
            frames += 1
            self._index += 1
            if self._index % self.settings.stride:
                continue
            good, image = capture.retrieve()
            if good:
                self._offer(image, fps, finite)
        return frames

    def _offer(self, image: np.ndarray, fps: float | None, finite: bool) -> None:
        with self.news:
            self.connected = True
            while finite and self.fresh and not self._stop.is_set():
                self.news.wait(LOSSLESS_WAIT)
            self.dropped += self.fresh
            number = self.place[0] - 1
            self._frame = Frame(image, self.name, "stream", self._index, None, fps, number, self.place)
            self.news.notify_all()


class StreamSource:
    """Several streams side by side: a batch is the newest frame of every stream that has a new one.

    Ends when all streams have ended; `close` stops the threads.
    """

    def __init__(self, addresses: Sequence[str | int], settings: StreamSettings = DEFAULTS) -> None:
        self.settings = settings
        self.news = threading.Condition()
        self.readers = [
            StreamReader(address, number, len(addresses), settings, self.news)
            for number, address in enumerate(addresses)
        ]
        self._closed = False

    def __iter__(self) -> Iterator[list[Frame]]:
        for reader in self.readers:
            reader.start()
        try:
            while frames := self._next_batch():
                yield frames
        finally:
            self.close()
        self._judge()

    def close(self) -> None:
        """Stop every thread and say what each stream gave; may be called twice."""
        if self._closed:
            return
        self._closed = True
        for reader in self.readers:
            reader.ask_to_stop()
        for reader in self.readers:
            reader.join()
            if reader.delivered:
                LOG.info(
                    "%s: %d frames taken, %d stale ones dropped, cut %d times",
                    reader.name, reader.delivered, reader.dropped, reader.cuts,
                )  # fmt: skip

    def _next_batch(self) -> list[Frame]:
        """Wait for news; empty when every stream has ended."""
        with self.news:
            while not any(reader.fresh for reader in self.readers):
                if not any(reader.alive for reader in self.readers):
                    return []
                self.news.wait(1.0)  # with a limit: on Windows an endless wait cannot be interrupted
            connected = [reader for reader in self.readers if reader.connected]
            self.news.wait_for(lambda: all(reader.fresh for reader in connected), self.settings.patience)
            frames = [reader.take() for reader in self.readers]
        return [frame for frame in frames if frame is not None]

    def _judge(self) -> None:
        """Streams that were given up are an error where none ever delivered, else a warning."""
        errors = [reader.error for reader in self.readers if reader.error]
        if errors and not any(reader.delivered for reader in self.readers):
            raise UserError(errors[0])
        for error in errors:
            LOG.warning("given up: %s", error)
