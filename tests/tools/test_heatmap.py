import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from models import build_model
from tests.bad_files import PAGE, write_odd_images
from tests.command import run_cli
from tests.detect_fakes import counting_video
from tests.stock_files import tiny_model, write_stock
from tests.tiny import MODEL
from tools import heatmap, heatmap_maps
from tools.heatmap_panels import BAR
from utils.checkpoint import save_checkpoint

CAMS = [method for method in heatmap_maps.METHODS if method != "gates"]
PLAIN = MODEL | {"backbone": [[-1, 1, "nn.Identity", []] if row[2] == "EMA" else row for row in MODEL["backbone"]]}


def write_model(path, model):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"yaml": model.yaml, "names": model.names, "state_dict": dict(model.state_dict()), "dtype": "float32"}
    save_checkpoint(path, content | {"epoch": 0, "best_fitness": 0.0, "date": "2000-01-01", "training": None})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """ema.pt, plain.pt (without attention), stock.pt, two pictures and what is no picture."""
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(0)
    names = {0: "person", 1: "car", 2: "7"}
    write_model(folder / "ema.pt", build_model(MODEL, nc=3, names=names))
    write_model(folder / "plain.pt", build_model(PLAIN, nc=3, names=names))
    write_stock(folder / "stock.pt", tiny_model())
    (folder / "exported.onnx").write_bytes(b"0")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for name, shape in {"a.png": (60, 100, 3), "b.jpg": (90, 40, 3)}.items():
        cv2.imwrite(str(folder / "images" / name), rng.integers(0, 255, shape, dtype=np.uint8))
    counting_video(folder / "film.avi", 3)
    (folder / "void").mkdir()
    (folder / "page.jpg").write_bytes(PAGE)
    return folder


@pytest.fixture
def ground(made, tmp_path, monkeypatch):
    monkeypatch.chdir(made)
    return tmp_path / "runs"


def run(ground, given):
    return run_cli("tools.heatmap", [*f"--source images --imgsz 64 --project {ground}".split(), *given.split()])


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", CAMS)
def test_a_panel_per_weights_file(ground, method):
    outcome = run(ground, f"--weights ema.pt plain.pt stock.pt --method {method} --conf 0.0001")
    assert outcome.code == 0, outcome.err
    drawn = {path.name: cv2.imread(str(path)).shape for path in (ground / "exp").iterdir()}
    assert set(drawn) == {"a.jpg", "b.jpg"}
    assert drawn["a.jpg"][0] == 60 + BAR and drawn["a.jpg"][1] >= 4 * 100
    assert "nothing" not in outcome.out and outcome.out.endswith(f"Results saved to {ground / 'exp'}\n")


def test_gates_draw_a_panel_per_block(ground):
    assert run(ground, "--weights ema.pt --method gates").code == 0
    assert run(ground, "--weights ema.pt --method gates --layer 5 --name exp --exist-ok").code == 0
    assert sorted(path.name for path in ground.rglob("*.jpg")) == ["a.jpg", "b.jpg"]


def test_one_line_for_what_is_not_found(ground):
    outcome = run(ground, "--weights ema.pt plain.pt --class car --conf 0.99")
    assert outcome.code == 0
    lines = re.findall(r"^.*no prediction.*$", outcome.out, re.MULTILINE)
    assert [line.split(":")[0] for line in lines] == ["ema", "plain"]
    assert "no prediction of class 'car' above confidence 0.99 in 2 of 2 images, whose maps are empty" in lines[0]


def test_odd_images_work(ground, tmp_path):
    odd = write_odd_images(tmp_path / "odd é")
    given = ["--weights", "ema.pt", "--source", str(tmp_path / "odd é"), "--imgsz", "64", "--project", str(ground)]
    for method in heatmap_maps.METHODS:
        outcome = run_cli("tools.heatmap", [*given, "--method", method, "--name", method])
        assert outcome.code == 0, outcome.sentence
        assert {path.stem for path in (ground / method).iterdir()} == {Path(name).stem for name in odd}


def test_videos_beside_images_are_left_out(ground, tmp_path):
    (tmp_path / "list.txt").write_text(f"{Path('images/a.png').absolute()}\n{Path('film.avi').absolute()}\n")
    outcome = run(ground, f"--weights ema.pt --source {tmp_path / 'list.txt'}")
    assert outcome.code == 0 and "list.txt: 1 videos were left out" in outcome.out
    assert [path.name for path in (ground / "exp").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("--weights plain.pt --method gates", "plain.pt: has no EMA block and so no gates; use --method gradcam"),
        ("--weights ema.pt plain.pt --method gates", "plain.pt: has no EMA block"),
        ("--weights ema.pt --layer 99", "ema.pt: has no layer '99'; its layers are 0 Conv, 1 Conv"),
        ("--weights ema.pt --layer SPF", "ema.pt: has no layer 'SPF'; did you mean SPPF"),
        ("--weights ema.pt --layer 5.conv1x1", "ema.pt: layer 5.conv1x1 Conv2d never runs by itself"),
        (
            "--weights ema.pt --class cat",
            "ema.pt: --class: there is no class 'cat'; did you mean car? its classes are ",
        ),
        ("--weights ema.pt --class 3", "its classes are 0 person, 1 car, 2 7"),
        ("--weights ema.pt --class car --method eigencam", "--class: eigencam asks for no class"),
        ("--weights ema.pt --class car --method gates", "--class: gates asks for no class"),
        ("--weights exported.onnx", "exported.onnx: is no .pt file; exported ones show no layers"),
        ("--weights gone.pt", "gone.pt: no such file"),
        ("--weights gone.onnx", "gone.onnx: no such file"),
        ("--weights images", "images: is a folder; give the .pt file in it"),
        ("--weights page.jpg", "page.jpg: is no .pt file"),
        ("--weights ema.pt --source void", "void: holds no image or video"),
        ("--weights ema.pt --source gone", "gone: no such file or folder"),
        ("--weights ema.pt --source page.jpg", "page.jpg: "),
        ("--weights ema.pt --source film.avi", "film.avi: holds videos only; heatmaps are drawn of images"),
        ("--weights ema.pt --source 0", "--source 0: heatmaps are drawn of image files, not of cameras"),
        ("--weights ema.pt --source rtsp://127.0.0.1/x", "heatmaps are drawn of image files, not of cameras"),
        ("--weights ema.pt --conf 2", "--conf-thres 2: lies outside 0..1"),
        ("--weights ema.pt --imgsz 0", "--imgsz 0: is no image size"),
        ("--weights ema.pt --project /dev/null/x", "/dev/null/x/exp: cannot be made"),
    ],
)
def test_one_sentence(ground, given, words):
    outcome = run(ground, given)
    assert outcome.code == 1
    assert outcome.sentence.startswith("error: ") and words in outcome.sentence, outcome.sentence
    assert not ground.exists()


def test_an_unknown_method_lists_the_known_ones(ground):
    outcome = run(ground, "--weights ema.pt --method grad")
    assert outcome.code == 2 and all(method in outcome.sentence for method in heatmap_maps.METHODS)


def test_classes_by_name_then_by_number():
    names = {0: "person", 1: "car", 2: "1"}
    assert [heatmap.find_class(names, wanted) for wanted in ("car", "0", "1", "2")] == [1, 0, 2, 2]


def test_titles():
    paths = ["a/exp/weights/best.pt", "yolov5s.pt", "b/exp/weights/best.pt", "best.pt", "weights/last.pt"]
    assert heatmap.titles(paths) == ["exp (1)", "yolov5s", "exp (2)", "best", "last"]
