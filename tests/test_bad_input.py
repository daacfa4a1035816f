"""Bad input is one sentence that names the file, exit code 1, no traceback and nothing left behind; odd input works."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests import bad_files
from tests.command import full_disk, heed_interrupts, listing, run_cli
from tests.detect_fakes import read_frames
from tests.tiny import write_tiny
from utils.checkpoint import read_checkpoint
from utils.errors import ROOT
from utils.files import write_yaml

SIZE = "--imgsz 64"
EPOCHS = 40  # of the run that is stopped after the second
FAST = f"--batch 4 --epochs 1 --workers 0 --device cpu --noplots --project runs {SIZE}"
COMMANDS = {  # these work; what a row adds comes later and therefore counts
    "train": f"--cfg model.yaml --data tiny.yaml --hyp hyp.yaml {FAST}",
    "val": f"--weights best.pt --data tiny.yaml --task speed --workers 0 --device cpu --project runs {SIZE}",
    "detect": f"--weights best.pt --source set/images/val/0.png --device cpu --project runs {SIZE}",
    "export": f"--weights best.pt {SIZE}",
    "models.yolo": f"--cfg model.yaml {SIZE}",
    "data.prepare.visdrone": "--to prepared",
    "data.prepare.coco": "--to prepared",
    "data.prepare.demo": "--to prepared",
    "tools.fetch": "--to fetched",
}
SCRIPTS = ("train", "val", "detect", "export")


def rows(commands, given, *words):
    """One row per command: the command, what is given to it, the words of the message."""
    return [(command, given, words) for command in commands]


def yaml_rows():
    """Every YAML that cannot be read, for every flag that takes one."""
    takers = [("train", "--cfg"), ("train", "--data"), ("train", "--hyp"), ("val", "--data"), ("export", "--data")]
    takers += [("models.yolo", "--cfg"), ("tools.fetch", "")]
    files = {
        "gone.yaml": ": no such ",
        "empty.yaml": ": is empty; a YAML mapping (key: value) is expected",
        "list.yaml": ": holds a list; a YAML mapping (key: value) is expected",
        "broken.yaml": ", line 3: is not valid YAML",
        "tagged.yaml": ", line 1: is not valid YAML",
        "photo.yaml": ": is not a UTF-8 text file",
    }
    return [
        (command, f"{flag} {file}", (f"{file}{words}",)) for file, words in files.items() for command, flag in takers
    ]


def weights_rows():
    """Every file that holds no weights, for all that take some."""
    refused = "which no YOLOv5 checkpoint needs and which could run code; it was refused and nothing was run"
    pickles = {
        "bad/empty.pt": ": is empty",
        "bad/page.pt": "web page",
        "bad/half.pt": ": is damaged or cut off",
        "bad/program.pt": refused,
        "bad/pickled.pt": refused,
    }
    others = {"gone.pt": ": no such file", "yolov5s6.pt": "fetch the released weights with: python -m tools.fetch"}
    found = [
        row for file, words in (pickles | others).items() for row in rows(SCRIPTS, f"--weights {file}", file, words)
    ]
    for file, words in pickles.items():
        found += rows(["train"], f"--resume old/weights/{file[4:]}", file[4:], words)
    for kind in ("onnx", "torchscript"):
        for name in ("empty", "page", "half", "program", "pickled"):
            found += rows(["val", "detect"], f"--weights bad/{name}.{kind}", f"bad/{name}.{kind}: cannot be read as")
    return found


FORBIDDEN = "neither a URL nor one of demo, visdrone, coco, and code in a data file is never run"
ROWS = [
    *yaml_rows(),
    *weights_rows(),
    *rows(SCRIPTS, "--weights set", "set: "),
    *rows(["train"], "--resume gone/weights/last.pt", "gone/weights/last.pt: no such checkpoint"),
    *rows(["train"], "--resume best.pt", "best.pt: lies in no run folder"),
    *rows(["train"], "--resume old/weights/finished.pt", "finished.pt: the run is finished (3 epochs)"),
    *rows(["train"], "--resume", "--resume: no last.pt was found below runs"),
    # model YAMLs and hyper-parameters
    *rows(["train", "models.yolo"], "--cfg words.yaml", "words.yaml, layer 0 (Convv): unknown block", "mean Conv"),
    *rows(["train", "models.yolo"], "--cfg code.yaml", "code.yaml, layer 0 (Conv): unknown word"),
    *rows(["train", "models.yolo"], "--cfg parts.yaml", "parts.yaml, layer 8 (Concat): the layers do not fit"),
    *rows(["train"], "--cfg grey.yaml", "grey.yaml: ch is 1, but pictures have 3 channels"),
    *rows(["models.yolo"], "--nc 0", "model.yaml: nc is 0"),
    *rows(["train"], "--hyp typo.yaml", "typo.yaml: unknown hyper-parameter 'lr'; did you mean lrf or lr0"),
    *rows(["train"], "--hyp text.yaml", "text.yaml: lr0 is 'fast'; a number of 0 or more is expected"),
    # data sets
    *rows(["train", "val", "export"], "--data shell.yaml", "shell.yaml: 'download:' holds text", FORBIDDEN),
    *rows(["train", "val", "export"], "--data python.yaml", "python.yaml: 'download:' holds text", FORBIDDEN),
    *rows(["train", "val"], "--data absent.yaml", "absent.yaml: no images at", "images/absent"),
    *rows(["train", "val"], "--data short.yaml", "short.yaml: 'nc: 5' but 'names:' lists 3 classes"),
    *rows(["val"], "--task test", "tiny.yaml: has no 'test:'"),
    *rows(["train", "val"], "--data high.yaml", "0.txt, line 4: class 7 but", "high.yaml names only 3 classes"),
    *rows(["train", "val"], "--data rubbish.yaml", "rubbish.yaml: none of the 3 images", "0.png: is cut short"),
    *rows(["train"], "--data bare.yaml", "bare.yaml: 'train:' has no labelled object"),
    *rows(["val"], "--data four.yaml", "best.pt: detects 3 classes, but", "four.yaml names 4"),
    # sources
    *rows(["detect"], "--source gone.jpg", "gone.jpg: no such file"),
    *rows(["detect"], "--source void", "void: holds no image or video"),
    *rows(["detect"], "--source void.txt", "void.txt: holds no image or video"),
    *rows(["detect"], "--source lost.txt", "lost.txt, line 1 (gone.jpg): names no file"),
    *rows(["detect"], "--source tiny.yaml", "tiny.yaml: is neither an image nor a video"),
    *rows(["detect"], "--source pictures/empty.jpg", "pictures/empty.jpg: is empty"),
    *rows(["detect"], "--source pictures/page.jpg", "pictures/page.jpg: is not an image that can be decoded"),
    *rows(["detect"], "--source pictures/half.jpg", "pictures/half.jpg: is cut short"),
    *rows(["detect"], "--source pictures", "pictures: none of its 3 images and videos could be read"),
    *rows(["detect"], "--source films/empty.mp4", "films/empty.mp4: cannot be opened as a video"),
    *rows(["detect"], "--source films/page.mp4", "films/page.mp4: cannot be opened as a video"),
    *rows(["detect"], "--source films/half.mp4", "films/half.mp4: no frame of this video can be decoded"),
    *rows(["detect"], "--classes 3", "--classes 3: the model's classes are 0..2 (0 blue, 1 green, 2 red)"),
    *rows(["val", "detect"], "--weights best.pt five.pt", "five.pt: has other classes (5) than best.pt (3)"),
    # preparers and fetching
    *rows(["data.prepare.visdrone", "data.prepare.coco"], "--from gone", "gone: "),
    *rows(["data.prepare.visdrone", "data.prepare.coco"], "--from half.zip", "half.zip: "),
    *rows(["tools.fetch"], "yolov5q.pt", "yolov5q.pt: is not a released weight file; did you mean"),
    # places that cannot be written, and sizes
    *rows(["train", "val", "detect"], "--project /dev/null/x", "/dev/null/x/exp: cannot be made (not a directory)"),
    *rows(["train", "val", "detect"], "--project tiny.yaml", "tiny.yaml/exp: cannot be made (not a directory)"),
    *rows([*SCRIPTS, "models.yolo"], "--imgsz 0", "--imgsz 0: "),
    *rows(["val"], "--workers -1", "--workers -1: "),
    *rows(["detect"], "--stream-timeout -1", "--stream-timeout -1: "),
    *rows(["train"], "--cfg yolov5n.yaml --freeze 99", "--freeze 99: leaves no layer to train"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with what works (model, data, hyper-parameters, best.pt) and all that does not."""
    folder = tmp_path_factory.mktemp("made")
    write_tiny(folder, train=4, val=3)
    good = bad_files.write_weights(folder / "best.pt")
    bad_files.write_weights(folder / "five.pt", {number: f"kind {number}" for number in range(5)})
    bad_files.write_bad_weights(folder / "bad", good, folder / "ran")
    (folder / "old").mkdir()
    shutil.copytree(folder / "bad", folder / "old/weights")
    shutil.copy(good, folder / "old/weights/finished.pt")
    (folder / "half.zip").write_bytes(good.read_bytes()[:5000])
    bad_files.write_bad_yamls(folder)
    bad_files.write_bad_sources(folder)
    bad_files.write_bad_data(folder)
    return folder


