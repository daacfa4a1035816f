"""What is known of every image and its labels, kept in one file between runs: plain arrays, no pickle."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.headers import image_shape
from data.images import UnreadableImage
from data.label_rows import UnreadableLabels, read_rows
from utils.files import atomic_path

VERSION = 1
MISSING = (-1, -1)


@dataclass(frozen=True)
class Entry:
    """One image: signature = size and mtime (ns) of the image and of its label file (-1, -1 where there is none);
    shape = (height, width), (0, 0) where the image cannot be used; boxes (n, 5) as in `LabelRows`; problems = (line
    number, kind, sentence), the line number 0 and the kind 'skipped' where the whole image is left out."""

    signature: tuple[int, int, int, int]
    shape: tuple[int, int]
    boxes: np.ndarray
    problems: tuple[tuple[int, str, str], ...] = ()

    @property
    def usable(self) -> bool:
        return self.shape[0] > 0

    @property
    def has_label_file(self) -> bool:
        return self.signature[2] >= 0


def signature_of(image: Path, label: Path) -> tuple[int, int, int, int]:
    """Size and mtime of an image and its label file; changes when either does."""
    return (*_stat(image), *_stat(label))


def examine(image: Path, label: Path) -> Entry:
    """Read an image's header and its labels."""
    signature = signature_of(image, label)
    try:
        shape = image_shape(image)
        if signature[2:] == MISSING:
            return Entry(signature, shape, np.zeros((0, 5), np.float32))
        rows = read_rows(label)
    except (UnreadableImage, UnreadableLabels) as error:
        return Entry(signature, (0, 0), np.zeros((0, 5), np.float32), ((0, "skipped", str(error)),))
    return Entry(signature, shape, rows.boxes, tuple(rows.problems))


def save_cache(file: Path, entries: dict[Path, Entry]) -> None:
    """Write all entries, whole or not at all; raises OSError where the folder cannot be written."""
    values = list(entries.values())
    text = json.dumps({"paths": [str(path) for path in entries], "problems": [entry.problems for entry in values]})
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            version=VERSION,
            text=np.frombuffer(text.encode(), np.uint8),
            signatures=np.array([entry.signature for entry in values], np.int64).reshape(-1, 4),
            shapes=np.array([entry.shape for entry in values], np.int64).reshape(-1, 2),
            counts=np.array([len(entry.boxes) for entry in values], np.int64),
            boxes=np.concatenate([entry.boxes for entry in values] or [np.zeros((0, 5), np.float32)]),
        )


def load_cache(file: Path) -> dict[Path, Entry]:
    """Read what `save_cache` wrote; anything else (nothing there, damaged, another program's) counts as empty."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            if int(stored["version"]) != VERSION:
                return {}
            text = json.loads(stored["text"].tobytes())
            boxes = np.split(stored["boxes"], np.cumsum(stored["counts"])[:-1])
            signatures, shapes = stored["signatures"].tolist(), stored["shapes"].tolist()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        return {}
    return {
        Path(path): Entry(tuple(signature), tuple(shape), rows, tuple((line, kind, what) for line, kind, what in found))
        for path, signature, shape, rows, found in zip(text["paths"], signatures, shapes, boxes, text["problems"])
    }


def _stat(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return MISSING
    return status.st_size, status.st_mtime_ns
