import json

import numpy as np
import pytest

from benchmarks import slicing
from tests.detect_fakes import save
from tests.slice_fakes import BlobModel, scatter
from utils.boxes import xyxy_to_xywh
from utils.errors import UserError
from utils.files import write_yaml


def test_what_is_found():
    labels = np.array([[0, 0, 0, 10, 10], [0, 0, 0, 12, 10], [1, 50, 50, 60, 60]], np.float32)
    assert slicing.found_objects(np.empty((0, 6)), labels).tolist() == []
    assert slicing.found_objects(np.array([[0, 0, 9, 9, 0.9, 0]]), labels[:0]).tolist() == []
    rows = np.array([[0, 0, 12, 10, 0.9, 0], [50, 50, 60, 60, 0.8, 0], [0, 0, 12, 10, 0.7, 0], [0, 0, 12, 10, 0.6, 0]])
    assert slicing.found_objects(rows, labels).tolist() == [0, 1]  # each takes one, the best free one; classes count
    assert slicing.found_objects(rows[:1], labels).tolist() == [1]
    assert slicing.sizes(labels).tolist() == pytest.approx([10, 120**0.5, 10])


def test_the_table(tmp_path, monkeypatch):
    for number in range(3):
        image, areas = scatter((200, 300), 12, 25, seed=number)
        save(tmp_path / f"images/{number}.png", image)
        rows = xyxy_to_xywh(areas[:, :4].astype(float)) / (300, 200, 300, 200)
        (tmp_path / "labels").mkdir(exist_ok=True)
        lines = [f"{kind} {' '.join(map(repr, row))}\n" for kind, row in zip(areas[:, 4], rows.tolist())]
        (tmp_path / f"labels/{number}.txt").write_text("".join(lines))
    write_yaml(tmp_path / "x.yaml", {"path": str(tmp_path), "val": "images", "names": ["white", "red", "blue"]})
    monkeypatch.setattr(slicing, "load_predictor", lambda *_: BlobModel())
    words = f"slicing --data {tmp_path / 'x.yaml'} --images 2 --imgsz 64 --slices 128 --merges nms --device cpu"
    monkeypatch.setattr("sys.argv", [*words.split(), "--out", str(tmp_path / "out")])
    slicing.main()
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["images"] == 2 and len(content["rows"]) == 3
    whole, _, alone = content["rows"]
    assert sum(alone["found"]) == sum(alone["objects"]) == 24 and sum(whole["found"]) < 24
    assert alone["detections"] == alone["right"] == 12
    text = (tmp_path / "out.md").read_text()
    assert "| slices of 128 alone, nms | 100.0 % | 100.0 % | - | - | 100.0 % | 100.0 % |" in text
    with pytest.raises(UserError, match="--images 0"):
        monkeypatch.setattr("sys.argv", ["slicing", "--data", str(tmp_path / "x.yaml"), "--images", "0"])
        slicing.main()
