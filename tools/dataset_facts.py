"""The figures of `tools.dataset`: a survey of a data set -> plain data for report.json, report.md and the advice."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.statistics import (
    Level,
    Objects,
    count_classes,
    describe_levels,
    describe_regions,
    describe_sizes,
    overlapping_pairs,
    shared_cells,
)
from data.survey import Survey
from utils.progress import progress

ANCHOR_T = 4.0  # anchor_t of every scratch file of hyper-parameters
OVERLAPS = (0.45, 0.6)  # the IoU thresholds of detect.py's and val.py's suppression
STRIDES = (4, 8, 16, 32)
STANDARD_SIZES = (320, 480, 640, 800, 960, 1280, 1536, 1920)  # among which the advice chooses
LEFT_OUT = (
    "the image sizes are unknown here, so all sizes are in original pixels, and what needs the images is left out: "
    "other image sizes, the share of ignored pixels, places in the image, sample pictures, boxes over an edge"
)

Facts = dict[str, Any]


def gather(survey: Survey, image_sizes: Sequence[int], model: str, levels: Sequence[Level]) -> Facts:
    """All figures. Without known image sizes there is one set of size figures, its image_size None."""
    objects = survey.objects
    known = objects.shapes is not None
    return {
        "title": survey.title,
        "model": model,
        "images": objects.images,
        "objects": len(objects.classes),
        "classes": dict(zip(survey.names.values(), count_classes(objects.classes, len(survey.names)))),
        "raw_rows": survey.rows,
        "per_image": _per_image(objects),
        "median_longer_side": float(np.median(objects.shapes.max(axis=1))) if known and objects.images else None,
        "original": describe_sizes(objects.boxes),
        "at": [_at(objects, size, levels) for size in (image_sizes if known else [None])],
        "standard": {size: describe_sizes(objects.scaled(size))["under"] for size in STANDARD_SIZES} if known else {},
        "overlapping_pairs": _overlaps(objects),
        "ignored": describe_regions(objects),
        "faults": survey.faults,
        "left_out": "" if known else LEFT_OUT,
    }


def _at(objects: Objects, image_size: int | None, levels: Sequence[Level]) -> Facts:
    boxes = objects.scaled(image_size)
    cells = {str(stride): shared_cells(objects.index, boxes[:, :2], stride) for stride in STRIDES}
    sizes = describe_sizes(boxes) | describe_levels(objects, boxes, levels, ANCHOR_T)
    return {"image_size": image_size, "in_shared_cells": cells} | sizes


def _per_image(objects: Objects) -> Facts:
    counts = objects.per_image()
    if not len(counts):
        return {"mean": 0.0, "median": 0.0, "most": 0, "without": 0, "over_300": 0}
    return {
        "mean": round(float(counts.mean()), 2),
        "median": float(np.median(counts)),
        "most": int(counts.max()),
        "without": int((counts == 0).sum()),
        "over_300": int((counts > 300).sum()),
    }


def _overlaps(objects: Objects) -> list[Facts]:
    totals = np.zeros((len(OVERLAPS), 2), int)
    ends = np.cumsum(objects.per_image())
    for start, end in progress(zip(ends - objects.per_image(), ends), "crowding", total=len(ends), unit="image"):
        totals += overlapping_pairs(objects.boxes[start:end], objects.classes[start:end], OVERLAPS)
    return [
        {"iou": threshold, "pairs": pairs, "of_one_class": same}
        for threshold, (pairs, same) in zip(OVERLAPS, totals.tolist())
    ]
