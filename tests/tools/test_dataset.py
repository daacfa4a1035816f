import json
import shutil

import cv2
import numpy as np
import pytest

from tests.command import run_cli
from tests.conftest import write_dataset
from tests.data.prepare.test_visdrone import TRAIN, write_split
from tools.dataset import model_levels
from tools.dataset_advice import advise

ROWS = {
    "a": "10,10,5,4,1,4,0,0\n12,10,5,4,1,4,0,0\n0,0,40,30,0,0,0,0\n5,5,10,10,0,11,0,0\n",
    "b": "9,9,10,0,1,1,0,0\n9,9,10,10,1,1,0,0,\nx,1,2\n",
    "c": "",
}


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


def test_raw_annotations_from_a_folder_and_an_archive(tmp_path):
    raw = write_split(tmp_path / "raw", texts=ROWS, images=False)
    outcome = run_cli("tools.dataset", ["--annotations", str(tmp_path / "raw"), "--out", str(tmp_path / "out")])
    assert outcome.code == 0, outcome.err
    facts = report_of(tmp_path / "out")
    assert (facts["images"], facts["objects"]) == (3, 3)
    assert (facts["classes"]["car"], facts["classes"]["pedestrian"]) == (2, 1)
    assert (facts["raw_rows"]["pedestrian"], facts["raw_rows"]["others"]) == (2, 1)
    assert facts["ignored"] == {"regions": 1, "images": 1, "pixels": 1200, "share": None}
    assert facts["at"][0]["image_size"] is None
    assert facts["overlapping_pairs"][0] == {"iou": 0.45, "pairs": 0, "of_one_class": 0}  # IoU 12 / 28
    places = [place for found in facts["faults"].values() for place in found]
    for place in (
        f"{TRAIN}/annotations/b.txt, line 1:",
        f"{TRAIN}/annotations/b.txt, line 3:",
        f"{TRAIN}/annotations/c",
    ):
        assert any(found.startswith(place) for found in places)
    assert "sizes are unknown" in outcome.out
    assert "sizes are unknown" in (tmp_path / "out" / "report.md").read_text()
    assert not (tmp_path / "out" / "samples.jpg").exists()

    archive = shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "raw")
    assert run_cli("tools.dataset", ["--annotations", archive, "--out", str(tmp_path / "zip")]).code == 0
    assert report_of(tmp_path / "zip") == facts
    files = str(raw / "annotations")
    assert run_cli("tools.dataset", ["--annotations", files, "--out", str(tmp_path / "files")]).code == 0
    assert report_of(tmp_path / "files") == facts


def test_a_data_set_with_faults(tmp_path):
    yaml = write_dataset(tmp_path / "set", train=4, val=1)
    labels = tmp_path / "set" / "labels" / "train"
    (labels / "0.txt").write_text(
        "0 0.5 0.5 0.25 0.25\n0 0.5 0.5 0.25 0.25\n1 0.5 0.5 0 0.1\n1 3 3 1 1\n9 0.5 0.5 0.5 0.5\n"
    )
    (labels / "1.txt").unlink()
    (labels / "stray.txt").write_text("")
    (tmp_path / "set" / "images" / "train" / "3.jpg").write_bytes(b"no image")
    ignored = tmp_path / "set" / "ignored" / "train"
    ignored.mkdir(parents=True)
    (ignored / "2.txt").write_text("0.5 0.5 1 0.5\n")
    (ignored / "orphan.txt").write_text("0.5 0.5 1 0.5\n")
    flags = [str(yaml), "--imgsz", "64", "128", "--cfg", "yolov5n-p2.yaml", "--out", str(tmp_path / "out")]
    outcome = run_cli("tools.dataset", flags)
    assert outcome.code == 0, outcome.err
    facts = report_of(tmp_path / "out")
    assert (facts["images"], facts["objects"]) == (3, 5)
    assert [at["image_size"] for at in facts["at"]] == [64, 128]
    assert [level["stride"] for level in facts["at"][0]["levels"]] == [4, 8, 16, 32]
    assert {kind: len(places) for kind, places in facts["faults"].items()} == {
        "images skipped": 1,
        "bad rows dropped": 2,
        "repeated rows dropped": 1,
        "rows of a class that the data set does not name": 1,
        "images without a label file": 1,
        "label files without an image": 1,
        "files of regions without an image": 1,
    }
    assert facts["faults"]["rows of a class that the data set does not name"][0].endswith(
        "0.txt, line 5: class 9, but there are 3"
    )
    assert any("0.txt, line 3: has no area" in place for place in facts["faults"]["bad rows dropped"])
    shapes = np.array([[96, 128], [128, 96], [100, 140]])
    assert facts["ignored"]["share"] == pytest.approx(100 * 140 / 2 / shapes.prod(1).sum(), abs=1e-4)
    text = (tmp_path / "out" / "report.md").read_text()
    for word in ("## Advice", "## Label faults", "stray.txt", "statistics.png", "samples.jpg"):
        assert word in text
    for name in ("statistics.png", "samples.jpg"):
        assert cv2.imread(str(tmp_path / "out" / name)).shape[2] == 3


