"""Detection from source to files, with a model that finds painted areas."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
import torch

import detect as script
from detect import DetectOptions, Detector, detect, main, run
from models import build_model
from tests.command import heed_interrupts
from tests.data.test_streams import Camera
from tests.detect_fakes import BLUE, RED, WHITE, PaintModel, counting_video, paint, read_frames, save, save_video
from utils.errors import ROOT, UserError
from utils.frames import Frame

SCENE = paint((120, 200), (20, 30, 60, 90, WHITE), (100, 10, 150, 40, RED), (160, 60, 200, 120, BLUE))
BOXES = [[20, 30, 60, 90], [100, 10, 150, 40], [160, 60, 200, 120]]


def options(tmp_path, **values):
    return DetectOptions(**{"project": str(tmp_path / "runs"), "imgsz": (320,), **values})


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("shape", [(120, 200), (200, 120), (400, 640), (50, 333), (321, 322)])
def test_boxes_are_in_the_pixels_of_the_frame(tmp_path, shape):
    scale = np.array([shape[1] / 200, shape[0] / 120] * 2)
    areas = [(*(np.array(box) * scale).round().astype(int), c) for box, c in zip(BOXES, (WHITE, RED, BLUE))]
    path = save(tmp_path / "größe 1.png", paint(shape, *areas))
    ((frame, found),) = detect(PaintModel(), path, DetectOptions(imgsz=(320,)))
    assert frame.image.shape == (*shape, 3) and frame.path == str(path)
    assert found.class_id.tolist() == [0, 1, 2]  # BGR became RGB, and the order is by confidence
    assert found.confidence.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert found.xyxy == pytest.approx(np.array([area[:4] for area in areas]), abs=1 + max(shape) / 320)
    assert found.names == PaintModel.names


def test_the_network_input(tmp_path):
    for shape, size, fixed, expected in (
        ((120, 200), (320,), None, (1, 3, 192, 320)),  # the smallest rectangle of whole strides
        ((120, 200), (160, 320), None, (1, 3, 160, 288)),
        ((120, 200), (320,), (1, 320, 320), (1, 3, 320, 320)),
        ((120, 200), (640,), (1, 160, 256), (1, 3, 160, 256)),
        ((1, 1000), (320,), None, (1, 3, 32, 320)),
    ):
        model = PaintModel(fixed)
        detector = Detector(model, DetectOptions(imgsz=size))
        (found,) = detector([Frame(np.zeros((*shape, 3), np.uint8), "x.png")])
        assert model.inputs == [expected] and detector.shape == expected
        assert len(found) == 0 and found.summary() == "(no detections)"


def test_pictures_of_several_sizes_share_a_batch():
    model = PaintModel()
    detector = Detector(model, DetectOptions(imgsz=(320,)))
    large = cv2.resize(SCENE[:, :100], (300, 360), interpolation=cv2.INTER_NEAREST)
    found = detector([Frame(SCENE, "0", "stream"), Frame(large, "1", "stream", stream=1)])
    assert model.inputs == [(2, 3, 320, 320)]
    assert found[0].xyxy == pytest.approx(np.array(BOXES), abs=1)
    assert found[1].xyxy == pytest.approx(np.array(BOXES[:1]) * 3, abs=2)
    detector([Frame(SCENE, "0", "stream"), Frame(SCENE, "1", "stream", stream=1)])
    assert model.inputs[1] == (2, 3, 192, 320)  # one shape: the smallest rectangle


def test_options_of_finding(tmp_path):
    path = save(tmp_path / "a.png", SCENE)

    def kinds(**values):
        return [kind for _, found in detect(PaintModel(), path, DetectOptions(**values)) for kind in found.class_id]

    assert kinds(conf_thres=0.75) == [0, 1]
    assert kinds(classes=(2, 0)) == [0, 2]
    assert kinds(max_det=1) == [0]
    model = PaintModel()
    list(detect(model, path, DetectOptions(augment=True)))
    assert model.augment is True


def test_detect_in_python_releases_what_it_opened(tmp_path):
    path = counting_video(tmp_path / "film.avi", 10)
    results = detect(PaintModel(), str(path))
    frame, found = next(results)
    assert frame.index == 1 and len(found) == 0
    results.close()
    camera = Camera()
    for frame, _ in detect(PaintModel(), camera.address):
        assert frame.kind == "stream"
        break
    camera.cut()
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("stream ") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_everything_that_can_be_saved(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for name in ("one/a.png", "two/a.png"):
        save(tmp_path / name, SCENE)
    save_video(tmp_path / "two/film.avi", [SCENE] * 4)
    save(tmp_path / "two/nothing.jpg", paint((40, 40)))
    listing = tmp_path / "list.txt"
    listing.write_text("one\ntwo\n")
    values = {"save_txt": True, "save_conf": True, "save_csv": True, "save_crop": True, "classes": (0,)}
    folder = run(options(tmp_path, source=str(listing), **values), PaintModel())
    assert folder == tmp_path / "runs/exp"
    labels = [f"labels/{stem}.txt" for stem in ("a", "a_2", "film_1", "film_2", "film_3", "film_4")]
    crops = [f"crops/white/{stem}.jpg" for stem in ("a", "a_2", "film", "film2", "film3", "film4")]
    expected = ["a.png", "a_2.png", "film.mp4", "nothing.jpg", "predictions.csv", *labels, *crops]
    assert files_in(folder) == sorted(expected)
    row = [float(value) for value in (folder / "labels/a.txt").read_text().split()]
    assert row == pytest.approx([0, 0.2, 0.5, 0.2, 0.5, 0.9], abs=0.01)
    assert len((folder / "predictions.csv").read_text().splitlines()) == 7
    film = read_frames(folder / "film.mp4")
    assert len(film) == 4 and film[0].shape == SCENE.shape
    assert (film[0][30, 20:60].std(0) > 5).any()  # the box's upper edge was drawn
    log = caplog.text
    assert f"image 1/4 {tmp_path}/one/a.png: 192x320 1 white, " in log
    assert f"video 4/4 (2/4) {tmp_path}/two/film.avi: 192x320 1 white, " in log
    assert "nothing.jpg: 320x320 (no detections), " in log
    assert "ms pre-process" in log and f"Results saved to {folder}, 6 labels" in log
    assert run(options(tmp_path, source=str(listing), nosave=True, save_txt=True), PaintModel()).name == "exp2"
    assert all(name.startswith("labels/") for name in files_in(tmp_path / "runs/exp2"))
    assert run(options(tmp_path, source=str(listing), nosave=True), PaintModel()) is None
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["exp", "exp2"]


def test_save_format_1_has_the_corners(tmp_path):
    path = save(tmp_path / "a.png", SCENE)
    folder = run(options(tmp_path, source=str(path), save_txt=True, save_format=1, nosave=True), PaintModel())
    rows = [[float(value) for value in line.split()] for line in (folder / "labels/a.txt").read_text().splitlines()]
    wanted = [[kind, *(np.array(box) / [200, 120, 200, 120])] for kind, box in enumerate(BOXES)]
    assert np.array(rows) == pytest.approx(np.array(wanted), abs=0.01)


def test_stride_keeps_the_speed_of_a_film(tmp_path):
    path = counting_video(tmp_path / "film.avi", 12)
    folder = run(options(tmp_path, source=str(path), vid_stride=3, name="x"), PaintModel())
    capture = cv2.VideoCapture(str(folder / "film.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10 / 3, abs=0.01)


def test_streams_file_is_followed_in_batches(tmp_path):
    for name, shape in (("a", (48, 64)), ("b", (40, 40))):
        counting_video(tmp_path / f"{name}.avi", 6, shape=shape)
    (tmp_path / "two.streams").write_text(f"{tmp_path}/a.avi\n{tmp_path}/b.avi\n")
    model = PaintModel()
    folder = run(options(tmp_path, source=str(tmp_path / "two.streams")), model)
    films = [read_frames(path) for path in sorted(folder.iterdir())]
    assert [len(film) for film in films] == [6, 6]
    assert {film[0].shape for film in films} == {(48, 64, 3), (40, 40, 3)}
    assert (2, 3, 320, 320) in model.inputs


def test_view_img_without_a_display(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(cv2, "imshow", lambda *arguments: pytest.fail("a window was opened"))
    path = save(tmp_path / "a.png", SCENE)
    folder = run(options(tmp_path, source=str(path), view_img=True), PaintModel())
    assert caplog.text.count("no display") == 1
    assert files_in(folder) == ["a.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--source", "gone.jpg"], "gone.jpg: no such file"),
        (["--source", "empty"], "empty: holds no image or video"),
        (["--source", "bad.jpg"], "bad.jpg: is "),
        (["--classes", "0", "3"], "--classes 3: the model's classes are 0..2 (0 white, 1 red, 2 blue)"),
        (["--conf-thres", "25"], "--conf-thres 25"),
        (["--iou", "-1"], "--iou-thres -1"),
        (["--max-det", "0"], "--max-det 0"),
        (["--img", "1", "2", "3"], "--imgsz 1 2 3"),
        (["--vid-stride", "0"], "--vid-stride 0"),
        (["--dnn"], ".onnx"),
        (["--update"], "not needed"),
        (["--visualize"], "hook"),
        (["--weights", "gone.pt"], "gone.pt"),
        (["--device", "0,1"], "several GPUs"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.jpg").write_bytes(b"<html>")
    save(tmp_path / "a.png", SCENE)
    if "--weights" not in arguments and "--device" not in arguments:
        monkeypatch.setattr(script, "load_predictor", lambda *given, **more: PaintModel())
    source = [] if "--source" in arguments else ["--source", "a.png"]
    with pytest.raises(UserError) as caught:
        main([*source, *arguments])
    assert words in str(caught.value)


def test_flags_of_stock_are_read(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", SCENE)
    given = {}

    def load(paths, device, half):
        given.update(paths=paths, device=device, half=half)
        return PaintModel()

    monkeypatch.setattr(script, "load_predictor", load)
    flags = (
        "--weights a.pt b.pt --data coco.yaml --img-size 160 256 --device cpu --agnostic --augment --half --save-conf"
    )
    more = "--line-thickness 1 --hide-labels --hide-conf --exist-ok --name x --save-txt --class 0 2 --conf 0.3"
    main([*flags.split(), *more.split(), "--source", str(path), "--project", str(tmp_path / "out")])
    assert given == {"paths": ("a.pt", "b.pt"), "device": torch.device("cpu"), "half": True}
    assert files_in(tmp_path / "out/x") == ["a.png", "labels/a.txt"]
    assert len((tmp_path / "out/x/labels/a.txt").read_text().splitlines()) == 2


def test_size_that_is_no_multiple_of_the_stride_is_rounded_and_said(caplog):
    detector = Detector(PaintModel(), DetectOptions(imgsz=(100,)))
    assert detector.size == (128, 128)
    assert "multiple of the stride" in caplog.text


def test_a_real_network(tmp_path):
    torch.manual_seed(0)
    model = build_model("yolov5n.yaml", nc=2).eval()
    path = save(tmp_path / "a.png", SCENE)
    ((_, found),) = detect(model, path, DetectOptions(imgsz=(64,), conf_thres=0.0, max_det=5))
    assert len(found) == 5 and (found.xyxy >= 0).all() and (found.xyxy <= [200, 120, 200, 120]).all()


INTERRUPTED = """
import sys, time
sys.path.insert(0, {root!r})
from detect import DetectOptions, run
from tests.detect_fakes import PaintModel
from utils.errors import run_command

class Slow(PaintModel):
    def predict(self, images, augment=False):
        time.sleep(0.03)
        return super().predict(images, augment)

run_command(lambda: run(DetectOptions(source={source!r}, project={project!r}, save_csv=True, imgsz=(64,)), Slow()))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code", "live"), [(signal.SIGINT, 130, False), (signal.SIGTERM, 143, True)])
def test_what_was_written_stays_playable_after_a_signal(tmp_path, number, code, live):
    camera = Camera()
    source = camera.address if live else str(counting_video(tmp_path / "film.avi", 1500))
    program = INTERRUPTED.format(root=str(ROOT), source=source, project=str(tmp_path / "runs"))
    words = [sys.executable, "-c", program]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    try:
        lines = [line for line, _ in zip(process.stdout, range(12))]
        process.send_signal(number)
        output = process.communicate(timeout=20)[0]
    finally:
        process.kill()
        camera.cut()
    assert process.returncode == code
    films = [path for path in (tmp_path / "runs/exp").iterdir() if path.suffix == ".mp4"]
    assert len(films) == 1 and not films[0].name.startswith(".")
    assert len(lines) == 12 and 10 <= len(read_frames(films[0])) < 1500
    assert "Results saved to" in output
