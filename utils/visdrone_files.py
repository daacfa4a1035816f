"""VisDrone's annotation and result texts: rows left, top, width, height, score, category, truncation, occlusion."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import UserError, describe_os_error
from utils.visdrone import CLASSES, FIGURES, LARGEST, MAX_DETS, class_figures

NAMES = ("pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motor")
COLUMNS, NEEDED = 8, 6
LAST_CATEGORY = 11
MOST_ROWS = MAX_DETS[-1]  # of a result file
PIXEL_DIGITS, SCORE_DIGITS = 3, 6
COUNTS = ("images_with_class", "n_scored", "n_unscored", "n_detections")
HEADER = ("category", "name", *COUNTS, *FIGURES)
PLACEHOLDER = "0,0,0,0,0,0,-1,-1\n"  # a row that can match nothing: the toolkit stops at a file without rows


def read_annotations(path: Path) -> np.ndarray:
    """(n, 8) float64 rows of an annotation file; an empty file has none. `UserError` with the line for a row that
    cannot be scored."""
    return _read(path, is_truth=True)


def read_results(path: Path) -> np.ndarray:
    """(n, 8) float64 rows of a result file in its order; an empty file has none. `UserError` as above."""
    return _read(path, is_truth=False)


def result_rows(found: np.ndarray) -> np.ndarray:
    """A picture's (n, 6) detections x1, y1, x2, y2, confidence, class as the (m, 8) rows of a result file.

    By falling score, 500 at most, rounded as they are written: scoring these rows gives what scoring the file gives.
    """
    found = np.asarray(found, np.float64).reshape(-1, 6)
    found = found[np.argsort(-found[:, 4], kind="stable")[:MOST_ROWS]]
    boxes = np.concatenate((found[:, :2], found[:, 2:4] - found[:, :2]), 1).round(PIXEL_DIGITS)
    unused = np.full((len(found), 2), -1.0)
    return np.concatenate((boxes, found[:, 4:5].round(SCORE_DIGITS), found[:, 5:6] + 1, unused), 1)


def result_text(rows: np.ndarray) -> str:
    """The text of `result_rows` in the form in which results are submitted."""
    pattern = ",".join([f"%.{PIXEL_DIGITS}f"] * 4 + [f"%.{SCORE_DIGITS}f", "%d", "%d", "%d"]) + "\n"
    return "".join(pattern % tuple(row) for row in rows.tolist()) or PLACEHOLDER


def scores_csv(scores: Mapping[str, Any]) -> str:
    """What `utils.visdrone.evaluate` returned as CSV in percent: the two means, then a line per class."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *_score_rows(scores)])
    return text.getvalue()


def scores_table(scores: Mapping[str, Any]) -> str:
    """The same for the screen, with two decimals."""
    lines = [f"{HEADER[1]:>22}{'images':>8}{'objects':>9}" + "".join(f"{key:>8}" for key in FIGURES)]
    for _, name, images, scored, unscored, _, *figures in _score_rows(scores):
        cells = "".join(f"{value:>8.2f}" for value in figures)
        lines.append(f"{name:>22}{images:>8}{scored + unscored:>9}{cells}")
    return "\n".join(lines)


def _score_rows(scores: Mapping[str, Any]) -> list[list]:
    """Rows under HEADER."""
    classes, figures = scores["per_class"], class_figures(scores["per_class"])
    totals = [scores["images"], *(sum(classes[key]) for key in COUNTS[1:])]
    means = (("official (weighted)", scores), ("plain class mean", scores["plain"]))
    rows = [["", name, *totals, *(mean[key] for key in FIGURES)] for name, mean in means]
    for i, category in enumerate(classes["category"]):
        counts = [classes[key][i] for key in COUNTS]
        rows.append([category, NAMES[i], *counts, *(float(figures[key][i]) for key in FIGURES)])
    return rows


def without_nan(content: Any) -> Any:
    """The same plain data with None for NaN, which JSON does not know."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content


def _read(path: Path, is_truth: bool) -> np.ndarray:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise UserError(f"{describe_os_error(error)}; a text of VisDrone's rows is expected") from None
    rows = []
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip(", \t"):
            try:
                rows.append(_parse(row, is_truth))
            except ValueError as error:
                raise UserError(f"{path}, line {line}: {error}; correct or remove the row") from None
    return np.array(rows, np.float64).reshape(-1, COLUMNS)


def _parse(row: str, is_truth: bool) -> list[float]:
    """Eight numbers; ValueError with what is wrong."""
    fields = row.strip().rstrip(", \t").split(",")
    if not NEEDED <= len(fields) <= COLUMNS:
        raise ValueError(f"has {len(fields)} columns, not {COLUMNS} ({row.strip()[:60]!r})")
    values = [_number(field) for field in fields] + [-1.0] * (COLUMNS - len(fields))
    if values[5] not in range(LAST_CATEGORY + 1):
        raise ValueError(f"category {fields[5].strip()[:20]} is not one of 0 to {LAST_CATEGORY}")
    if is_truth and values[5] in CLASSES and values[4] not in (0, 1):
        raise ValueError(f"score {fields[4].strip()[:20]} of an object is neither 0 nor 1")
    return values


def _number(field: str) -> float:
    try:
        value = float(field)
    except ValueError:
        raise ValueError(f"{field.strip()[:20]!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{field.strip()} is not finite")
    if abs(value) > LARGEST:
        raise ValueError(f"{field.strip()[:20]} is beyond {LARGEST:g}")
    return value
