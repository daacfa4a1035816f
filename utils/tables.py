"""Scores as text, CSV and JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.metrics import ClassScore, Scores

HEADER = ("Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95")
WIDTH = 11
# The rows of `board`, as COCO names them; a score has some of them.
FIGURES = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
FIGURES += ("AR_1", "AR_10", "AR_100", "AR_500", "AR_small", "AR_medium", "AR_large")


@dataclass(frozen=True)
class Column:
    """One kind of score in `board`: its name in two parts, its detection limit, its figures in 0..1 by name (-1 or NaN
    where there was nothing to score)."""

    name: str
    kind: str
    max_det: int
    figures: Mapping[str, float]


def score_table(scores: Scores, per_class: bool) -> str:
    """Stock's table: a header, the line `all`, and with `per_class` a line per labelled class."""
    rows = [("all", scores.images, scores.instances, *_means(scores))]
    if per_class:
        rows += [(row.name, row.images, row.instances, *_figures(row)) for row in scores.per_class]
    first = max([22, *(len(str(row[0])) for row in rows)])
    lines = [f"{HEADER[0]:>{first}}" + "".join(f"{cell:>{WIDTH}}" for cell in HEADER[1:])]
    for name, images, instances, *figures in rows:
        figures_text = "".join(f"{figure:>{WIDTH}.3g}" for figure in figures)
        lines.append(f"{name:>{first}}{images:>{WIDTH}}{instances:>{WIDTH}}{figures_text}")
    return "\n".join(lines)


def score_csv(scores: Scores) -> str:
    """The same with F1, all digits and always every labelled class, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["class", "name", "images", "instances", "precision", "recall", "f1", "mAP50", "mAP50-95"])
    f1 = sum(row.f1 for row in scores.per_class) / max(len(scores.per_class), 1)
    precision, recall, *aps = _means(scores)
    writer.writerow(["", "all", scores.images, scores.instances, precision, recall, f1, *aps])
    for row in scores.per_class:
        precision, recall, *aps = _figures(row)
        writer.writerow([row.class_id, row.name, row.images, row.instances, precision, recall, row.f1, *aps])
    return text.getvalue()


def score_dict(scores: Scores) -> dict[str, Any]:
    """The same as plain data for JSON, with the AP at every IoU threshold and the confusion matrix."""
    return {
        "images": scores.images,
        "instances": scores.instances,
        "precision": scores.precision,
        "recall": scores.recall,
        "mAP50": scores.map50,
        "mAP50-95": scores.map,
        "fitness": scores.fitness,
        "confidence": scores.confidence,
        "classes": [_class_dict(row) for row in scores.per_class],
        "confusion": scores.confusion.tolist(),
    }


def board(columns: Sequence[Column], split: str = "", image_size: int = 0) -> str:
    """Scores of several kinds side by side in percent; '-' where a kind has no such figure or nothing was scored.
    split and image_size: of the data, where they are known."""
    heads = {
        "percent": [column.name for column in columns],
        "": [column.kind for column in columns],
        **({"split": [split] * len(columns)} if split else {}),
        **({"image size": [str(image_size)] * len(columns)} if image_size else {}),
        "maxDets": [str(column.max_det) for column in columns],
    }
    rows = {name: [_percent(column.figures.get(name, -1)) for column in columns] for name in FIGURES}
    shown = {name: cells for name, cells in rows.items() if any(name in column.figures for column in columns)}
    return "\n".join(
        f"{name:>11}" + "".join(f"{cell:>16}" for cell in cells) for name, cells in (heads | shown).items()
    )


def size_table(sizes: Mapping[str, Mapping[str, float]]) -> str:
    """AP by object size, see `utils.coco_eval.evaluate`, in percent."""
    lines = [f"{'object size':>22}{'Objects':>{WIDTH}}" + "".join(f"{name:>{WIDTH}}" for name in ("AP", "AP50", "AR"))]
    for name, row in sizes.items():
        cells = "".join(f"{_percent(row[key]):>{WIDTH}}" for key in ("AP", "AP50", "AR"))
        lines.append(f"{name:>22}{row['objects']:>{WIDTH}}{cells}")
    return "\n".join(lines)


def mean_ap75(scores: Scores) -> float:
    """Our own mean AP at IoU 0.75, 0..1."""
    return sum(row.ap[5] for row in scores.per_class) / max(len(scores.per_class), 1)


def _percent(value: float) -> str:
    return f"{100 * value:.2f}" if value >= 0 else "-"


def _means(scores: Scores) -> tuple[float, ...]:
    return scores.precision, scores.recall, scores.map50, scores.map


def _figures(row: ClassScore) -> tuple[float, ...]:
    return row.precision, row.recall, row.map50, row.map


def _class_dict(row: ClassScore) -> dict[str, Any]:
    content = {"class": row.class_id, "name": row.name, "images": row.images, "instances": row.instances}
    scores = {"precision": row.precision, "recall": row.recall, "f1": row.f1, "mAP50": row.map50, "mAP50-95": row.map}
    return content | scores | {"ap": list(row.ap)}
