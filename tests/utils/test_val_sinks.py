from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from utils.letterbox import fit
from utils.metrics import DetectionMetrics
from utils.val_sinks import PlotSink, TextSink, label_text

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
