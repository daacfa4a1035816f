"""What a validation can write besides its scores. A sink has `add(batch, found, in_batch)`, called for every batch, and
`finish(scores)`, called once at the end.

batch: as the loader yields it (.images, .targets, .paths, .letterboxes, .labels); found and in_batch: per image the
(n, 6) rows x1, y1, x2, y2, confidence, class, in pixels of the original and of the batch's picture.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from utils.boxes import xyxy_to_xywh
from utils.errors import LOG
from utils.files import write_text
from utils.metrics import Scores
from utils.plot_batches import save_mosaic, save_targets
from utils.plots import plot_confusion, plot_curves

Rows = Sequence[np.ndarray]


class Sink(Protocol):
    """See the module."""

    def add(self, batch: Any, found: Rows, in_batch: Rows) -> None: ...

    def finish(self, scores: Scores) -> None: ...


class PlotSink:
    """Curves, confusion matrix and mosaics of the first batches, under stock's file names."""

    def __init__(self, folder: Path, names: Mapping[int, str], batches: int = 3) -> None:
        self.folder = folder
        self.names = names
        self.batches = batches
        self._seen = 0

    def add(self, batch: Any, found: Rows, in_batch: Rows) -> None:
        if self._seen < self.batches:
            titles = [path.name for path in batch.paths]
            stem = f"val_batch{self._seen}"
            regions = getattr(batch, "regions", None)
            save_targets(self.folder / f"{stem}_labels.jpg", batch.images, batch.targets, titles, self.names, regions)
            save_mosaic(self.folder / f"{stem}_pred.jpg", batch.images, in_batch, titles, self.names)
        self._seen += 1

    def finish(self, scores: Scores) -> None:
        plot_curves(scores, self.folder)
        plot_confusion(scores.confusion, self.names, self.folder / "confusion_matrix.png")


class TextSink:
    """One text file per image with detections: rows class, cx, cy, w, h in 0..1 of the original[, confidence].

    Named after the image; where stems repeat in the data set the later ones get _2, _3, ...
    """

    def __init__(self, folder: Path, save_conf: bool = False) -> None:
        self.folder = folder
        self.save_conf = save_conf
        self._used: dict[str, int] = {}
        self._written = 0
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, batch: Any, found: Rows, in_batch: Rows) -> None:
        for path, letterbox, rows in zip(batch.paths, batch.letterboxes, found):
            times = self._used[path.stem] = self._used.get(path.stem, 0) + 1
            if len(rows):
                name = path.stem if times == 1 else f"{path.stem}_{times}"
                write_text(self.folder / f"{name}.txt", label_text(rows, letterbox.original, self.save_conf))
                self._written += 1

    def finish(self, scores: Scores) -> None:
        LOG.info("labels of %d images written to %s", self._written, self.folder)


def label_text(rows: np.ndarray, shape: tuple[int, int], save_conf: bool = False) -> str:
    """(n, 6) rows in pixels of a (height, width) picture as YOLO label lines, stock's way (%g)."""
    height, width = shape
    boxes = xyxy_to_xywh(rows[:, :4].astype(np.float64)) / (width, height, width, height)
    lines = np.concatenate((rows[:, 5:6], boxes, rows[:, 4:5] if save_conf else rows[:, :0]), 1)
    return "".join(" ".join(f"{value:g}" for value in line) + "\n" for line in lines.tolist())