@pytest.fixture
def ground(made, monkeypatch):
    """The working folder; the runs of a test are removed after it."""
    monkeypatch.chdir(made)
    yield made
    shutil.rmtree("runs", ignore_errors=True)


def command(name, given=""):
    return run_cli(name, [*COMMANDS[name].split(), *given.split()])


@pytest.mark.parametrize(("name", "given", "words"), ROWS, ids=lambda value: "" if isinstance(value, tuple) else value)
def test_one_sentence(ground, name, given, words):
    before = listing(ground)
    outcome = command(name, given)
    assert outcome.code == 1
    assert outcome.sentence.startswith("error: ") and outcome.err.count("error: ") == 1
    assert all(word in outcome.sentence for word in words), outcome.sentence
    assert listing(ground) == before  # nothing half-written, and no code was run: it would have made a file
    assert not list(ground.glob("runs/*"))


def test_finished_commands_work(ground):
    """Or the rows above would prove nothing."""
    for name in ("train", "val", "detect", "models.yolo"):
        outcome = command(name)
        assert outcome.code == 0, outcome.sentence


@pytest.mark.parametrize("name", ["train", "val", "detect", "export", "models.yolo"])
def test_a_size_off_the_stride_is_rounded_and_said(ground, name):
    outcome = command(name, "--imgsz 65")
    assert outcome.code == 0
    stride = 16 if name in ("detect", "export", "models.yolo") else 32
    side = 80 if stride == 16 else 96
    assert f"image size [65, 65] must be a multiple of the stride {stride}: [{side}, {side}] is used" in outcome.out


