"""export.py: files that are written, checked, described, and the mistakes it answers."""

import ast
import json
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
import torch

import export
from export import ExportOptions, compare, find_pictures
from models.exporters import EXPORTERS
from tests.models.test_loading import save
from tests.stock_files import tiny_model
from utils.errors import ROOT, UserError

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save(tmp_path_factory.mktemp("weights") / "best é.pt", tiny_model("yolov5n-ema.yaml"))


@pytest.fixture(autouse=True)
def clean(weights):
    yield
    for kind in EXPORTERS:
        weights.with_suffix(f".{kind}").unlink(missing_ok=True)


def run(weights, **changes):
    changes = {"include": ("onnx",), "imgsz": (64,)} | changes
    return export.export(ExportOptions(weights=str(weights), **changes))


def shape_of(value):
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("dynamic", [False, True])
def test_both_formats_are_written_and_agree(weights, dynamic):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = run(weights, include=("onnx", "torchscript"), imgsz=(64, 96), batch_size=2, dynamic=dynamic)
    assert [result.path for result in results] == [weights.with_suffix(".onnx"), weights.with_suffix(".torchscript")]
    for result in results:
        assert result.box_difference < 5e-3 and result.score_difference < 1e-5
    content = onnx.load(str(results[0].path))
    source, target = content.graph.input, content.graph.output
    assert [value.name for value in (*source, *target)] == ["images", "output0"]
    if dynamic:
        assert shape_of(source[0]) == ["batch", 3, "height", "width"] and shape_of(target[0]) == ["batch", "anchors", 8]
    else:
        assert shape_of(source[0]) == [2, 3, 64, 96] and shape_of(target[0]) == [2, 378, 8]
    extra = {"config.txt": ""}
    torch.jit.load(str(results[1].path), _extra_files=extra)
    config = json.loads(extra["config.txt"])
    assert config["shape"] == [2, 3, 64, 96] and config["stride"] == 32 and config["dynamic"] is dynamic
    assert config["names"] == {str(index): f"kind {index}" for index in range(3)}


@pytest.mark.parametrize("opset, simplify", [(12, False), (17, True)])
def test_opset_and_metadata_are_what_was_asked_for(weights, opset, simplify):
    if simplify:
        pytest.importorskip("onnxslim")
    (result,) = run(weights, opset=opset, simplify=simplify, dynamic=simplify)
    content = onnx.load(str(result.path))
    assert [entry.version for entry in content.opset_import if entry.domain == ""] == [opset]
    meta = {entry.key: entry.value for entry in content.metadata_props}
    assert meta["stride"] == "32" and ast.literal_eval(meta["names"]) == {i: f"kind {i}" for i in range(3)}


def test_a_file_that_differs_is_not_kept(weights, monkeypatch):
    weights.with_suffix(".onnx").write_bytes(b"the last good one")
    write = EXPORTERS["onnx"]

    def write_shifted(model, images, path, options):
        bias = model.head.m[0].bias
        bias += 0.01
        write(model, images, path, options)
        bias -= 0.01

    monkeypatch.setitem(EXPORTERS, "onnx", write_shifted)
    with pytest.raises(UserError, match=r"best é\.onnx: differs from PyTorch by .* pixels .* was not kept"):
        run(weights)
    assert weights.with_suffix(".onnx").read_bytes() == b"the last good one"
    assert sorted(path.name for path in weights.parent.iterdir()) == ["best é.onnx", "best é.pt"]


