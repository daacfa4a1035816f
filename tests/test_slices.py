"""detect.py and val.py with slices, from the command line to the files."""

import json

import cv2
import numpy as np
import pytest

import detect as detect_script
import val
from detect import DetectOptions, detect
from tests.detect_fakes import save, save_video
from tests.slice_fakes import BlobModel, scatter
from utils.boxes import xywh_to_xyxy, xyxy_to_xywh
from utils.errors import UserError
from utils.files import write_yaml
from utils.val_sinks import TextSink

FLAGS = ["--slice", "128", "--imgsz", "128"]


@pytest.fixture
def data(tmp_path):
    """Two pictures larger than a slice and one that is not; objects of three classes, no larger than the overlap."""
    for number, (shape, count) in enumerate((((230, 300), 20), ((150, 420), 15), ((100, 120), 4))):
        image, areas = scatter(shape, count, 25, seed=number)
        save(tmp_path / f"images/{number}.png", image)
        rows = xyxy_to_xywh(areas[:, :4].astype(float)) / (shape[1], shape[0], shape[1], shape[0])
        text = "".join(f"{kind} {' '.join(map(repr, row))}\n" for kind, row in zip(areas[:, 4], rows.tolist()))
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{number}.txt").write_text(text)
    write_yaml(tmp_path / "x.yaml", {"path": str(tmp_path), "val": "images", "names": ["white", "red", "blue"]})
    return tmp_path


def validate(monkeypatch, data, *flags, model=None):
    monkeypatch.setattr(val, "load_predictor", lambda *_: model or BlobModel())
    words = ["--data", str(data / "x.yaml"), "--project", str(data / "runs"), "--device", "cpu", "--workers", "0"]
    monkeypatch.setattr("sys.argv", ["val.py", *words, "--weights", "x.pt", *flags])
    results = []
    run = val.run
    monkeypatch.setattr(val, "run", lambda options: results.append(run(options)))
    val.main()
    monkeypatch.setattr(val, "run", run)
    return results[0], max((data / "runs").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def test_detection_finds_every_object(data):
    options = DetectOptions(imgsz=(128,), slice=128, no_full=True)
    results = list(detect(BlobModel(), data / "images", options))
    assert [len(found) for _, found in results] == [20, 15, 4]
    assert all(found.xyxy.dtype == np.float32 and found.names == BlobModel.names for _, found in results)
    for frame, found in results:
        text = (data / "labels" / f"{frame.stem}.txt").read_text().splitlines()
        height, width = frame.image.shape[:2]
        rows = [[float(word) for word in line.split()] for line in text]
        labels = xywh_to_xyxy(np.array(rows)[:, 1:]) * (width, height, width, height)
        np.testing.assert_allclose(np.sort(found.xyxy, 0), np.sort(labels, 0), atol=1)


def test_the_command_and_its_log(data, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(detect_script, "load_predictor", lambda *_, **__: BlobModel())
    words = ["--source", str(data / "images"), "--project", str(data / "runs"), "--save-txt", "--device", "cpu"]
    detect_script.main([*words, *FLAGS, "--slice-overlap", "0.25", "--slice-merge", "nmm", "--no-full"])
    rows = (data / "runs/exp/labels/0.txt").read_text().splitlines()
    assert len(rows) == 20 and (data / "runs/exp/1.png").is_file()
    assert "image 1/3" in caplog.text and ": 128x128 " in caplog.text


def test_films_and_several_streams(tmp_path):
    image, areas = scatter((230, 300), 12, 25)
    for name in ("a", "b"):
        save_video(tmp_path / f"{name}.avi", [cv2.convertScaleAbs(image)] * 2)
    (tmp_path / "two.streams").write_text(f"{tmp_path}/a.avi\n{tmp_path}/b.avi\n")
    options = DetectOptions(imgsz=(320,), slice=128)
    for source in (tmp_path / "a.avi", tmp_path / "two.streams"):
        results = list(detect(BlobModel(), source, options))
        assert len(results) >= 2 and all(len(found) >= 10 for _, found in results)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--slice", "16"], "--slice 16: give the side of a slice"),
        (["--slice", "640", "--slice-overlap", "1"], "--slice-overlap 1:"),
        (["--no-full"], "--no-full: leaves out the whole picture, so it needs slices"),
        (["--ensemble", "wbf"], "--ensemble wbf: fuses the boxes of several models"),
    ],
)
def test_mistakes_are_one_sentence(data, monkeypatch, flags, words):
    monkeypatch.setattr(detect_script, "load_predictor", lambda *_, **__: BlobModel())
    with pytest.raises(UserError, match=words):
        detect_script.main(["--source", str(data / "images"), "--project", str(data / "runs"), *flags])
    with pytest.raises(UserError, match=words):
        validate(monkeypatch, data, *flags)
    assert not (data / "runs").exists()