def test_code_in_a_data_yaml_does_not_matter_where_the_data_is_there(ground):
    for kind in ("shell", "python"):
        assert command("val", f"--data {kind}_there.yaml").code == 0
    assert not (ground / "ran").exists()


def test_bad_labels_and_images_are_dropped_one_by_one_and_listed(ground):
    for name in ("train", "val"):
        outcome = command(name, "--data mended.yaml")
        assert outcome.code == 0
        (line,) = re.findall(r"^val: 1 images, .*$", outcome.out, re.MULTILINE)
        assert "2 images skipped, 3 bad rows dropped, 1 rows clipped (listed in " in line
        listed = Path(line.rsplit("listed in ", 1)[1].rstrip(")")).read_text()
        for words in ("0.txt, line 4: dropped: has 4 values", "1.png: skipped: its label file 1.txt is not text"):
            assert words in listed
        assert "2.png: skipped: is not an image" in listed


def test_unreadable_sources_beside_good_ones_are_left_out_and_counted(ground):
    outcome = command("detect", "--source mixed.txt")
    assert outcome.code == 0
    assert "mixed.txt: 1 entries name no file: line 3 (gone.jpg)" in outcome.out
    assert "1 of 2 inputs were left out: page.jpg" in outcome.out
    outcome = command("detect", "--source cut.avi")
    assert outcome.code == 0
    assert re.search(r"cut\.avi: (\d+) of 30 frames could be read: it is damaged or ends early", outcome.out)
    assert 5 < len(read_frames(Path("runs/exp2/cut.mp4"))) < 30


