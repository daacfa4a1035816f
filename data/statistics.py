"""What a data set's boxes are like: sizes, crowding, ignored area. Pure: boxes in, figures out; no files, no pictures.

Boxes are cx, cy, w, h in pixels; the "size" of a box is the square root of its area, as COCO's small, medium and large
have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.anchors import best_ratio, possible_recall
from utils.boxes import xywh_to_xyxy

LIMITS = (8, 16, 32, 64)  # pixels: sizes below which objects are counted
QUANTILES = (1, 10, 50, 90, 99)
BLOCK = 1024  # boxes compared with all others at a time, so that crowds do not fill the memory


@dataclass(frozen=True)
class Objects:
    """All objects of a data set: index (n,) the number of the image of each, rising; classes (n,); boxes (n, 4) in
    pixels of that image; shapes (images, 2) height, width, None where they are not known; regions[i] (m, 4) the ignored
    regions of image i, in its pixels."""

    index: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    regions: Sequence[np.ndarray]
    shapes: np.ndarray | None = None

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.regions)

    def per_image(self) -> np.ndarray:
        """(images,) number of objects in each."""
        return np.bincount(self.index, minlength=self.images)

    def scaled(self, image_size: int | None) -> np.ndarray:
        """(n, 4) the boxes once each image's longer side is `image_size`; None: as they are."""
        if image_size is None or self.shapes is None:
            return self.boxes
        return self.boxes * (image_size / self.shapes.max(axis=1))[self.index][:, None]


@dataclass(frozen=True)
class Level:
    """A level of a detection head: pixels per cell, anchors (k, 2) in pixels."""

    stride: int
    anchors: np.ndarray


def count_classes(classes: np.ndarray, count: int) -> list[int]:
    """Objects per class; classes from `count` on are counted nowhere."""
    return np.bincount(classes[classes < count].astype(int), minlength=count).tolist()


def describe_sizes(boxes: np.ndarray) -> dict:
    """Number of objects below each of LIMITS, and the sizes' percentiles."""
    sizes = np.sqrt(boxes[:, 2] * boxes[:, 3])
    quantiles = np.percentile(sizes, QUANTILES) if len(sizes) else np.zeros(len(QUANTILES))
    return {
        "under": {str(limit): int((sizes < limit).sum()) for limit in LIMITS},
        "percentiles": {str(q): round(float(size), 2) for q, size in zip(QUANTILES, quantiles)},
    }


def describe_levels(objects: Objects, boxes: np.ndarray, levels: Sequence[Level], anchor_t: float) -> dict:
    """The objects (`boxes` are theirs, scaled) against a head: per level how many are smaller than a cell both ways,
    share a cell with another centre, and have an anchor of that level within a factor `anchor_t`; and for all levels
    together the best possible recall and the anchors per object."""
    sizes, rows = boxes[:, 2:], []
    for level in levels:
        fits = (best_ratio(sizes, level.anchors) > 1 / anchor_t).any(axis=1)
        rows.append(
            {
                "stride": level.stride,
                "anchors": np.round(level.anchors, 1).tolist(),
                "under_a_cell": int((sizes < level.stride).all(axis=1).sum()),
                "in_shared_cells": shared_cells(objects.index, boxes[:, :2], level.stride),
                "fitting": int(fits.sum()),
            }
        )
    recall, per_object = possible_recall(sizes, np.concatenate([level.anchors for level in levels]), anchor_t)
    return {"levels": rows, "best_possible_recall": round(recall, 4), "anchors_per_object": round(per_object, 2)}


def shared_cells(index: np.ndarray, centres: np.ndarray, stride: float) -> int:
    """Number of objects whose centre lies in a cell of `stride` pixels that holds another object's centre, too."""
    column, row = (centres // stride).clip(0, 2**20 - 1).astype(np.int64).T
    counts = np.unique((index.astype(np.int64) << 40) | (row << 20) | column, return_counts=True)[1]
    return int(counts[counts > 1].sum())


def overlapping_pairs(boxes: np.ndarray, classes: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """(thresholds, 2): pairs of boxes (n, 4) of one image with an intersection over union above each threshold, and how
    many of them are of one class: of those, non-maximum suppression at that threshold can keep only one."""
    left, top, right, bottom = xywh_to_xyxy(boxes).T
    area, lowest = boxes[:, 2] * boxes[:, 3], min(thresholds)
    totals = np.zeros((len(thresholds), 2), int)
    for start in range(0, len(boxes), BLOCK):
        own = slice(start, start + BLOCK)
        width = np.minimum(right[own, None], right) - np.maximum(left[own, None], left)
        height = np.minimum(bottom[own, None], bottom) - np.maximum(top[own, None], top)
        inter = width.clip(min=0) * height.clip(min=0)
        union = area[own, None] + area - inter
        first, second = np.nonzero(inter > lowest * union)
        once = second > first + start  # each pair is seen from both sides, and each box meets itself
        first, second = first[once], second[once]
        iou, same = inter[first, second] / union[first, second], classes[first + start] == classes[second]
        totals += [((iou > threshold).sum(), (same & (iou > threshold)).sum()) for threshold in thresholds]
    return totals


def covered_area(regions: np.ndarray) -> float:
    """Pixels covered by (m, 4) rectangles, each pixel once."""
    if not len(regions):
        return 0.0
    left, top, right, bottom = xywh_to_xyxy(np.asarray(regions, np.float64)).T
    x, y = np.unique(np.concatenate((left, right))), np.unique(np.concatenate((top, bottom)))
    covered = np.zeros((len(y) - 1, len(x) - 1), bool)
    for x1, y1, x2, y2 in zip(*(np.searchsorted(*pair) for pair in ((x, left), (y, top), (x, right), (y, bottom)))):
        covered[y1:y2, x1:x2] = True
    return float(np.diff(y) @ covered @ np.diff(x))


def describe_regions(objects: Objects) -> dict:
    """Ignored regions: how many, in how many images, their pixels, and the share of all pixels where that is known."""
    counts = [len(rows) for rows in objects.regions]
    pixels = sum(map(covered_area, objects.regions))
    result = {"regions": sum(counts), "images": sum(map(bool, counts)), "pixels": round(pixels)}
    if objects.shapes is None:
        return result | {"share": None}
    return result | {"share": round(pixels / max(float(objects.shapes.prod(axis=1).sum()), 1.0), 5)}