def test_a_full_disk_is_said(weights, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("[enforce fail at inline_container.cc] file write failed\nsecond line")

    monkeypatch.setitem(EXPORTERS, "onnx", fail)
    with pytest.raises(UserError, match=r"best é\.onnx: cannot be written \(.*file write failed\); is there room"):
        run(weights)
    assert [path.name for path in weights.parent.iterdir()] == ["best é.pt"]


def test_not_a_number_and_another_shape_count_as_infinite():
    class Fake:
        def __init__(self, output):
            self.output = output

        def predict(self, images):
            return self.output

    images = [torch.zeros(1, 3, 32, 32)]
    right = torch.ones(1, 63, 8)
    assert compare(Fake(right), Fake(right), images) == (0, 0)
    assert compare(Fake(right + torch.tensor([0, 0, 0, 2.0, 0, 0, 0, 0.5])), Fake(right), images) == (2, 0.5)
    assert compare(Fake(right * torch.nan), Fake(right), images) == (float("inf"),) * 2
    assert compare(Fake(right[:, 1:]), Fake(right), images) == (float("inf"),) * 2


def test_pictures_of_the_check(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "ROOT", tmp_path)
    (picture,), origin = find_pictures("")
    assert picture.shape == (480, 640, 3) and picture.std() > 20 and "drawn" in origin
    (tmp_path / "data" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "data" / "images" / "a.png"), np.full((40, 50, 3), 7, np.uint8))
    (picture,), origin = find_pictures("")
    assert picture.shape == (40, 50, 3) and "data" in origin
    (tmp_path / "set" / "images").mkdir(parents=True)
    for index in range(6):
        cv2.imwrite(str(tmp_path / "set" / "images" / f"{index}.png"), np.full((20, 30, 3), index, np.uint8))
    data = tmp_path / "set.yaml"
    data.write_text(f"path: {tmp_path / 'set'}\ntrain: images\nval: images\nnames: [a]\n")
    pictures, origin = find_pictures(str(data))
    assert [int(picture[0, 0, 0]) for picture in pictures] == [0, 1, 2, 3] and "set" in origin
    data.write_text(f"path: {tmp_path / 'gone'}\ntrain: images\nval: images\nnames: [a]\n")
    assert find_pictures(str(data))[0][0].shape == (40, 50, 3)  # said, and the next best taken


@pytest.mark.parametrize("size", [(32, 32), (640, 640), (64, 96), (96, 64), (64, 32)])
def test_the_second_size_differs_in_both_sides(size):
    height, width = export._other_size(size, 32)
    assert height != size[0] and width != size[1] and height % 32 == width % 32 == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("--include openvino", "--include openvino: this format is not offered; export onnx and convert"),
        ("--include onxx", "--include onxx: is not a format; did you mean onnx"),
        ("--include zzz", "use torchscript or onnx"),
        ("--half", "--half: float16 is exported on a GPU"),
        ("--imgsz 1 2 3", "--imgsz 1 2 3: give one number, or height and width"),
        ("--batch-size 0", "--batch-size 0: give a number from 1"),
        ("--include onnx --opset 9", "--opset 9: the detection head needs 11"),
        ("--include onnx --opset 99", "--opset 99: PyTorch cannot write it"),
        ("--weights gone.pt", "gone.pt: no such file"),
        ("--nms", "--nms: NMS is not part of the exported file"),
        ("--int8", "--int8: quantisation is not offered"),
        ("--optimize", "--optimize: the optimisation for phones"),
        ("--workspace 4", "--workspace: TensorRT is not offered"),
        ("--data gone.yaml", "gone.yaml: no such file"),
    ],
)
def test_mistakes_are_one_sentence(weights, monkeypatch, arguments, words):
    monkeypatch.setattr(sys, "argv", ["export.py", "--weights", str(weights), "--img", "64", *arguments.split()])
    with pytest.raises(UserError) as error:
        export.main()
    assert words in str(error.value) and "\n" not in str(error.value)


def test_half_and_dynamic_do_not_go_together():
    with pytest.raises(UserError, match="--half: does not go with --dynamic"):
        export._check_half(ExportOptions(half=True, dynamic=True), torch.device("cuda:0"))


def test_the_command_prints_a_table_and_what_to_run_next(weights):
    command = [sys.executable, "export.py", "--weights", str(weights), "--include", "torchscript", "--imgsz", "70"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "image size [70, 70] must be a multiple of the stride 32: [96, 96] is used" in result.stdout
    assert "torchscript" in result.stdout and "next: python detect.py --weights" in result.stdout
    assert result.stderr == "" and weights.with_suffix(".torchscript").is_file()
