import csv
import json

import numpy as np

from utils.coco_json import NUMBERS
from utils.metrics import DetectionMetrics
from utils.tables import score_csv, score_dict, score_table, twelve_table

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


def test_twelve_numbers_beside_ours():
    numbers = dict.fromkeys(NUMBERS, 0.5) | {"AP_small": -1.0}
    lines = twelve_table(numbers, scores()).splitlines()
    assert lines[1].split() == ["AP", "0.5000", f"{scores().map:.4f}"]
    assert lines[4].split() == ["AP_small", "-"] and len(lines) == 13