def test_a_data_set_without_objects(tmp_path):
    yaml = write_dataset(tmp_path / "set", train=2, val=1)
    shutil.rmtree(tmp_path / "set" / "labels")
    outcome = run_cli("tools.dataset", [str(yaml), "--out", str(tmp_path / "out")])
    assert outcome.code == 0, outcome.err
    assert report_of(tmp_path / "out")["advice"] == []


@pytest.mark.parametrize(
    "flags, words",
    [
        ([], "give either"),
        (["a.yaml", "--annotations", "b"], "give either"),
        (["a.yaml", "--imgsz", "0"], "--imgsz 0"),
        (["none.yaml"], "none.yaml"),
        (["--annotations", "none"], "--annotations none: is neither"),
        (["--annotations", "."], "holds no .txt files"),
        (["demo.yaml", "--cfg", "none.yaml"], "none.yaml"),
    ],
)
def test_mistakes(flags, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run_cli("tools.dataset", flags)
    assert outcome.code == 1
    assert words in outcome.sentence
    assert not list(tmp_path.iterdir())


def test_levels_come_finest_first():
    assert [level.stride for level in model_levels("yolov5n-p2.yaml")] == [4, 8, 16, 32]
    assert model_levels("yolov5n.yaml")[0].anchors.tolist() == [[10, 13], [16, 30], [33, 23]]


def facts_of(**changes):
    at = {"image_size": 640, "under": {"8": 40, "16": 70}, "in_shared_cells": {"4": 1, "8": 9}}
    facts = {
        "objects": 100,
        "model": "m.yaml",
        "classes": {"car": 100},
        "median_longer_side": 1920.0,
        "original": {"under": {"8": 2, "16": 10}},
        "at": [at | {"best_possible_recall": 0.9}],
        "standard": {640: {"8": 40}, 1280: {"8": 9}, 1920: {"8": 2}, 4000: {"8": 0}},
        "per_image": {"most": 400, "over_300": 2},
        "overlapping_pairs": [{"iou": 0.45, "of_one_class": 30}, {"iou": 0.6, "of_one_class": 3}],
        "ignored": {"regions": 5, "images": 2, "share": 0.03},
        "faults": {"x": ["a"]},
    }
    return facts | changes


def test_advice_names_its_figures():
    advice = dict(sentence.split(":", 1) for sentence in advise(facts_of()))
    assert "--img 1280: at 640 40.0 % of the objects are under 8 pixels, at 1280 9.0 %" in advice["Image size"]
    assert "40.0 %" in advice["P2"] and "9.0 %" in advice["P2"]
    assert "--slice 640" in advice["Slices"] and "70.0 %" in advice["Slices"]
    assert "0.900 at 640" in advice["Anchors"]
    assert "400" in advice["Detections"]
    assert "30 pairs" in advice["Suppression"]
    assert "3.0 %" in advice["Ignored regions"]
    assert "Rare classes" not in advice


def test_an_easy_data_set_gets_little_advice():
    at = {"image_size": 640, "under": {"8": 0, "16": 0}, "in_shared_cells": {"4": 0, "8": 0}}
    advice = advise(
        facts_of(
            at=[at | {"best_possible_recall": 1.0}],
            standard={640: {"8": 0}},
            per_image={"most": 3, "over_300": 0},
            overlapping_pairs=[{"iou": 0.45, "of_one_class": 0}, {"iou": 0.6, "of_one_class": 0}],
            ignored={"regions": 0, "images": 0, "share": 0.0},
            faults={},
        )
    )
    assert [sentence.split(":")[0] for sentence in advice] == ["Image size", "P2", "Slices"]
    assert "is enough" in advice[0]
    assert "not needed" in advice[1]
    assert advise({"objects": 0}) == []


def test_p2_is_not_advised_where_its_cells_part_nothing():
    at = {"image_size": 640, "under": {"8": 0, "16": 0}, "best_possible_recall": 1.0}
    for finer, words in ((30, "not needed"), (1, "take a model with a P2 level")):
        advice = advise(facts_of(at=[at | {"in_shared_cells": {"4": finer, "8": 30}}]))
        assert words in next(sentence for sentence in advice if sentence.startswith("P2"))
