"""The rows of one label file: `class cx cy w h` in parts of the picture's sides, or `class x1 y1 x2 y2 x3 y3 ...`."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from utils.errors import describe_os_error

SLACK = 0.1  # how far outside 0..1 a number may lie and still be a slip that clipping mends
ROUNDING = 1e-3  # overshoots below this are only rounding: clipped without a word


class UnreadableLabels(ValueError):
    """A label file that is no text at all: what its picture shows is unknown, so the picture is left out."""


@dataclass
class LabelRows:
    """boxes (n, 5) float32 class, cx, cy, w, h within 0..1; problems are (line number, kind, sentence), kind one of
    'dropped', 'duplicate', 'clipped'."""

    boxes: np.ndarray
    problems: list[tuple[int, str, str]] = field(default_factory=list)


def read_rows(path: Path) -> LabelRows:
    """Read a label file. A bad row costs itself only; a file that cannot be read raises `UnreadableLabels`."""
    try:
        return parse_rows(read_text(path))
    except UnreadableLabels as error:
        raise UnreadableLabels(f"its label file {error}") from None


def read_text(path: Path) -> str:
    """A file's text; `UnreadableLabels` says what the file is instead."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UnreadableLabels(f"cannot be read ({describe_os_error(error)})") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UnreadableLabels(f"{path.name} is not text")
    return text


def parse_rows(text: str) -> LabelRows:
    """Read the text of a label file; see `LabelRows`."""
    rows: dict[tuple[float, ...], None] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            row, clipped = _parse_row(words)
        except ValueError as error:
            problems.append((number, "dropped", str(error)))
            continue
        if row in rows:
            problems.append((number, "duplicate", "repeats an earlier row"))
            continue
        rows[row] = None
        if clipped:
            problems.append((number, "clipped", "lay partly outside the picture"))
    return LabelRows(np.array(list(rows), dtype=np.float32).reshape(-1, 5), problems)


def _parse_row(words: list[str]) -> tuple[tuple[float, ...], bool]:
    """One row as (class, cx, cy, w, h) and whether it had to be clipped; raises ValueError with the reason."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"holds something that is no number: {' '.join(words)[:60]!r}") from None
    if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
        raise ValueError(f"has {len(values)} values, not 5 (class cx cy w h) or a polygon's 1 + 2n")
    _check_finite(values)
    if values[0] < 0 or values[0] != int(values[0]):
        raise ValueError(f"has the class {words[0]}, not a whole number from 0 up")
    box, clipped = check_box(values[1:] if len(values) == 5 else _polygon_box(values[1:]))
    return (values[0], *box), clipped


def check_box(box: list[float]) -> tuple[list[float], bool]:
    """A cx, cy, w, h box cut to 0..1 and whether more than rounding was cut; ValueError where it is none."""
    _check_finite(box)
    if not all(-SLACK <= value <= 1 + SLACK for value in box[:2]) or max(box[2:]) > 1 + 2 * SLACK:
        raise ValueError("lies outside the picture: coordinates must be parts of its sides, 0 to 1")
    box, clipped = _clip(box)
    if box[2] <= 0 or box[3] <= 0:
        raise ValueError("has no area")
    return box, clipped


def _check_finite(values: list[float]) -> None:
    if not all(abs(value) < 1e9 for value in values):  # False for NaN too
        raise ValueError("holds NaN or a number without end")


def _polygon_box(points: list[float]) -> list[float]:
    x, y = points[::2], points[1::2]
    return [(min(x) + max(x)) / 2, (min(y) + max(y)) / 2, max(x) - min(x), max(y) - min(y)]


def _clip(box: list[float]) -> tuple[list[float], bool]:
    """A cx, cy, w, h box cut to 0..1; True where more than rounding was cut. Boxes inside keep their very numbers."""
    cx, cy, w, h = box
    edges = [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
    inside = [min(max(edge, 0.0), 1.0) for edge in edges]
    if w < 0 or h < 0 or inside == edges:
        return box, False
    x1, y1, x2, y2 = inside
    clipped = max(abs(old - new) for old, new in zip(edges, inside)) > ROUNDING
    return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], clipped
