import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.coco_json import write_json
from utils.errors import UserError
from utils.letterbox import fit
from utils.metrics import DetectionMetrics
from utils.val_sinks import JsonSink, PlotSink, TextSink, label_text

NAMES = {0: "car", 1: "bus"}
ROW = np.array([[10, 20, 30, 40, 0.5, 1]], dtype=np.float32)
NONE = np.empty((0, 6), dtype=np.float32)


@dataclass
class MadeUpBatch:
    paths: tuple
    labels: tuple
    images: torch.Tensor
    letterboxes: tuple
    targets: torch.Tensor


def batch(*names):
    count = len(names)
    label = np.array([[1, 10, 20, 30, 40]], dtype=np.float32)
    return MadeUpBatch(
        paths=tuple(Path(name) for name in names),
        labels=(label,) * count,
        images=torch.zeros(count, 3, 64, 64, dtype=torch.uint8),
        letterboxes=(fit((100, 200), 64),) * count,
        targets=torch.tensor([[0, 1, 0.1, 0.3, 0.1, 0.2]]),
    )


def scores():
    return DetectionMetrics(NAMES).compute()


def test_label_lines_as_in_stock():
    assert label_text(NONE, (100, 200)) == ""
    assert label_text(ROW, (100, 200)) == "1 0.1 0.3 0.1 0.2\n"
    assert label_text(ROW, (100, 200), save_conf=True) == "1 0.1 0.3 0.1 0.2 0.5\n"


def test_text_only_for_pictures_with_detections_and_none_overwritten(tmp_path):
    sink = TextSink(tmp_path / "labels")
    sink.add(batch("a/1.jpg", "a/2.jpg"), [ROW, NONE], [ROW, NONE])
    sink.add(batch("b/1.jpg"), [ROW], [ROW])
    sink.finish(scores())
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == ["1.txt", "1_2.txt"]


def test_plots_of_the_first_batches(tmp_path):
    sink = PlotSink(tmp_path, NAMES, batches=1)
    for _ in range(2):
        sink.add(batch("1.jpg"), [ROW], [ROW])
    sink.finish(scores())
    names = {path.name for path in tmp_path.iterdir()}
    assert {"val_batch0_labels.jpg", "val_batch0_pred.jpg", "PR_curve.png", "confusion_matrix.png"} <= names
    assert "val_batch1_pred.jpg" not in names


def test_json_without_any_picture(tmp_path):
    sink = JsonSink(tmp_path, "best", NAMES)
    sink.finish(scores())
    assert json.loads((tmp_path / "best_predictions.json").read_text()) == []
    assert sink.numbers["AP"] == -1


def test_json_against_the_labels(tmp_path, caplog):
    caplog.set_level("INFO")
    sink = JsonSink(tmp_path, "best", NAMES)
    sink.add(batch("1.jpg", "2.jpg"), [ROW, NONE], [ROW, NONE])
    sink.finish(scores())
    (entry,) = json.loads((tmp_path / "best_predictions.json").read_text())
    assert entry == {"image_id": 1, "category_id": 1, "bbox": [10.0, 20.0, 20.0, 20.0], "score": 0.5}
    made = json.loads((tmp_path / "best_annotations.json").read_text())
    assert made["images"][0]["height"] == 100 and len(made["annotations"]) == 2
    assert 0.4 < sink.numbers["AP"] < 0.6  # one of two found
    assert json.loads((tmp_path / "coco_metrics.json").read_text()) == sink.numbers
    assert "made from the labels" in caplog.text and "AP_small" in caplog.text


def test_json_against_a_given_file_uses_its_ids(tmp_path, caplog):
    file = tmp_path / "instances.json"
    annotation = {"id": 1, "image_id": 77, "category_id": 90, "bbox": [10, 20, 20, 20], "area": 300, "iscrowd": 0}
    categories = [{"id": 3, "name": "x"}, {"id": 90, "name": "y"}]
    images = [{"id": 77, "file_name": "1.jpg"}]
    write_json(file, {"images": images, "annotations": [annotation], "categories": categories})
    sink = JsonSink(tmp_path, "best", NAMES, file)
    sink.add(batch("1.jpg", "unknown.jpg"), [ROW, ROW], [ROW, ROW])
    sink.finish(scores())
    (entry,) = json.loads((tmp_path / "best_predictions.json").read_text())
    assert (entry["image_id"], entry["category_id"]) == (77, 90)
    assert sink.numbers["AP"] == pytest.approx(1)
    assert "does not list 1 of 2 images" in caplog.text
    assert not (tmp_path / "best_annotations.json").exists()


def test_categories_that_disagree_are_told_before_the_work(tmp_path):
    file = tmp_path / "instances.json"
    write_json(file, {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]})
    with pytest.raises(UserError, match="instances.json: has 1 categories"):
        JsonSink(tmp_path, "best", NAMES, file)
