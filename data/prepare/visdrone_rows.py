"""One VisDrone annotation text -> YOLO label rows and ignored regions. Pure: no files, no images."""

import math
from dataclasses import dataclass

import numpy as np

from utils.visdrone_files import NAMES

CATEGORIES = ("ignored region", *NAMES, "others")
IGNORED, OTHERS = 0, 11  # categories that never become classes; the others are class + 1
COLUMNS = 8
LARGEST = 65535  # pixels: no JPEG has a longer side

CLIPPED = "boxes clipped to their image"
UNREADABLE = "rows dropped: not eight numbers"
UNKNOWN = "rows dropped: unknown category or score"
NO_AREA = "rows dropped: no width or no height"
OUTSIDE = "rows dropped: outside the image"
UNSCORED = "rows dropped: object with score 0"
REPEATED = "rows repeated (kept here; training takes one of them)"
WHOLE = "ignored regions that cover their whole image"


@dataclass(frozen=True)
class Note:
    """A row that was dropped, changed or odd: its line (from 1), one of the kinds above, what is wrong with it."""

    line: int
    kind: str
    detail: str


@dataclass(frozen=True)
class Conversion:
    """labels (n, 5): class 0..9, cx, cy, w, h; ignored (m, 4): cx, cy, w, h; both float64, as shares of the image, in
    pixels where its size was not given. categories counts the readable rows of each category 0..11."""

    labels: np.ndarray
    ignored: np.ndarray
    categories: tuple[int, ...]
    notes: tuple[Note, ...]


class _Trouble(Exception):
    """(kind, detail) of a row that cannot be used."""


def convert_annotation(text: str, shape: tuple[int, int] | None = None) -> Conversion:
    """Convert the rows `left, top, width, height, score, category, truncation, occlusion` of one image.

    shape is the image's (height, width); boxes are cut to it. With None they stay in pixels and are cut to the largest
    image that there can be. Categories 1..10 with score 1 become labels, category 0 becomes ignored regions, 11
    ('others') is only counted. Trailing commas and empty lines are fine, the last two columns may be missing; no row
    costs another one.
    """
    labels, regions, notes = [], [], []
    seen: set[tuple] = set()
    categories = [0] * (OTHERS + 1)
    for line, row in enumerate(text.splitlines(), 1):
        if not row.strip(", \t"):
            continue
        try:
            left, top, width, height, score, category = _parse(row)
            categories[category] += 1
            if category == OTHERS:
                continue
            box, clipped = _clip(left, top, width, height, shape)
            _check_score(score, category)
        except _Trouble as trouble:
            notes.append(Note(line, *trouble.args))
            continue
        label = (category - 1, *box)
        notes += [Note(line, kind, _short(row)) for kind in _oddities(label, clipped, seen, shape)]
        seen.add(label)
        if category == IGNORED:
            regions.append(box)
        else:
            labels.append(label)
    return Conversion(_scaled(labels, 5, shape), _scaled(regions, 4, shape), tuple(categories), tuple(notes))


def _parse(row: str) -> tuple[float, float, float, float, float, int]:
    fields = row.strip().rstrip(", \t").split(",")
    if not COLUMNS - 2 <= len(fields) <= COLUMNS:
        raise _Trouble(UNREADABLE, f"{len(fields)} columns: {_short(row)}")
    try:
        values = [float(field) for field in fields]
    except ValueError:
        raise _Trouble(UNREADABLE, _short(row)) from None
    if not all(map(math.isfinite, values)):
        raise _Trouble(UNREADABLE, f"not finite: {_short(row)}")
    if values[5] not in range(OTHERS + 1):
        raise _Trouble(UNKNOWN, f"category {fields[5].strip()}: {_short(row)}")
    return (*values[:5], int(values[5]))


def _check_score(score: float, category: int) -> None:
    if category == IGNORED or score == 1:
        return
    raise _Trouble(UNSCORED, f"category {category}") if score == 0 else _Trouble(UNKNOWN, f"score {score:g}")


def _clip(left: float, top: float, width: float, height: float, shape: tuple[int, int] | None) -> tuple[tuple, bool]:
    """(left, top, right, bottom) inside the image, and whether anything was cut off."""
    row = f"{left:g}, {top:g}, {width:g}, {height:g}"
    if width <= 0 or height <= 0:
        raise _Trouble(NO_AREA, f"left, top, width, height = {row}")
    box = left, top, left + width, top + height
    image_height, image_width = shape or (LARGEST, LARGEST)
    inside = max(left, 0.0), max(top, 0.0), min(box[2], image_width), min(box[3], image_height)
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise _Trouble(OUTSIDE, f"left, top, width, height = {row} in {image_width} x {image_height} pixels")
    return inside, inside != box


def _oddities(label: tuple, clipped: bool, earlier: set[tuple], shape: tuple[int, int] | None) -> list[str]:
    """The kinds of notes on a row (category - 1, left, top, right, bottom) that is used all the same."""
    found = [CLIPPED] if clipped else []
    if label[0] != IGNORED - 1:
        return [*found, REPEATED] if label in earlier else found
    return [*found, WHOLE] if shape is not None and label[1:] == (0, 0, shape[1], shape[0]) else found


def _scaled(rows: list[tuple], columns: int, shape: tuple[int, int] | None) -> np.ndarray:
    """Corners in pixels (the last four columns) -> centre, width, height as shares of the image."""
    array = np.array(rows, np.float64).reshape(-1, columns)
    low, high = array[:, -4:-2], array[:, -2:]
    size = np.array((shape or (1, 1))[::-1])
    return np.concatenate([array[:, :-4], (low + high) / 2 / size, (high - low) / size], 1)


def _short(row: str) -> str:
    row = row.strip()
    return repr(row if len(row) <= 80 else row[:77] + "...")
