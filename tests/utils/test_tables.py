import csv
import json

import numpy as np

from utils.metrics import DetectionMetrics
from utils.tables import Column, board, mean_ap75, score_csv, score_dict, score_table, size_table

NAMES = {0: "car", 1: "a class with quite a long name"}


def scores(seen=True):
    metrics = DetectionMetrics(NAMES)
    box = [0, 0, 10, 10]
    if seen:
        metrics.update(np.array([[*box, 0.9, 0]]), np.array([[0, *box], [1, 50, 50, 60, 60]]))
    return metrics.compute()


def test_tables_of_nothing():
    nothing = scores(seen=False)
    assert score_table(nothing, per_class=True).splitlines()[1].split() == ["all", "0", "0", "0", "0", "0", "0"]
    assert len(score_csv(nothing).splitlines()) == 2
    assert score_dict(nothing)["classes"] == []


def test_table_has_stocks_columns_and_aligned_lines():
    lines = score_table(scores(), per_class=True).splitlines()
    assert lines[0].split() == ["Class", "Images", "Instances", "P", "R", "mAP50", "mAP50-95"]
    assert lines[2].split() == ["car", "1", "1", "1", "1", "0.995", "0.995"]
    assert len({len(line) for line in lines}) == 1 and len(lines) == 4
    assert len(score_table(scores(), per_class=False).splitlines()) == 2


def test_csv_and_json_hold_the_same():
    rows = list(csv.DictReader(score_csv(scores()).splitlines()))
    assert [row["name"] for row in rows] == ["all", *NAMES.values()]
    content = json.loads(json.dumps(score_dict(scores())))
    assert float(rows[0]["mAP50-95"]) == content["mAP50-95"] == scores().map
    assert float(rows[2]["recall"]) == content["classes"][1]["recall"] == 0
    assert len(content["classes"][0]["ap"]) == 10 and content["confusion"][0][0] == 1


def test_scores_side_by_side():
    ours = Column("ours", "", 300, {"AP": scores().map, "AP75": mean_ap75(scores())})
    other = Column("COCO", "(pycocotools)", 100, {"AP": 0.5, "AP_small": -1.0, "AR_1": float("nan")})
    lines = [line.split() for line in board([ours, other], "val", 640).splitlines()]
    assert lines[0] == ["percent", "ours", "COCO"] and lines[4] == ["maxDets", "300", "100"]
    assert lines[2:4] == [["split", "val", "val"], ["image", "size", "640", "640"]]
    assert lines[5:7] == [["AP", f"{100 * scores().map:.2f}", "50.00"], ["AP75", f"{100 * scores().map:.2f}", "-"]]
    assert lines[7:] == [["AP_small", "-", "-"], ["AR_1", "-", "-"]]
    assert "split" not in board([other])


def test_sizes_as_a_table():
    row = {"objects": 3, "AP": 0.25, "AP50": 0.5, "AR": -1.0}
    lines = size_table({"< 16 px": row}).splitlines()
    assert lines[1].split() == ["<", "16", "px", "3", "25.00", "50.00", "-"] and len(lines[0]) == len(lines[1])
