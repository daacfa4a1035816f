"""Sinks that show what was found in the picture itself: image files, mp4 files, windows."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from utils.detections import Detections
from utils.draw import draw_boxes
from utils.errors import LOG
from utils.frames import Frame
from utils.sinks import OutputNames, save_image
from utils.video import VideoWriter

WRITABLE = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class BoxStyle:
    """thickness: of the lines, in pixels; hide_labels: boxes only; hide_conf: names without the confidence."""

    thickness: int = 3
    hide_labels: bool = False
    hide_conf: bool = False


def annotate(image: np.ndarray, detections: Detections, style: BoxStyle) -> np.ndarray:
    """A copy of the (H, W, 3) uint8 BGR picture with boxes and labels, the most confident on top."""
    names = [detections.names[int(kind)] for kind in detections.class_id]
    labels = names if style.hide_conf else [f"{n} {c:.2f}" for n, c in zip(names, detections.confidence)]
    labels = [] if style.hide_labels else labels[::-1]
    picture = np.ascontiguousarray(image).copy()
    return draw_boxes(picture, detections.xyxy[::-1], labels, detections.class_id[::-1], style.thickness)


class PictureSink:
    """Draws once, then saves under `folder` (None = not) and shows in a window (if `window`).

    Images keep their name and format (.jpg where it cannot be written); videos and streams become STEM.mp4, and a new
    one is begun when the size of a stream's pictures changes.
    """

    def __init__(self, folder: Path | None, names: OutputNames, style: BoxStyle, window: bool = False) -> None:
        self.folder = folder
        self.names = names
        self.style = style
        self.window = Window() if window else None
        self._videos: dict[int, VideoWriter] = {}  # by stream; a video file counts as stream 0
        self._owners: dict[int, tuple[str, tuple[int, int]]] = {}
        self._films = 0

    def write(self, frame: Frame, detections: Detections) -> None:
        """Draw, save and show one frame."""
        picture = annotate(frame.image, detections, self.style)
        if self.folder and frame.kind == "image":
            suffix = frame.suffix if frame.suffix.lower() in WRITABLE else ".jpg"
            save_image(self.folder / f"{self.names.stem(frame)}{suffix}", picture)
        elif self.folder:
            self._film(frame).write(picture)
        if self.window:
            self.window.show(frame.path, picture)

    def close(self) -> None:
        """Finish all films, whatever happens to one of them, and close the windows."""
        try:
            while self._videos:
                self._videos.popitem()[1].close()
        finally:
            if self._videos:
                self.close()
            if self.window:
                self.window.close()

    def _film(self, frame: Frame) -> VideoWriter:
        """The film that this frame belongs to; the one before it in its place is finished first."""
        owner = frame.path, frame.image.shape[:2]
        path, shape = self._owners.get(frame.stream, (None, None))
        if (path, shape) != owner:
            if frame.stream in self._videos:
                self._videos.pop(frame.stream).close()
            self._films += 1
            stem = self.names.another(frame, self._films) if path == frame.path else self.names.stem(frame)
            self._videos[frame.stream] = VideoWriter(self.folder / f"{stem}.mp4", frame.fps, owner[1])
            self._owners[frame.stream] = owner
        return self._videos[frame.stream]


class Window:
    """One window per source; says once where OpenCV cannot show any, and goes on without."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.broken = False

    def show(self, name: str, picture: np.ndarray) -> None:
        """Show a BGR picture in the window of this name."""
        if self.broken:
            return
        try:
            cv2.imshow(name, picture)
            cv2.waitKey(1)
            self.names.add(name)
        except cv2.error as error:
            self.broken = True
            LOG.warning("--view-img: this OpenCV shows no windows (%s); going on without", str(error).strip())

    def close(self) -> None:
        """Close the windows that were opened here."""
        for name in self.names:
            cv2.destroyWindow(name)
        self.names.clear()
