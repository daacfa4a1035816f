"""Average precision and its kin: detections and labels of a data set -> how good the detector is.

Everything is numpy on the CPU and vectorised over boxes; only the classes are looped over.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from utils.boxes import box_iou
from utils.confusion import ConfusionMatrix

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
CONFIDENCES = np.linspace(0, 1, 1000)
RECALLS = np.linspace(0, 1, 101)
TINY = 1e-16


@dataclass(frozen=True)
class ClassScore:
    """One labelled class: `images` that hold it, its `instances`, and its scores in 0..1."""

    class_id: int
    name: str
    images: int
    instances: int
    precision: float
    recall: float
    f1: float
    map50: float
    map: float
    ap: tuple[float, ...]  # per IoU threshold .5:.05:.95


@dataclass(frozen=True)
class Curves:
    """Per labelled class (rows, in the order of Scores.per_class) over the confidence axis of 1000 values 0..1;
    `pr` is the precision over a recall axis of 1000 values 0..1, at IoU 0.5."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    pr: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Scores of a data set; the means are over the classes that have labels (0.0 where none has).

    precision, recall and f1 are taken at `confidence`, where the class-mean F1 (smoothed) is largest; map50 is the mean
    AP at IoU 0.5, map that over .5:.05:.95. confusion: see ConfusionMatrix.
    """

    precision: float
    recall: float
    map50: float
    map: float
    confidence: float
    images: int
    instances: int
    per_class: tuple[ClassScore, ...]
    curves: Curves
    confusion: np.ndarray

    @property
    def fitness(self) -> float:
        """The one number by which the best epoch is chosen."""
        return 0.1 * self.map50 + 0.9 * self.map

    def maps(self, nc: int) -> np.ndarray:
        """(nc,) AP .5:.95 of every class; classes without labels have the mean."""
        values = np.full(nc, self.map)
        for score in self.per_class:
            values[score.class_id] = score.map
        return values


class DetectionMetrics:
    """Collects pictures with `update`; `compute` gives the Scores. names maps every class number to its name."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self.names = dict(names)
        self.confusion = ConfusionMatrix(len(names))
        self.images = 0
        self._pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

    def update(self, detections: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Add one picture: detections (n, 6) x1, y1, x2, y2, confidence, class, by falling confidence; labels (m, 5)
        class, x1, y1, x2, y2; both in the same pixels. Returns what `match` says of the detections."""
        detections, labels = np.asarray(detections).reshape(-1, 6), np.asarray(labels).reshape(-1, 5)
        correct = match(detections, labels)
        self.images += 1
        self._pictures.append((correct, detections[:, 4], detections[:, 5].astype(np.int64), labels[:, 0]))
        self.confusion.update(detections, labels)
        return correct

    def compute(self) -> Scores:
        """Scores of all pictures added so far."""
        empty = np.empty((0, len(IOU_THRESHOLDS)), bool), np.empty(0), np.empty(0, np.int64), np.empty(0)
        correct, conf, predicted, true = (np.concatenate(part) for part in zip(empty, *self._pictures))
        true = true.astype(np.int64)
        classes, instances = np.unique(true, return_counts=True)
        per_picture = [np.unique(labels).astype(np.int64) for *_, labels in self._pictures]
        holding = np.bincount(np.concatenate([*per_picture, classes]), minlength=1) - 1  # `classes` are counted once
        ap, curves = average_precision(correct, conf, predicted, true)
        point = best_confidence(curves.f1)
        p, r, f1 = (curve[:, point] for curve in (curves.precision, curves.recall, curves.f1))
        rows = zip(classes.tolist(), instances.tolist(), p.tolist(), r.tolist(), f1.tolist(), ap.tolist())
        per_class = tuple(
            ClassScore(c, self.names[c], int(holding[c]), n, *pr, aps[0], sum(aps) / len(aps), tuple(aps))
            for c, n, *pr, aps in rows
        )
        return Scores(
            *(float(values.mean()) if len(classes) else 0.0 for values in (p, r, ap[:, 0], ap)),
            confidence=float(CONFIDENCES[point]),
            images=self.images,
            instances=len(true),
            per_class=per_class,
            curves=curves,
            confusion=self.confusion.matrix.copy(),
        )


def match(detections: np.ndarray, labels: np.ndarray, thresholds: np.ndarray = IOU_THRESHOLDS) -> np.ndarray:
    """Which detections are right, (n, thresholds) bool; arguments as for DetectionMetrics.update.

    At every threshold each detection claims the label of its own class that it overlaps most, if the IoU reaches the
    threshold; of several claims on a label the first detection (the most confident one) wins.
    """
    correct = np.zeros((len(detections), len(thresholds)), dtype=bool)
    if not len(detections) or not len(labels):
        return correct
    boxes = torch.from_numpy(np.ascontiguousarray(detections[:, :4]))
    overlap = box_iou(boxes, torch.from_numpy(np.ascontiguousarray(labels[:, 1:5])).to(boxes.dtype)).numpy()
    overlap[detections[:, 5:6] != labels[None, :, 0]] = 0
    label = overlap.argmax(1)
    best = overlap[np.arange(len(label)), label]
    level, claim = np.nonzero(best >= thresholds[:, None])  # ordered by level, then by detection
    _, first = np.unique(level * len(labels) + label[claim], return_index=True)
    correct[claim[first], level[first]] = True
    return correct


def average_precision(
    correct: np.ndarray, conf: np.ndarray, predicted: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, Curves]:
    """Scores of the classes that occur in `true`, in rising order.

    correct (n, t) from `match`, conf (n,) and predicted (n,) class of all detections in any order; true (m,) classes of
    all labels. Returns AP (classes, t) and the Curves, whose precision, recall and F1 are those at the first threshold.
    """
    order = np.argsort(-conf, kind="stable")
    correct, conf, predicted = correct[order], conf[order], predicted[order]
    classes, instances = np.unique(true, return_counts=True)
    ap = np.zeros((len(classes), correct.shape[1]))
    precisions, recalls, pr = (np.zeros((len(classes), len(CONFIDENCES))) for _ in range(3))
    for row, (class_id, count) in enumerate(zip(classes, instances)):
        mine = predicted == class_id
        if not mine.any():
            continue
        hits = correct[mine].cumsum(0)
        recall = hits / (count + TINY)
        precision = hits / np.arange(1, len(hits) + 1)[:, None]
        # The axis runs down (np.interp wants rising positions): above the highest confidence nothing is found.
        recalls[row] = np.interp(-CONFIDENCES, -conf[mine], recall[:, 0], left=0)
        precisions[row] = np.interp(-CONFIDENCES, -conf[mine], precision[:, 0], left=1)
        positions, envelope = _envelope(recall, precision)
        ap[row] = [_area(np.interp(RECALLS, *curve)) for curve in zip(positions.T, envelope.T)]
        pr[row] = np.interp(CONFIDENCES, positions[:, 0], envelope[:, 0])
    f1 = 2 * precisions * recalls / (precisions + recalls + TINY)
    return ap, Curves(precisions, recalls, f1, pr)


def best_confidence(f1: np.ndarray) -> int:
    """Index on the confidence axis at which the class-mean of the F1 curves (classes, 1000), box-smoothed over a tenth
    of the axis, is largest; 0 without classes."""
    return int(smooth(f1.mean(0), 0.1).argmax()) if len(f1) else 0


def smooth(values: np.ndarray, fraction: float) -> np.ndarray:
    """Moving average over `fraction` of the axis (an odd number of points), the ends repeated beyond the axis."""
    width = round(len(values) * fraction) | 1
    return np.convolve(np.pad(values, width // 2, mode="edge"), np.full(width, 1 / width), mode="valid")


def _envelope(recall: np.ndarray, precision: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision (n, t) with the ends (0, 1) and (1, 0) put on, precision made to fall along the recall."""
    ends = np.zeros((1, recall.shape[1]))
    positions = np.concatenate((ends, recall, ends + 1))
    heights = np.concatenate((ends + 1, precision, ends))
    return positions, np.maximum.accumulate(heights[::-1])[::-1]


def _area(heights: np.ndarray) -> float:
    """Trapezoid rule over evenly spaced points from 0 to 1."""
    return (heights.sum() - (heights[0] + heights[-1]) / 2) / (len(heights) - 1)
