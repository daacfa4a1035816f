"""Scores of a validation by other people's rules. Sinks as in `utils.val_sinks`; what they found is in `figures` after
`finish`, and `columns` gives it to the table of all scores (`utils.val_report`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils import coco_eval, coco_files, coco_json, visdrone, visdrone_files
from utils.errors import LOG, UserError
from utils.files import write_text
from utils.ignored import drop_ignored
from utils.metrics import Scores
from utils.tables import Column

Rows = Sequence[np.ndarray]
MOST_DETECTIONS = 3_000_000  # pycocotools needs about a kilobyte for each


class CocoSink:
    """pycocotools' scores: COCO's twelve at 100 and at 500 detections, and AP by object size.

    Against the data set's annotation file where there is one, else against the labels, and then without what lies in
    ignored regions. With `write` there are files, too: NAME_predictions.json, NAME_annotations.json (only where made)
    and coco_metrics.json with the twelve numbers at 100. Without it nothing is scored beyond MOST_DETECTIONS. With
    `brief` the table of all scores does without the twelve.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        names: Mapping[int, str],
        annotations: Path | None = None,
        write: bool = True,
        brief: bool = False,
    ) -> None:
        self.folder = folder
        self.name = name
        self.names = names
        self.write = write
        self.brief = brief
        self.figures: dict[str, Any] = {}
        self._file = annotations
        self._given = coco_files.read_annotations(annotations) if annotations else None
        self._categories = coco_json.category_ids(self._given, names, annotations) if annotations else sorted(names)
        self._paths: list[Path] = []
        self._shapes: list[tuple[int, int]] = []
        self._labels: list[np.ndarray] = []
        self._found: list[np.ndarray] = []
        self._count = 0

    def add(self, batch: Any, found: Rows, in_batch: Rows) -> None:
        found, labels = (list(found), batch.labels) if self._given is not None else drop_ignored(batch, list(found))
        self._count += sum(map(len, found))
        if self._is_too_much():
            self._found = []
            return
        self._paths += batch.paths
        self._shapes += [letterbox.original for letterbox in batch.letterboxes]
        self._labels += labels
        self._found += found

    def finish(self, scores: Scores) -> None:
        if self._is_too_much():
            LOG.warning("AP by object size: left out for %d detections; --save-json asks for it", self._count)
            return
        content, ids = self._truth()
        known = [(image_id, rows) for image_id, rows in zip(ids, self._found) if image_id is not None]
        if len(known) < len(ids):
            missing = len(ids) - len(known)
            LOG.warning("%s: does not list %d of %d images; they are left out", self._file, missing, len(ids))
        entries = [entry for pair in known for entry in coco_json.prediction_entries(*pair, self._categories)]
        self.figures = coco_eval.evaluate(content, entries, [image_id for image_id, _ in known])
        if self.write:
            coco_json.write_json(self.folder / f"{self.name}_predictions.json", entries)
            coco_json.write_json(self.folder / "coco_metrics.json", self.figures["limits"][100])

    def columns(self) -> list[Column]:
        limits = {} if self.brief else self.figures.get("limits", {})
        return [Column("COCO", "(pycocotools)", limit, figures) for limit, figures in limits.items()]

    def notes(self) -> list[str]:
        """What the figures are measured against."""
        truth = self._file or "the labels; what lies at least half in ignored regions was left out first"
        return [f"COCO: against {truth}"]

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json, in 0..1."""
        if not self.figures:
            return {}
        limits = {str(limit): figures for limit, figures in self.figures["limits"].items()}
        return {"coco": limits, "sizes": self.figures["sizes"]}

    def _is_too_much(self) -> bool:
        return not self.write and self._count > MOST_DETECTIONS

    def _truth(self) -> tuple[dict, list]:
        """The annotations, and the id of each picture in them (None = not listed)."""
        if self._given is not None:
            return self._given, coco_json.ids_by_file(self._given, self._paths)
        ids = coco_json.image_ids(self._paths)
        content = coco_json.make_annotations(ids, self._paths, self._shapes, self._labels, self.names)
        if self.write:
            coco_json.write_json(self.folder / f"{self.name}_annotations.json", content)
        return content, ids


class VisDroneSink:
    """The official VisDrone score against the original annotation files, and result files for its toolkit.

    annotations: their folder, read at once so that its faults are told before the work; None = no score. With `results`
    a file per picture is written there.
    """

    def __init__(self, folder: Path, annotations: Path | None = None, results: Path | None = None) -> None:
        self.folder = folder
        self.results = results
        self.figures: dict[str, Any] = {}
        self._source = annotations
        self._truth = read_folder(annotations) if annotations else {}
        self._images: list[dict[str, Any]] = []
        self._seen: set[str] = set()
        self._unlisted = 0

    def add(self, batch: Any, found: Rows, in_batch: Rows) -> None:
        for path, letterbox, boxes in zip(batch.paths, batch.letterboxes, found):
            if path.stem in self._seen:
                raise UserError(f"{path}: a second image of this name; VisDrone's result files are named after them")
            self._seen.add(path.stem)
            rows = visdrone_files.result_rows(boxes)
            if self.results:
                write_text(self.results / f"{path.stem}.txt", visdrone_files.result_text(rows))
            height, width = letterbox.original
            place = {"name": path.stem, "height": height, "width": width}
            if path.stem in self._truth:
                self._images.append({**place, "annotations": self._truth[path.stem], "results": rows})
            self._unlisted += path.stem not in self._truth

    def finish(self, scores: Scores) -> None:
        if self.results:
            LOG.info("VisDrone result files of %d images written to %s", len(self._seen), self.results)
        if self._source is None:
            return
        left_out = len(self._truth) - len(self._images)
        if left_out or self._unlisted:
            LOG.warning(
                "%s: %d images have no file there and %d files there no image; the official figures leave them out",
                *(self._source, self._unlisted, left_out),
            )
        self.figures = visdrone.evaluate(self._images)
        write_text(self.folder / "visdrone.csv", visdrone_files.scores_csv(self.figures))

    def columns(self) -> list[Column]:
        if not self.figures:
            return []
        kinds = ("(official)", self.figures), ("(class mean)", self.figures["plain"])
        return [
            Column("VisDrone", kind, visdrone.MAX_DETS[-1], {_name(key): means[key] / 100 for key in visdrone.FIGURES})
            for kind, means in kinds
        ]

    def notes(self) -> list[str]:
        """What the figures are measured against."""
        return [f"VisDrone: against {self._source}; classes weighted by images (official), or alike (class mean)"]

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json, in percent, None for NaN."""
        return {"visdrone": visdrone_files.without_nan(self.figures)} if self.figures else {}


def read_folder(folder: Path) -> dict[str, np.ndarray]:
    """Rows of every annotation file in a folder by name, in name order; no such file is a `UserError`."""
    files = sorted(folder.glob("*.txt"), key=lambda path: path.stem)
    if not files:
        raise UserError(f"{folder}: holds no annotation file (.txt); give VisDrone's folder `annotations`")
    return {file.stem: visdrone_files.read_annotations(file) for file in files}


def _name(key: str) -> str:
    """AR500 -> AR_500, as COCO's figures are named."""
    return key.replace("AR", "AR_")