def test_odd_images_work(ground, tmp_path):
    odd = bad_files.write_odd_images(tmp_path / "odd né 写/images/all")
    (tmp_path / "odd né 写/labels/all").mkdir(parents=True)
    for name in odd:
        (tmp_path / "odd né 写/labels/all" / f"{Path(name).stem}.txt").write_text("1 0.5 0.5 0.6 0.6\n")
    data = {"path": str(tmp_path / "odd né 写"), "train": "images/all", "val": "images/all"}
    write_yaml("odd é.yaml", data | {"names": ["blue", "grün 写", "red"]})
    for name in ("train", "val"):
        task = ["--task", "val"] * (name == "val")
        outcome = run_cli(name, [*COMMANDS[name].split(), "--data", "odd é.yaml", "--name", f"{name} é", *task])
        assert outcome.code == 0, outcome.sentence
        assert f"val: {len(odd)} images, {len(odd)} boxes, 0 empty, 0 without a label file\n" in outcome.out
    source = ["--source", str(tmp_path / "odd né 写/images/all"), "--conf", "0", "--save-txt", "--save-crop"]
    outcome = run_cli("detect", [*COMMANDS["detect"].split(), *source, "--name", "found é"])
    assert outcome.code == 0, outcome.sentence
    written = {path.name: path for path in Path("runs/found é").iterdir() if path.is_file()}
    assert set(written) == set(odd)
    shapes = {name: cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR).shape for name, path in written.items()}
    assert shapes == {name: (*shape, 3) for name, shape in odd.items()}


@pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")
@pytest.mark.parametrize(
    ("name", "given", "room", "file"),
    [
        ("train", "", 30_000, "runs/exp/weights/last.pt"),
        ("val", "", 100, "runs/exp/metrics.csv"),
        ("detect", "", 100, "runs/exp/0.png"),
        ("detect", "--save-csv --nosave --conf 0", 100, "runs/exp/predictions.csv"),
        ("detect", "--source film.avi", 1_000, "runs/exp/film.mp4"),
        ("export", "--include onnx", 10_000, "best.onnx"),
        ("export", "--include torchscript", 10_000, "best.torchscript"),
    ],
)
def test_a_full_disk(ground, name, given, room, file):
    before = listing(ground)
    with full_disk(room):
        outcome = command(name, given)
    assert outcome.code == 1
    assert outcome.sentence.startswith(f"error: {file}"), outcome.sentence
    whole = {"runs/exp/opt.yaml", "runs/exp/hyp.yaml", "runs/exp/predictions.csv"}
    left = {file for file in listing(ground) - before - whole if "tfevents" not in file}
    assert not left


def test_two_commands_for_real(ground):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    for name, given, words in (
        ("train", "--data high.yaml", "0.txt, line 4: class 7 but"),
        ("detect", "--weights bad/program.pt", "bad/program.pt: asks for"),
    ):
        words_of_command = [sys.executable, str(ROOT / f"{name}.py"), *COMMANDS[name].split(), *given.split()]
        done = subprocess.run(words_of_command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        *_, last = done.stderr.splitlines()
        assert last.startswith("error: ") and words in last and "Traceback" not in done.stderr + done.stdout
    assert not (ground / "ran").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_leaves_a_run_that_goes_on(ground):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    words = [
        sys.executable,
        str(ROOT / "train.py"),
        *COMMANDS["train"].split(),
        "--epochs",
        str(EPOCHS),
        "--name",
        "stopped",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(words, env=environment, preexec_fn=heed_interrupts, **pipes)
    results = Path("runs/stopped/results.csv")
    deadline = time.monotonic() + 60
    try:
        while lines_of(results) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    (again,) = re.findall(r"go on with: python train\.py (--resume \S+)", out)
    assert not [name for name in listing(ground / "runs") if "/." in name]  # complete files only
    done = read_checkpoint("runs/stopped/weights/last.pt")["epoch"] + 1
    assert 1 <= done < EPOCHS and lines_of(results) - 1 in (done, done + 1)
    data = Path("tiny.yaml").read_text()
    Path("tiny.yaml").write_text(Path("four.yaml").read_text())
    outcome = run_cli("train", again.split())
    Path("tiny.yaml").write_text(data)
    assert outcome.code == 1 and "tiny.yaml: names 4 classes, but runs/stopped/weights/last.pt" in outcome.sentence
    outcome = run_cli("train", again.split())
    assert outcome.code == 0, outcome.sentence
    assert f"going on after {done} of {EPOCHS} epochs" in outcome.out
    assert lines_of(results) == 1 + EPOCHS


def lines_of(file):
    return len(file.read_text().splitlines()) if file.exists() else 0
