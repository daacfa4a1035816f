"""The picture that travels from a source through the detector to the sinks."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture and where it comes from.

    image: (H, W, 3) uint8 BGR. path: the file, or the stream's address without user name and password. kind: 'image',
    'video' (read to its end, every frame) or 'stream' (live, only the newest frames). index: 1-based number of the
    frame in its video or stream, skipped ones counted; None for an image. total: frames in the video, None where
    unknown. fps: frames of this source that are yielded per second of film, None where unknown. stream: number of the
    stream in its batch. place: (number of this input, number of inputs), from 1.
    """

    image: np.ndarray
    path: str
    kind: str = "image"
    index: int | None = None
    total: int | None = None
    fps: float | None = None
    stream: int = 0
    place: tuple[int, int] = (1, 1)

    @property
    def stem(self) -> str:
        """The name without its suffix, fit for a file name: 'street' for 'in/street.mp4', 'rtsp_10.0.0.7_live' for a
        stream's address."""
        if self.kind == "stream":
            return re.sub(r"[^\w.-]+", "_", self.path).strip("._") or "stream"
        return Path(_file_part(self.path)).stem

    @property
    def suffix(self) -> str:
        """The file's suffix with its dot, as it is written; '' for streams."""
        return "" if self.kind == "stream" else Path(_file_part(self.path)).suffix


def is_address(text: str) -> bool:
    """Whether `text` names something on a network."""
    return str(text).lower().startswith(("rtsp://", "rtmp://", "http://", "https://"))


def without_credentials(address: str) -> str:
    """The address as it may be shown and logged: `user:password@` is cut out."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _file_part(path: str) -> str:
    return urlsplit(path).path if is_address(path) else path
