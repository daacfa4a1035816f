import json

import numpy as np

from utils.metrics import DetectionMetrics
from utils.tables import Column
from utils.val_report import Circumstances, report

WHERE = Circumstances("val", 640, 500)


class Scoring:
    def __init__(self, columns=(), content=None):
        self.columns, self.as_dict = lambda: list(columns), lambda: content or {}

    def notes(self):
        return ["X: against something"]


def scores():
    metrics = DetectionMetrics({0: "car", 1: "bus"})
    metrics.update(np.array([[0, 0, 9, 9, 0.9, 0]]), np.array([[0, 0, 0, 9, 9], [1, 0, 0, 9, 9]]))
    return metrics.compute()


def test_a_run_without_further_scores(tmp_path, caplog):
    caplog.set_level("INFO")
    report(scores(), {"NMS": 1.25}, tmp_path, WHERE, [object(), Scoring()], verbose=False)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert (content["split"], content["image_size"], content["max_det"]) == ("val", 640, 500)
    assert content["speed_ms"] == {"NMS": 1.25} and (tmp_path / "metrics.csv").is_file()
    assert "1.2 ms NMS" in caplog.text and "maxDets" not in caplog.text and "X:" not in caplog.text


def test_all_scores_side_by_side(tmp_path, caplog):
    caplog.set_level("INFO")
    size = {"objects": 2, "AP": 0.5, "AP50": 0.5, "AR": 0.5}
    sink = Scoring([Column("Theirs", "(odd)", 100, {"AP": 0.125})], {"sizes": {"tiny": size}, "theirs": 1})
    report(scores(), {}, tmp_path, WHERE, [sink], verbose=True)
    lines = [line.split() for line in caplog.text.splitlines()]
    assert ["maxDets", "500", "100"] in lines and ["AP", f"{100 * scores().map:.2f}", "12.50"] in lines
    assert ["tiny", "2", "50.00", "50.00", "50.00"] in lines and "X: against something" in caplog.text
    assert json.loads((tmp_path / "metrics.json").read_text())["theirs"] == 1
