import csv
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import val
from models import build_model
from models.loss import DetectionLoss
from utils import visdrone_files
from utils.boxes import xyxy_to_xywh
from utils.errors import UserError
from utils.hyp import load_hyp
from utils.letterbox import fit
from val import ValOptions, validate

NAMES = {0: "car", 1: "bus"}
SHAPES = ((100, 200), (200, 200), (300, 200))
BOXES = np.array([[10, 20, 60, 70], [120, 30, 180, 90]], dtype=np.float32)
PICTURES = ["val_batch0_labels.jpg", "val_batch0_pred.jpg", "confusion_matrix.png"]
PICTURES += ["F1_curve.png", "PR_curve.png", "P_curve.png", "R_curve.png"]


@dataclass
class MadeUpBatch:
    images: torch.Tensor
    targets: torch.Tensor
    paths: tuple
    letterboxes: tuple
    labels: tuple


def made_up_loader(size=256, labelled=True):
    """Three pictures of different shapes in one square batch; the same two objects in each, in original pixels."""
    plans = tuple(fit(shape, size, auto=False) for shape in SHAPES)
    labels = np.column_stack(([0, 1], BOXES)).astype(np.float32)[: 2 * labelled]
    rows = [(i, kind, *xyxy_to_xywh(inside(plan, box)) / size) for i, plan in enumerate(plans) for kind, *box in labels]
    return [
        MadeUpBatch(
            images=torch.full((3, 3, size, size), 51, dtype=torch.uint8),
            targets=torch.tensor(np.array(rows).reshape(-1, 6), dtype=torch.float32),
            paths=tuple(Path(f"{i}.jpg") for i in range(3)),
            letterboxes=plans,
            labels=(labels,) * 3,
        )
    ]


def inside(plan, box):
    return np.asarray(box) * (plan.ratio * 2) + plan.pad * 2


class MadeUpPredictor:
    """Finds the two objects of every made-up picture, and one more at (0, 0) with little confidence."""

    names, nc, max_stride, fixed_shape = NAMES, 2, 32, None
    device, dtype = torch.device("cpu"), torch.float32

    def predict(self, images, augment=False):
        assert images.dtype == self.dtype and images.min() == images.max() == pytest.approx(0.2, abs=1e-3)
        self.augmented = augment
        phantom = [5, 5, 10, 10, 0.3, 0.9, 0]
        pred = []
        for shape in SHAPES:
            plan = fit(shape, images.shape[-1], auto=False)
            scores = [[0.9, 0.9, 0.01], [0.8, 0, 0.9]]
            pred.append([*([*xyxy_to_xywh(inside(plan, box)), *s] for box, s in zip(BOXES, scores)), phantom])
        return torch.tensor(np.array(pred), dtype=self.dtype)


class Recorder:
    def __init__(self):
        self.calls = []

    def add(self, batch, found, in_batch):
        self.calls.append((found, in_batch))

    def finish(self, scores):
        self.calls.append(scores)


def test_no_batches_and_no_labels(caplog):
    for loader in ([], made_up_loader(labelled=False)):
        result = validate(MadeUpPredictor(), loader)
        assert (result.map, result.loss, result.per_class) == (0, None, ())
    assert "no labels were found" in caplog.text


def test_scores_are_those_of_the_original_pixels():
    sink = Recorder()
    result = validate(MadeUpPredictor(), made_up_loader(), sinks=[sink])
    assert [result.map50, result.map] == pytest.approx([0.995, 0.995])
    assert (result.images, result.instances) == (3, 6)
    assert result.confusion.tolist() == [[3, 0, 3], [0, 3, 0], [0, 0, 0]]
    (found, in_batch), scores = sink.calls
    assert scores.map == result.map and len(result.speed_ms) == 3
    for rows, placed, letterbox in zip(found, in_batch, made_up_loader()[0].letterboxes):
        assert rows[:2, 5].tolist() == [0, 1]
        np.testing.assert_allclose(rows[:2, :4], BOXES, atol=1e-3)
        np.testing.assert_allclose(placed[0, :4], inside(letterbox, BOXES[0]), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (ValOptions(), 4),  # the first object passes for both classes
        (ValOptions(conf_thres=0.1), 3),
        (ValOptions(conf_thres=0.5), 2),
        (ValOptions(max_det=1), 1),
        (ValOptions(single_cls=True), 3),
    ],
)
def test_options_reach_the_suppression(options, count):
    sink, loader = Recorder(), made_up_loader()
    if options.single_cls:
        loader[0].labels = tuple(rows * (0, 1, 1, 1, 1) for rows in loader[0].labels)  # the real loader does that
    result = validate(MadeUpPredictor(), loader, options, sinks=[sink])
    assert [len(rows) for rows in sink.calls[0][0]] == [count] * 3
    if options.single_cls:
        assert sink.calls[0][0][0][:, 5].tolist() == [0, 0, 0] and len(result.confusion) == 2


