import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils import score_sinks, visdrone, visdrone_files
from utils.coco_json import write_json
from utils.errors import UserError
from utils.letterbox import fit
from utils.metrics import DetectionMetrics
from utils.score_sinks import CocoSink, VisDroneSink

NAMES = {0: "car", 1: "bus"}
ROW = np.array([[10, 20, 30, 40, 0.5, 1]], dtype=np.float32)
NONE = np.empty((0, 6), dtype=np.float32)
WHOLE = np.array([[0.0, 0, 200, 100]])


def batch(*names, ignored=()):
    label = np.array([[1, 10, 20, 30, 40]], dtype=np.float32)
    return SimpleNamespace(
        paths=tuple(map(Path, names)),
        labels=(label,) * len(names),
        letterboxes=(fit((100, 200), 64),) * len(names),
        ignored=ignored,
    )


def scores():
    return DetectionMetrics(NAMES).compute()


def test_json_without_any_picture(tmp_path):
    sink = CocoSink(tmp_path, "best", NAMES)
    sink.finish(scores())
    assert json.loads((tmp_path / "best_predictions.json").read_text()) == []
    assert sink.figures["limits"][100]["AP"] == -1


def test_json_against_the_labels(tmp_path):
    sink = CocoSink(tmp_path, "best", NAMES)
    sink.add(batch("1.jpg", "2.jpg"), [ROW, NONE], [ROW, NONE])
    sink.finish(scores())
    (entry,) = json.loads((tmp_path / "best_predictions.json").read_text())
    assert entry == {"image_id": 1, "category_id": 1, "bbox": [10.0, 20.0, 20.0, 20.0], "score": 0.5}
    made = json.loads((tmp_path / "best_annotations.json").read_text())
    assert made["images"][0]["height"] == 100 and len(made["annotations"]) == 2
    assert 0.4 < sink.figures["limits"][100]["AP"] < 0.6  # one of two found
    assert json.loads((tmp_path / "coco_metrics.json").read_text()) == sink.figures["limits"][100]
    assert "the labels" in sink.notes()[0] and [column.max_det for column in sink.columns()] == [100, 500]


def test_json_against_a_given_file_uses_its_ids(tmp_path, caplog):
    file = tmp_path / "instances.json"
    annotation = {"id": 1, "image_id": 77, "category_id": 90, "bbox": [10, 20, 20, 20], "area": 300, "iscrowd": 0}
    categories = [{"id": 3, "name": "x"}, {"id": 90, "name": "y"}]
    images = [{"id": 77, "file_name": "1.jpg"}]
    write_json(file, {"images": images, "annotations": [annotation], "categories": categories})
    sink = CocoSink(tmp_path, "best", NAMES, file)
    sink.add(batch("1.jpg", "unknown.jpg"), [ROW, ROW], [ROW, ROW])
    sink.finish(scores())
    (entry,) = json.loads((tmp_path / "best_predictions.json").read_text())
    assert (entry["image_id"], entry["category_id"]) == (77, 90)
    assert sink.figures["limits"][100]["AP"] == pytest.approx(1)
    assert "does not list 1 of 2 images" in caplog.text
    assert not (tmp_path / "best_annotations.json").exists()


