"""Scores as text, CSV and JSON."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from utils.metrics import ClassScore, Scores

HEADER = ("Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95")
WIDTH = 11


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


def twelve_table(numbers: Mapping[str, float], scores: Scores) -> str:
    """COCO's twelve numbers, ours beside those that we have too; '-' where there was nothing to score."""
    ours = {"AP": scores.map, "AP50": scores.map50, "AP75": _mean_ap75(scores)}
    lines = [f"{'':>12}{'pycocotools':>13}{'ours':>9}"]
    for name, value in numbers.items():
        theirs = f"{value:.4f}" if value >= 0 else "-"
        lines.append(f"{name:>12}{theirs:>13}" + (f"{ours[name]:>9.4f}" if name in ours else ""))
    return "\n".join(lines)


def _mean_ap75(scores: Scores) -> float:
    return sum(row.ap[5] for row in scores.per_class) / max(len(scores.per_class), 1)


def _means(scores: Scores) -> tuple[float, ...]:
    return scores.precision, scores.recall, scores.map50, scores.map


def _figures(row: ClassScore) -> tuple[float, ...]:
    return row.precision, row.recall, row.map50, row.map


def _class_dict(row: ClassScore) -> dict[str, Any]:
    content = {"class": row.class_id, "name": row.name, "images": row.images, "instances": row.instances}
    scores = {"precision": row.precision, "recall": row.recall, "f1": row.f1, "mAP50": row.map50, "mAP50-95": row.map}
    return content | scores | {"ap": list(row.ap)}