def test_augment_is_passed_on():
    model = MadeUpPredictor()
    validate(model, made_up_loader(), ValOptions(augment=True))
    assert model.augmented


def test_what_lies_in_ignored_regions_does_not_count():
    (batch,) = loader = made_up_loader()
    batch.ignored = tuple(np.array([[0.0, 0, width, height]]) for height, width in SHAPES)
    result = validate(MadeUpPredictor(), loader)
    assert (result.instances, result.confusion.sum()) == (0, 0)
    assert validate(MadeUpPredictor(), loader, drop_regions=False).instances == 6
    batch.ignored = (np.empty((0, 4)),) * 3
    assert validate(MadeUpPredictor(), loader).map == validate(MadeUpPredictor(), made_up_loader()).map


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="evaluation mode"):
        validate(build_model("yolov5n.yaml", nc=2).train(), made_up_loader())


def test_a_loss_changes_nothing_but_the_loss():
    """With a loss the network runs once, and gives what predict gives."""
    torch.manual_seed(0)
    model = build_model("yolov5n.yaml", nc=2, names=NAMES).eval()
    model.head.m[0].bias.data[4::7] = 2  # an untrained network that finds something
    loader = made_up_loader(64) * 2
    plain, judged = Recorder(), Recorder()
    loss = DetectionLoss(model, load_hyp("hyp.scratch-low.yaml"), 64)
    without = validate(model, loader, sinks=[plain])
    result = validate(model, loader, loss=loss, sinks=[judged])
    raw = model(loader[0].images / 255)
    assert result.loss == pytest.approx(loss(raw, loader[0].targets)[1].tolist(), rel=1e-5)
    assert without.loss is None and result.map == without.map
    for rows, expected in zip(judged.calls[0][0], plain.calls[0][0]):
        assert len(rows) > 0
        np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_the_loss_leaves_ignored_regions_out():
    torch.manual_seed(0)
    model = build_model("yolov5n.yaml", nc=2, names=NAMES).eval()
    loss, (batch,) = DetectionLoss(model, load_hyp("hyp.scratch-low.yaml"), 64), made_up_loader(64)
    before = validate(model, [batch], loss=loss)
    batch.regions = torch.tensor([[i, 0.0, 0, 1, 0, 1, 1, 0, 1] for i in range(3)])
    after = validate(model, [batch], loss=loss)
    assert after.loss[1] < before.loss[1] and after.loss[::2] == before.loss[::2] and after.map == before.map


@pytest.fixture
def data(tmp_path):
    """A data set of the made-up pictures and objects; returns its YAML."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number, (height, width) in enumerate(SHAPES):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), np.full((height, width, 3), 51, np.uint8))
        rows = xyxy_to_xywh(BOXES) / (width, height, width, height)
        text = "".join(f"{kind} {' '.join(map(repr, row))}\n" for kind, row in enumerate(rows.tolist()))
        (tmp_path / f"labels/{number}.txt").write_text(text)
    file = tmp_path / "made up.yaml"
    file.write_text(f"path: {tmp_path}\nval: images\ntest: images\nnames: [car, bus]\n")
    return file


class FixedPredictor(MadeUpPredictor):
    """An exported file frozen to one square picture; knows the data's pictures in their order."""

    fixed_shape = (1, 256, 256)
    seen = 0

    def predict(self, images, augment=False):
        assert (len(images), *images.shape[2:]) == self.fixed_shape
        if not images.any():
            return torch.zeros(1, 0, 7)  # the warm-up
        plan = fit(SHAPES[self.seen], 256, auto=False)
        self.seen += 1
        rows = [[*xyxy_to_xywh(inside(plan, box)), 0.9, kind == 0, kind == 1] for kind, box in enumerate(BOXES)]
        return torch.tensor(np.array([rows]), dtype=torch.float32)


def run(monkeypatch, data, model=None, pictures=False, **options):
    if not pictures:
        monkeypatch.setattr(val, "PlotSink", lambda *_: Recorder())
    monkeypatch.setattr(
        val, "load_predictor", lambda *_: model or build_model("yolov5n.yaml", nc=2, names=NAMES).eval()
    )
    project = str(data.parent / "runs")
    fixed = {"data": str(data), "weights": ("best.pt",), "imgsz": 64, "workers": 0, "device": "cpu", "project": project}
    return val.run(ValOptions(**{**fixed, **options})), data.parent / "runs" / "exp"