def test_validation_scores_slices_with_all_its_files(data, monkeypatch):
    plain, _ = validate(monkeypatch, data, "--img", "128")
    result, folder = validate(
        monkeypatch, data, "--img", "128", *FLAGS[:2], "--no-full", "--save-txt", "--save-json", "--batch", "2"
    )
    assert plain.map < 0.8 and result.map == pytest.approx(0.995, abs=0.02)
    assert [len((folder / f"labels/{i}.txt").read_text().splitlines()) for i in range(3)] == [20, 15, 4]
    assert len(json.loads((folder / "x_predictions.json").read_text())) == 39
    assert (folder / "val_batch0_pred.jpg").is_file() and all(time > 0 for time in result.speed_ms)
    with_whole, _ = validate(monkeypatch, data, "--img", "128", *FLAGS[:2])
    assert with_whole.map > plain.map + 0.1


def test_validation_without_whole_pictures_looks_at_none_that_has_slices(data, monkeypatch):
    monkeypatch.setattr(val, "PlotSink", lambda *_: TextSink(data / "unused"))
    shapes = {}
    for flag in ([], ["--no-full"]):
        model = BlobModel()
        validate(monkeypatch, data, "--img", "256", "--square", "--slice", "128", *flag, model=model)
        shapes[len(flag)] = [shape for shape in model.inputs if shape[2:] == (256, 256)]
    assert shapes == {0: [(3, 3, 256, 256)], 1: [(1, 3, 256, 256)]}  # one of the three is no larger than a slice
    model = BlobModel()
    (data / "images/2.png").unlink()
    result, _ = validate(monkeypatch, data, "--img", "256", "--slice", "128", "--no-full", model=model)
    assert {shape[2:] for shape in model.inputs[1:]} == {(128, 128)}  # the first one warms up
    assert result.map == pytest.approx(0.995, abs=0.02)


def test_slices_no_smaller_than_the_pictures_change_no_score(data, monkeypatch):
    monkeypatch.setattr(val, "PlotSink", lambda *_: TextSink(data / "unused"))
    plain, _ = validate(monkeypatch, data, "--img", "160")
    for flags in ([], ["--no-full"]):
        result, _ = validate(monkeypatch, data, "--img", "160", "--slice", "448", *flags)
        assert (result.map, result.map50, result.precision) == (plain.map, plain.map50, plain.precision)


@pytest.mark.parametrize("flags", [["--single-cls"], ["--max-det", "5"], ["--conf-thres", "0.95"]])
def test_validation_honours_the_rules_of_suppression(data, monkeypatch, flags):
    monkeypatch.setattr(val, "PlotSink", lambda *_: TextSink(data / "unused"))
    result, folder = validate(monkeypatch, data, "--img", "128", *FLAGS[:2], "--no-full", "--save-txt", *flags)
    rows = [file.read_text().splitlines() for file in (folder / "labels").glob("*.txt")]
    if flags[0] == "--single-cls":
        assert {line.split()[0] for lines in rows for line in lines} == {"0"} and len(result.per_class) == 1
        assert result.map50 > 0.98
    elif flags[0] == "--max-det":
        assert sorted(map(len, rows)) == [4, 5, 5]
    else:
        assert rows == []


def test_validation_with_a_frozen_file(data, monkeypatch):
    monkeypatch.setattr(val, "PlotSink", lambda *_: TextSink(data / "unused"))
    result, _ = validate(monkeypatch, data, *FLAGS[:2], "--no-full", model=BlobModel(fixed_shape=(2, 128, 128)))
    assert result.map50 > 0.98
