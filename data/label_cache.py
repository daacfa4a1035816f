"""What is known of every image and its labels, kept in one file between runs: plain arrays, no pickle."""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.headers import image_shape
from data.images import UnreadableImage
from data.label_rows import LabelRows, UnreadableLabels, read_rows
from data.region_files import NONE, RegionRows, read_regions
from utils.files import atomic_path

VERSION = 2
MISSING = (-1, -1)


@dataclass(frozen=True)
class Entry:
    """One image: signature = size and mtime (ns) of the image, of its label file and of its file of ignored regions
    (-1, -1 where there is none); shape = (height, width), (0, 0) where the image cannot be used; boxes (n, 5) as in
    `LabelRows`; problems = (line number, kind, sentence), the line number 0 and the kind 'skipped' where the whole
    image is left out; regions (m, 4) as in `RegionRows`."""

    signature: tuple[int, ...]
    shape: tuple[int, int]
    boxes: np.ndarray
    problems: tuple[tuple[int, str, str], ...] = ()
    regions: np.ndarray = field(default_factory=NONE.copy)

    @property
    def usable(self) -> bool:
        return self.shape[0] > 0

    @property
    def has_label_file(self) -> bool:
        return self.signature[2] >= 0


def signature_of(image: Path, label: Path, ignored: Path | None = None) -> tuple[int, ...]:
    """Size and mtime of an image, its label file and its file of ignored regions; changes when one of them does."""
    return (*_stat(image), *_stat(label), *(_stat(ignored) if ignored else MISSING))


def examine(image: Path, label: Path, ignored: Path | None = None) -> Entry:
    """Read an image's header, its labels and its ignored regions."""
    signature = signature_of(image, label, ignored)
    try:
        shape = image_shape(image)
        rows = LabelRows(np.zeros((0, 5), np.float32)) if signature[2:4] == MISSING else read_rows(label)
    except (UnreadableImage, UnreadableLabels) as error:
        return Entry(signature, (0, 0), np.zeros((0, 5), np.float32), ((0, "skipped", str(error)),))
    found = RegionRows() if ignored is None or signature[4:] == MISSING else read_regions(ignored)
    return Entry(signature, shape, rows.boxes, (*rows.problems, *found.problems), found.regions)


def save_cache(file: Path, entries: dict[Path, Entry]) -> None:
    """Write all entries, whole or not at all; raises OSError where the folder cannot be written."""
    values = list(entries.values())
    text = json.dumps({"paths": [str(path) for path in entries], "problems": [entry.problems for entry in values]})
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            version=VERSION,
            text=np.frombuffer(text.encode(), np.uint8),
            signatures=np.array([entry.signature for entry in values], np.int64).reshape(-1, 6),
            shapes=np.array([entry.shape for entry in values], np.int64).reshape(-1, 2),
            counts=np.array([len(entry.boxes) for entry in values], np.int64),
            boxes=np.concatenate([entry.boxes for entry in values] or [np.zeros((0, 5), np.float32)]),
            region_counts=np.array([len(entry.regions) for entry in values], np.int64),
            regions=np.concatenate([entry.regions for entry in values] or [NONE]),
        )


def load_cache(file: Path) -> dict[Path, Entry]:
    """Read what `save_cache` wrote; anything else (nothing there, damaged, another program's) counts as empty."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            if int(stored["version"]) != VERSION:
                return {}
            text = json.loads(stored["text"].tobytes())
            boxes = np.split(stored["boxes"], np.cumsum(stored["counts"])[:-1])
            regions = np.split(stored["regions"], np.cumsum(stored["region_counts"])[:-1])
            signatures, shapes = stored["signatures"].tolist(), stored["shapes"].tolist()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, zipfile.BadZipFile):
        return {}
    return {
        Path(path): Entry(tuple(signature), tuple(shape), rows, tuple(map(tuple, problems)), ignored)
        for path, problems, signature, shape, rows, ignored in zip(
            text["paths"], text["problems"], signatures, shapes, boxes, regions
        )
    }


def _stat(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return MISSING
    return status.st_size, status.st_mtime_ns