def test_run_writes_the_whole_folder(monkeypatch, data, caplog):
    caplog.set_level("INFO")
    result, folder = run(monkeypatch, data, pictures=True, save_txt=True, save_json=True, conf_thres=0.0)
    files = {path.name for path in folder.iterdir()}
    assert files == {*PICTURES, "labels", "metrics.csv", "metrics.json", "coco_metrics.json"} | {
        "best_predictions.json",
        "best_annotations.json",
    }
    assert len(list((folder / "labels").iterdir())) == 3
    content = json.loads((folder / "metrics.json").read_text())
    assert content["mAP50-95"] == result.map and set(content["speed_ms"]) == set(val.STAGES)
    assert [row["name"] for row in csv.DictReader((folder / "metrics.csv").open())] == ["all", "car", "bus"]
    assert "mAP50-95" in caplog.text and "per image" in caplog.text and f"saved to {folder}" in caplog.text


def test_run_with_a_file_frozen_to_one_square(monkeypatch, data):
    result, folder = run(monkeypatch, data, model=FixedPredictor(), batch_size=2, save_json=True)
    assert result.map == pytest.approx(0.995)
    assert json.loads((folder / "coco_metrics.json").read_text())["AP"] == pytest.approx(1)


def test_a_file_frozen_to_an_oblong_is_refused(monkeypatch, data):
    model = FixedPredictor()
    model.fixed_shape = (1, 128, 256)
    with pytest.raises(UserError, match="best.pt: is frozen to 128 x 256"):
        run(monkeypatch, data, model=model)


def test_speed_writes_no_pictures_and_uses_stocks_thresholds(monkeypatch, data):
    seen = []
    monkeypatch.setattr(
        val,
        "validate",
        lambda _, loader, options, sinks, **_more: seen.append((loader, options)) or validate(*_nothing()),
    )
    _, folder = run(monkeypatch, data, task="speed", save_json=True)
    ((loader, options),) = seen
    assert (options.conf_thres, options.iou_thres) == (0.25, 0.45)
    assert next(iter(loader)).images.shape[2:] == (64, 64)
    assert {path.name for path in folder.iterdir()} == {"metrics.csv", "metrics.json"}


@pytest.fixture
def visdrone(data):
    """The made-up data with VisDrone's classes, its original annotations and an ignored region in the last picture."""
    folder = data.parent / "annotations"
    folder.mkdir()
    for number, (height, width) in enumerate(SHAPES):
        region = f"0,0,{width},{height},0,0,0,0\n" * (number == 2)
        rows = "".join(
            f"{x1:g},{y1:g},{x2 - x1:g},{y2 - y1:g},1,{kind},0,0\n" for kind, (x1, y1, x2, y2) in enumerate(BOXES, 1)
        )
        (folder / f"{number}.txt").write_text(region + rows)
    (data.parent / "ignored").mkdir()
    (data.parent / "ignored/2.txt").write_text("0.5 0.5 1 1\n")
    text = data.read_text().replace("[car, bus]", str(list(visdrone_files.NAMES)))
    data.write_text(text + "max_det: 500\nvisdrone: {val: annotations}\n")
    return data


class TenClasses(FixedPredictor):
    names, nc = dict(enumerate(visdrone_files.NAMES)), 10

    def predict(self, images, augment=False):
        found = super().predict(images, augment)
        return torch.cat((found, torch.zeros(*found.shape[:2], 8)), 2)


def test_all_scores_of_visdrone_side_by_side(monkeypatch, visdrone, caplog):
    caplog.set_level("INFO")
    result, folder = run(monkeypatch, visdrone, model=TenClasses(), save_visdrone=True)
    assert (result.instances, result.map50) == (4, pytest.approx(0.995))  # the last picture is one ignored region
    content = json.loads((folder / "metrics.json").read_text())
    assert content["max_det"] == 500 and content["image_size"] == 256
    assert content["coco"]["500"]["AP"] == pytest.approx(1) and content["visdrone"]["AP"] == pytest.approx(100)
    assert content["visdrone"]["per_class"]["n_scored"][:2] == [2, 2]
    lines = [line.split() for line in caplog.text.splitlines()]
    assert ["maxDets", "500", "100", "500", "500", "500"] in lines
    assert {path.name for path in folder.iterdir()} == {"metrics.csv", "metrics.json", "visdrone.csv", "visdrone"}
    written = visdrone_files.read_results(folder / "visdrone" / "2.txt")
    assert len(written) == 2 and written[0, 5] == 1


def test_where_coco_files_are_named_nothing_is_left_out_of_ours(monkeypatch, visdrone):
    visdrone.write_text(visdrone.read_text() + "annotations: {test: instances.json}\n")
    assert run(monkeypatch, visdrone, model=TenClasses())[0].instances == 6


