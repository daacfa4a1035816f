"""Detections of one picture that were made apart (by slices of it, or by several models) become one list.

Rows are x1, y1, x2, y2, confidence, class. Everything is numpy on the CPU, in memory linear in the number of boxes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch

Array = TypeVar("Array", torch.Tensor, np.ndarray)
PAIRS = 2**18  # of boxes whose overlap is computed at once: a few MB


def merge(
    rows: Array,
    method: str = "nms",
    threshold: float = 0.5,
    *,
    metric: str = "iou",
    cut: np.ndarray | None = None,
    agnostic: bool = False,
) -> Array:
    """Merge the (n, 6) rows of one picture; n may be 0. Returns (m, 6) float32 rows by falling confidence, of the kind
    and on the device of `rows`; equal confidences are ordered by x1, y1, x2, y2: the order of `rows` does not matter.

    method:
      'nms'  of the boxes that match, the most confident one stays;
      'nmm'  greedy non-maximum merging: it grows to the hull of those that match it, in falling confidence and as long
             as the next one matches the grown box (sahi's GREEDYNMM);
      'wbf'  weighted box fusion (arXiv 1910.13302): their mean, weighted by confidence; the confidences' mean;
      'none' all rows stay.
    Two boxes of one class (agnostic: of any) match where their overlap reaches `threshold`. metric: 'iou', or 'ios',
    the intersection over the smaller of the two areas.

    cut: (n,) bool, boxes that end at the border of a slice and so may be parts of objects. They match by 'ios' and come
    after all whole boxes, whatever their confidence: beside a whole box a part counts for nothing. Where all that match
    are parts, 'nmm' and 'wbf' take their hull.
    """
    if method not in ("none", *METHODS):
        raise ValueError(f"unknown method {method!r}: use none, {', '.join(METHODS)}")
    if metric not in ("iou", "ios"):
        raise ValueError(f"unknown metric {metric!r}: use iou or ios")
    table, mask = _table(rows), np.zeros(len(rows), bool) if cut is None else np.asarray(cut, bool)
    order = _order(table, mask)
    table, mask = table[order], mask[order]
    if method != "none":
        parts = _classes(table, agnostic)
        table = _join([METHODS[method](table[p], mask[p], threshold, metric == "ios") for p in parts])
    return _like(table[_order(table)], rows)


def fuse_models(parts: Sequence[Array], threshold: float = 0.55, *, agnostic: bool = False) -> Array:
    """Weighted box fusion (arXiv 1910.13302) of what N models found in one picture: (n, 6) rows of each.

    Boxes of one class (agnostic: of any) whose IoU with the running mean of a cluster reaches `threshold` join it; its
    box is the mean weighted by confidence, its confidence the mean of the T members' times min(T, N) / N: what only few
    of the models see loses confidence. Returns rows as `merge` does.
    """
    table = _join([_table(part) for part in parts])
    table = table[_order(table)]
    whole = np.zeros(len(table), bool)
    table = _join([_fuse(table[p], whole[p], threshold, False, len(parts)) for p in _classes(table, agnostic)])
    return _like(table[_order(table)], parts[0])


def overlap(box: np.ndarray, others: np.ndarray, smaller: np.ndarray | bool = False) -> np.ndarray:
    """Intersection of an xyxy box (4,) with (n, 4) others over their union, or, where `smaller` (one or n), over the
    smaller of the two areas -> (n,); boxes (m, 1, 4) -> (m, n). Boxes without area overlap nothing."""
    sides = np.minimum(box[..., 2:4], others[:, 2:4]) - np.maximum(box[..., :2], others[:, :2])
    inter = np.maximum(sides[..., 0], 0) * np.maximum(sides[..., 1], 0)
    area, areas = _area(box), _area(others)
    base = np.where(smaller, np.minimum(area, areas), area + areas - inter)
    return np.divide(inter, base, out=np.zeros_like(inter), where=base > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _reach(shared: np.ndarray, threshold: float) -> np.ndarray:
    """Which overlaps count, as in sahi; boxes that are apart match at no threshold."""
    return (shared >= threshold) & (shared > 0)


def _suppress(rows: np.ndarray, cut: np.ndarray, threshold: float, smaller: bool) -> np.ndarray:
    return rows[[first for first, _ in _groups(rows, cut, threshold, smaller)]]


def _unite(rows: np.ndarray, cut: np.ndarray, threshold: float, smaller: bool) -> np.ndarray:
    united = []
    for first, members in _groups(rows, cut, threshold, smaller):
        row = rows[first].copy()
        for member in members if cut[first] else members[~cut[members]]:
            by_smaller = smaller or cut[first] or cut[member]
            if _reach(overlap(row, rows[member : member + 1], by_smaller), threshold)[0]:
                row[:2] = np.minimum(row[:2], rows[member, :2])
                row[2:5] = np.maximum(row[2:5], rows[member, 2:5])
        united.append(row)
    return np.array(united, dtype=np.float32).reshape(-1, 6)


def _fuse(rows: np.ndarray, cut: np.ndarray, threshold: float, smaller: bool, models: int = 1) -> np.ndarray:
    """Clusters in the order of their first member; see `merge` and `fuse_models`."""
    boxes = np.empty((len(rows), 4))  # of the clusters so far
    sums = np.zeros((len(rows), 5))  # of confidence x box, and of the confidence
    sizes = np.zeros(len(rows), np.int64)
    parts_only = np.zeros(len(rows), bool)
    kinds, count = np.empty(len(rows)), 0
    for row, is_cut in zip(rows.astype(np.float64), cut):
        shared = overlap(row, boxes[:count], smaller | is_cut | parts_only[:count])
        at = int(shared.argmax()) if count else 0
        if not count or not _reach(shared[at], threshold):
            at, count = count, count + 1
            boxes[at], kinds[at], parts_only[at] = row[:4], row[5], is_cut
        elif is_cut and not parts_only[at]:
            continue
        sums[at] += [*(row[:4] * row[4]), row[4]]
        sizes[at] += 1
        if is_cut:
            boxes[at, :2], boxes[at, 2:] = np.minimum(boxes[at, :2], row[:2]), np.maximum(boxes[at, 2:], row[2:4])
        elif sums[at, 4] > 0:
            boxes[at] = sums[at, :4] / sums[at, 4]
    confidence = sums[:count, 4] / sizes[:count] * np.minimum(sizes[:count], models) / models
    return np.column_stack((boxes[:count], confidence, kinds[:count])).astype(np.float32)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, float, bool], np.ndarray]] = {
    "nms": _suppress,
    "nmm": _unite,
    "wbf": _fuse,
}


def _groups(rows: np.ndarray, cut: np.ndarray, threshold: float, smaller: bool) -> Iterator[tuple[int, np.ndarray]]:
    """Number of each surviving row and of those that match it, in order; every row is in one group."""
    free = np.ones(len(rows), bool)
    for start, block in _blocks(len(rows)):
        left = start + np.flatnonzero(free[start:])
        heads = left[left < start + block]
        by_smaller = smaller | cut[heads, None] | cut[left]
        matches = _reach(overlap(rows[heads, None], rows[left], by_smaller), threshold)
        for position, first in enumerate(heads.tolist()):
            if free[first]:
                free[first] = False
                members = left[matches[position] & free[left]]
                free[members] = False
                yield first, members


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    """Start and length of runs of rows whose overlaps with all later rows are few enough to be held at once."""
    start = 0
    while start < count:
        length = max(PAIRS // (count - start), 1)
        yield start, length
        start += length


def _classes(rows: np.ndarray, agnostic: bool) -> list[np.ndarray]:
    """A mask (n,) per class; one for all if agnostic."""
    return [rows[:, 5] == kind for kind in np.unique(rows[:, 5])] if not agnostic else [np.ones(len(rows), bool)]


def _order(rows: np.ndarray, cut: np.ndarray | None = None) -> np.ndarray:
    """Whole boxes first, then by falling confidence, then by the corners and the class."""
    keys = [rows[:, 5], *(rows[:, i] for i in (3, 2, 1, 0)), -rows[:, 4]]
    return np.lexsort(keys if cut is None else [*keys, cut])


def _table(rows: Array) -> np.ndarray:
    table = rows.detach().cpu().numpy() if isinstance(rows, torch.Tensor) else np.asarray(rows)
    return table.astype(np.float32).reshape(-1, 6)


def _join(tables: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty((0, 6), np.float32), *tables])


def _like(table: np.ndarray, rows: Array) -> Array:
    return torch.from_numpy(table).to(rows.device) if isinstance(rows, torch.Tensor) else table
