"""Which class is taken for which."""

import numpy as np
import torch

from utils.boxes import box_iou


class ConfusionMatrix:
    """Counts of (predicted class, true class) pairs over a data set.

    `matrix` (nc + 1, nc + 1) int64: row = predicted, column = true, the last of each is the background, so
    matrix[nc, c] counts objects of class c that were missed and matrix[c, nc] detections where nothing is.
    """

    def __init__(self, nc: int, conf_thres: float = 0.25, iou_thres: float = 0.45) -> None:
        self.nc = nc
        self.conf_thres = conf_thres
        self.iou_thres = iou_thres
        self.matrix = np.zeros((nc + 1, nc + 1), dtype=np.int64)

    def update(self, detections: np.ndarray, labels: np.ndarray) -> None:
        """Count one picture: detections (n, 6) x1, y1, x2, y2, confidence, class; labels (m, 5) class, x1, y1, x2, y2,
        in the same pixels.

        Detections above the confidence threshold take part. Each claims the label that it overlaps most (of any
        class, IoU above the threshold); of several claims on a label the largest overlap wins.
        """
        detections = detections[detections[:, 4] > self.conf_thres]
        predicted, true = detections[:, 5].astype(np.int64), labels[:, 0].astype(np.int64)
        winner, claimed = self._match(detections[:, :4], labels[:, 1:5])
        self._count(predicted[winner], true[claimed])
        self._count(np.delete(predicted, winner), self.nc)
        self._count(self.nc, np.delete(true, claimed))

    def _match(self, boxes: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the matched (detections, labels), pair by pair."""
        if not len(boxes) or not len(truth):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(truth).to(torch.from_numpy(boxes).dtype)).numpy()
        label = overlap.argmax(1)
        best = overlap[np.arange(len(boxes)), label]
        claim = np.flatnonzero(best > self.iou_thres)
        claim = claim[np.argsort(-best[claim], kind="stable")]
        claimed, first = np.unique(label[claim], return_index=True)
        return claim[first], claimed

    def _count(self, predicted: np.ndarray | int, true: np.ndarray | int) -> None:
        np.add.at(self.matrix, (predicted, true), 1)