@pytest.mark.parametrize(
    ("options", "words"), [({"single_cls": True}, "--single-cls merges"), ({}, "no folder .*annotations of original")]
)
def test_official_figures_that_cannot_be_had_are_named(monkeypatch, visdrone, caplog, options, words):
    (visdrone.parent / "annotations").rename(visdrone.parent / "elsewhere")
    _, folder = run(monkeypatch, visdrone, model=TenClasses(), **options)
    assert re.search(f"official VisDrone figures .* are left out: .*{words}", caplog.text)
    assert "visdrone" not in json.loads((folder / "metrics.json").read_text())


def test_visdrones_format_is_for_its_classes(monkeypatch, data):
    with pytest.raises(UserError, match="--save-visdrone: is VisDrone's format, but it has ten classes, not 2"):
        run(monkeypatch, data, save_visdrone=True)


def test_every_data_set_has_scores_by_size(monkeypatch, data, caplog):
    caplog.set_level("INFO")
    _, folder = run(monkeypatch, data, model=FixedPredictor())
    sizes = json.loads((folder / "metrics.json").read_text())["sizes"]
    assert sum(row["objects"] for row in sizes.values()) == 6 and "32-64 px" in caplog.text
    assert "maxDets" not in caplog.text


def _nothing():
    return MadeUpPredictor(), []


@pytest.mark.parametrize(("given", "expected"), [(None, 7), (5, 5)])
def test_the_data_set_may_say_how_many_detections_count(monkeypatch, data, given, expected):
    data.write_text(data.read_text() + "max_det: 7\n")
    run(monkeypatch, data, max_det=given, save_txt=True, conf_thres=0.0, task="test")
    labels = (data.parent / "runs" / "exp" / "labels").iterdir()
    assert [len(file.read_text().splitlines()) for file in labels] == [expected] * 3


def test_annotations_of_the_data_set_are_used_or_missed_aloud(monkeypatch, data, caplog):
    data.write_text(data.read_text() + "annotations: {val: instances.json}\n")
    run(monkeypatch, data, save_json=True)
    assert "instances.json: no such file; annotations are made from the labels" in caplog.text
    (data.parent / "instances.json").write_text("{")
    with pytest.raises(UserError, match="instances.json: is not valid JSON"):
        run(monkeypatch, data, save_json=True)


def test_classes_that_disagree_name_both_files(monkeypatch, data):
    model = build_model("yolov5n.yaml", nc=3).eval()
    with pytest.raises(UserError, match="best.pt: detects 3 classes, but .*made up.yaml names 2"):
        run(monkeypatch, data, model=model)
    assert not (data.parent / "runs").exists()
    run(monkeypatch, data, model=model, single_cls=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "study"}, "--task study: comes in a later version"),
        ({"conf_thres": 1.5}, "--conf-thres 1.5: lies between 0 and 1"),
        ({"iou_thres": -1.0}, "--iou-thres -1.0"),
        ({"batch_size": 0}, "--batch-size 0: must be at least 1"),
        ({"max_det": 0}, "--max-det 0"),
        ({"task": "train"}, "made up.yaml: has no 'train:'"),
    ],
)
def test_impossible_wishes(monkeypatch, data, options, words):
    with pytest.raises(UserError, match=words):
        run(monkeypatch, data, **options)


def test_the_command_line_has_stocks_names_and_defaults(monkeypatch):
    seen = []
    monkeypatch.setattr(val, "run", seen.append)
    monkeypatch.setattr("sys.argv", ["val.py"])
    val.main()
    argv = "val.py --weights a.pt b.pt --batch 8 --img 320 --conf-thres 0.1 --iou-thres 0.5 --task test --save-txt"
    monkeypatch.setattr("sys.argv", [*argv.split(), "--save-conf", "--save-json", "--half", "--augment", "--verbose"])
    val.main()
    assert (seen[0].batch_size, seen[0].imgsz, seen[0].conf_thres, seen[0].iou_thres) == (32, 640, 0.001, 0.6)
    assert (seen[1].weights, seen[1].batch_size, seen[1].imgsz) == (("a.pt", "b.pt"), 8, 320)
    assert seen[1] == replace(
        ValOptions(),
        weights=("a.pt", "b.pt"),
        batch_size=8,
        imgsz=320,
        conf_thres=0.1,
        iou_thres=0.5,
        task="test",
        save_txt=True,
        save_conf=True,
        save_json=True,
        half=True,
        augment=True,
        verbose=True,
    )
    for flag in ("--save-hybrid", "--dnn"):
        monkeypatch.setattr("sys.argv", ["val.py", flag])
        with pytest.raises(UserError, match=f"{flag}: is not offered"):
            val.main()
