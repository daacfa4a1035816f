"""What a validation can write besides its scores. A sink has `add(batch, found, in_batch)`, called for every batch, and
`finish(scores)`, called once at the end.

batch: as the loader yields it (.images, .targets, .paths, .letterboxes, .labels); found and in_batch: per image the
(n, 6) rows x1, y1, x2, y2, confidence, class, in pixels of the original and of the batch's picture.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from utils import coco_json
from utils.boxes import xyxy_to_xywh
from utils.errors import LOG
from utils.files import write_text
from utils.metrics import Scores
from utils.plot_batches import save_mosaic, save_targets
from utils.plots import plot_confusion, plot_curves
from utils.tables import twelve_table

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
            save_targets(self.folder / f"{stem}_labels.jpg", batch.images, batch.targets, titles, self.names)
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


class JsonSink:
    """COCO's JSON of all predictions, scored by pycocotools beside our own figures.

    Against the data set's annotation file where there is one, else against annotations made from the labels. Files:
    NAME_predictions.json, NAME_annotations.json (only where made) and coco_metrics.json with the twelve numbers, which
    stay in `numbers`.
    """

    def __init__(self, folder: Path, name: str, names: Mapping[int, str], annotations: Path | None = None) -> None:
        self.folder = folder
        self.name = name
        self.names = names
        self.numbers: dict[str, float] = {}
        self._file = annotations
        self._given = coco_json.read_annotations(annotations) if annotations else None
        self._categories = coco_json.category_ids(self._given, names, annotations) if annotations else sorted(names)
        self._paths: list[Path] = []
        self._shapes: list[tuple[int, int]] = []
        self._labels: list[np.ndarray] = []
        self._found: list[np.ndarray] = []

    def add(self, batch: Any, found: Rows, in_batch: Rows) -> None:
        self._paths += batch.paths
        self._shapes += [letterbox.original for letterbox in batch.letterboxes]
        self._labels += batch.labels
        self._found += found

    def finish(self, scores: Scores) -> None:
        content, ids = self._truth()
        known = [(image_id, rows) for image_id, rows in zip(ids, self._found) if image_id is not None]
        if len(known) < len(ids):
            LOG.warning(
                "%s: does not list %d of %d images; they are left out", self._file, len(ids) - len(known), len(ids)
            )
        entries = [entry for pair in known for entry in coco_json.prediction_entries(*pair, self._categories)]
        coco_json.write_json(self.folder / f"{self.name}_predictions.json", entries)
        self.numbers = coco_json.score(content, entries, [image_id for image_id, _ in known])
        coco_json.write_json(self.folder / "coco_metrics.json", self.numbers)
        truth = self._file or "annotations made from the labels"
        LOG.info("COCO metrics by pycocotools against %s:\n%s", truth, twelve_table(self.numbers, scores))

    def _truth(self) -> tuple[dict, list]:
        """The annotations, and the id of each picture in them (None = not listed)."""
        if self._given is not None:
            return self._given, coco_json.ids_by_file(self._given, self._paths)
        ids = coco_json.image_ids(self._paths)
        content = coco_json.make_annotations(ids, self._paths, self._shapes, self._labels, self.names)
        coco_json.write_json(self.folder / f"{self.name}_annotations.json", content)
        return content, ids