def test_categories_that_disagree_are_told_before_the_work(tmp_path):
    file = tmp_path / "instances.json"
    write_json(file, {"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}]})
    with pytest.raises(UserError, match="instances.json: has 1 categories"):
        CocoSink(tmp_path, "best", NAMES, file)


def test_what_lies_in_ignored_regions_is_left_out(tmp_path):
    sink = CocoSink(tmp_path, "best", NAMES)
    sink.add(batch("1.jpg", "2.jpg", ignored=(WHOLE, WHOLE[:0])), [ROW, NONE], [ROW, NONE])
    sink.finish(scores())
    assert sink.figures["limits"][100]["AP"] == 0 and sink.figures["sizes"]["16-32 px"]["objects"] == 1
    assert json.loads((tmp_path / "best_predictions.json").read_text()) == []


def test_sizes_alone_write_nothing_and_are_short(tmp_path):
    sink = CocoSink(tmp_path, "best", NAMES, write=False, brief=True)
    sink.add(batch("1.jpg"), [ROW], [ROW])
    sink.finish(scores())
    assert sink.columns() == [] and sink.as_dict()["sizes"]["16-32 px"]["AP"] == pytest.approx(1)
    assert list(tmp_path.iterdir()) == []


def test_too_many_detections_for_the_memory(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(score_sinks, "MOST_DETECTIONS", 1)
    for write, expected in ((False, set()), (True, {"coco", "sizes"})):
        sink = CocoSink(tmp_path, "best", NAMES, write=write)
        sink.add(batch("1.jpg", "2.jpg"), [ROW, ROW], [ROW, ROW])
        sink.finish(scores())
        assert sink.as_dict().keys() == expected and bool(sink.columns()) == write
    assert "left out for 2 detections" in caplog.text


@pytest.fixture
def annotations(tmp_path):
    folder = tmp_path / "annotations"
    folder.mkdir()
    (folder / "1.txt").write_text("10,20,20,20,1,2,0,0\n")
    (folder / "2.txt").write_text("")
    return folder


def test_scores_in_memory_are_those_of_the_written_files(tmp_path, annotations):
    sink = VisDroneSink(tmp_path, annotations, tmp_path / "visdrone")
    moved = ROW + np.float32([1.23456, 0, 0, 0, 0.1234567, 0])
    sink.add(batch("1.jpg", "2.jpg"), [np.concatenate((ROW, moved)), NONE], [ROW, NONE])
    sink.finish(scores())
    images = [
        {"name": file.stem, "height": 100, "width": 200, "annotations": visdrone_files.read_annotations(file)}
        | {"results": visdrone_files.read_results(tmp_path / "visdrone" / file.name)}
        for file in sorted(annotations.iterdir())
    ]
    assert visdrone_files.without_nan(visdrone.evaluate(images)) == sink.as_dict()["visdrone"]
    assert 0 < sink.figures["AP"] < 100 and (tmp_path / "visdrone.csv").is_file()
    assert [column.kind for column in sink.columns()] == ["(official)", "(class mean)"]
    assert sink.columns()[0].figures["AR_500"] == 1 and "annotations" in sink.notes()[0]


def test_pictures_and_annotations_that_lack_each_other_are_counted(tmp_path, annotations, caplog):
    sink = VisDroneSink(tmp_path, annotations)
    sink.add(batch("1.jpg", "9.jpg"), [ROW, ROW], [ROW, ROW])
    sink.finish(scores())
    assert "1 images have no file there and 1 files there no image" in caplog.text
    assert sink.figures["AP"] == 100 and sink.figures["images"] == 1


def test_result_files_alone_need_no_annotations(tmp_path):
    sink = VisDroneSink(tmp_path, None, tmp_path / "out")
    sink.add(batch("1.jpg"), [NONE], [NONE])
    sink.finish(scores())
    assert (tmp_path / "out/1.txt").read_text() == visdrone_files.PLACEHOLDER
    assert sink.columns() == [] and sink.as_dict() == {}


def test_annotations_are_judged_before_the_work(tmp_path, annotations):
    (annotations / "2.txt").write_text("1,2,3\n")
    with pytest.raises(UserError, match="2.txt, line 1: has 3 columns"):
        VisDroneSink(tmp_path, annotations)
    with pytest.raises(UserError, match="holds no annotation file"):
        VisDroneSink(tmp_path, tmp_path / "nowhere")


def test_two_pictures_of_one_name(tmp_path):
    sink = VisDroneSink(tmp_path, None, tmp_path / "out")
    with pytest.raises(UserError, match="b/1.jpg: a second image of this name"):
        sink.add(batch("a/1.jpg", "b/1.jpg"), [NONE, NONE], [NONE, NONE])
