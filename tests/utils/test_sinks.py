"""Labels, tables, crops, pictures and films of made-up detections."""

import csv
import logging
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from tests.detect_fakes import read_frames
from utils.detections import Detections
from utils.errors import ROOT, UserError
from utils.frames import Frame
from utils.picture_sinks import BoxStyle, PictureSink
from utils.sinks import CropSink, CsvSink, LabelSink, OutputNames, UniqueNames, crop
from utils.video import VideoWriter

NAMES = {0: "car", 1: "tri/cycle"}
NOTHING = Detections.from_rows(np.zeros((0, 6)), NAMES)
TWO = Detections.from_rows(np.array([[10, 20, 30, 40, 0.876, 1], [0, 0, 100, 50, 0.5, 0]]), NAMES)
IMAGE = np.full((50, 100, 3), 60, np.uint8)


def test_unique_names():
    names = UniqueNames()
    claims = [("bus", 1), ("bus", 1), ("Bus", 2), ("bus", 3), ("bus_2", 4), ("Bus", 2)]
    assert [names.claim(*claim) for claim in claims] == ["bus", "bus", "Bus_2", "bus_3", "bus_2_2", "Bus_2"]


@pytest.mark.parametrize(
    ("path", "kind", "stem", "suffix"),
    [
        ("in/größe 1.JPG", "image", "größe 1", ".JPG"),
        ("in/a.b.mp4", "video", "a.b", ".mp4"),
        ("http://host:80/x/film.mp4?token=1", "video", "film", ".mp4"),
        ("rtsp://10.0.0.7:554/live/1", "stream", "rtsp_10.0.0.7_554_live_1", ""),
        ("0", "stream", "0", ""),
        ("screen 1", "stream", "screen_1", ""),
    ],
)
def test_names_of_frames(path, kind, stem, suffix):
    frame = Frame(IMAGE, path, kind)
    assert (frame.stem, frame.suffix) == (stem, suffix)


@pytest.mark.parametrize(
    ("save_conf", "save_format", "rows"),
    [
        (False, 0, ["1 0.2 0.6 0.2 0.4", "0 0.5 0.5 1 1"]),
        (True, 0, ["1 0.2 0.6 0.2 0.4 0.876", "0 0.5 0.5 1 1 0.5"]),
        (False, 1, ["1 0.1 0.4 0.3 0.8", "0 0 0 1 1"]),
        (True, 1, ["1 0.1 0.4 0.3 0.8 0.876", "0 0 0 1 1 0.5"]),
    ],
)
def test_label_rows(tmp_path, save_conf, save_format, rows):
    sink = LabelSink(tmp_path, OutputNames(), save_conf, save_format)
    sink.write(Frame(IMAGE, "in/a.jpg"), TWO)
    sink.close()
    assert (tmp_path / "a.txt").read_text().splitlines() == rows


def test_label_files(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    sink = LabelSink(tmp_path / "labels", OutputNames())
    sink.write(Frame(IMAGE, "in/empty.jpg"), NOTHING)
    assert not (tmp_path / "labels").exists()
    for path in ("one/a.jpg", "two/a.jpg", "one/a.png", "street_2.jpg"):
        sink.write(Frame(IMAGE, path), TWO)
    for index in (1, 2, 3):
        sink.write(Frame(IMAGE, "a.mp4", "video", index), TWO)
        sink.write(Frame(IMAGE, "street.mp4", "video", index), NOTHING if index == 3 else TWO)
    sink.close()
    expected = ["a", "a_2", "a_3", "street_2", "a_1", "a_2_2", "a_3_2", "street_1", "street_2_2"]
    assert sorted(path.stem for path in (tmp_path / "labels").iterdir()) == sorted(expected)
    assert "two/a.jpg: saved as a_2" in caplog.text
    again = LabelSink(tmp_path / "labels", OutputNames())  # the same folder once more: nothing is appended or left over
    again.write(Frame(IMAGE, "one/a.jpg"), TWO)
    again.write(Frame(IMAGE, "street_2.jpg"), NOTHING)
    assert len((tmp_path / "labels/a.txt").read_text().splitlines()) == 2
    assert not (tmp_path / "labels/street_2.txt").exists()


def test_csv(tmp_path):
    sink = CsvSink(tmp_path / "new/predictions.csv", OutputNames())
    sink.write(Frame(IMAGE, "in/a.jpg"), NOTHING)
    sink.write(Frame(IMAGE, "in/a.jpg"), TWO)
    sink.write(Frame(IMAGE, "other/a.jpg"), TWO)
    sink.write(Frame(IMAGE, "in/a, b.mp4", "video", 7), TWO)
    before = (tmp_path / "new/predictions.csv").read_text()
    sink.close()
    assert before == (tmp_path / "new/predictions.csv").read_text()  # nothing waits for the end
    with (tmp_path / "new/predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["Image Name", "Prediction", "Confidence", "x1", "y1", "x2", "y2", "Frame"]
    assert rows[1] == ["a.jpg", "tri/cycle", "0.88", "10.00", "20.00", "30.00", "40.00", ""]
    assert rows[2] == ["a.jpg", "car", "0.50", "0.00", "0.00", "100.00", "50.00", ""]
    assert [row[0] for row in rows[3:]] == ["a_2.jpg", "a_2.jpg", "a, b.mp4", "a, b.mp4"]
    assert rows[5][-1] == "7"


def test_crops(tmp_path):
    sink = CropSink(tmp_path, OutputNames())
    sink.write(Frame(IMAGE, "a.jpg"), NOTHING)
    for _ in range(2):
        sink.write(Frame(IMAGE, "v.mp4", "video", 1), TWO)
    sink.write(Frame(IMAGE, "v2.jpg"), TWO)  # wishes for a name that the film's second crop has
    sink.close()
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")) == [
        f"{folder}/{name}.jpg" for folder in ("car", "tri_cycle") for name in ("v", "v2", "v22")
    ]
    assert cv2.imread(str(tmp_path / "tri_cycle/v.jpg")).shape == (31, 31, 3)
    assert cv2.imread(str(tmp_path / "car/v.jpg")).shape == (50, 100, 3)


def test_crop_margin():
    image = np.arange(100 * 100 * 3, dtype=np.uint32).reshape(100, 100, 3)
    part = crop(image, np.array([40, 50, 60, 60], np.float32))  # 20 x 10 -> 30.4 x 20.2 around (50, 55)
    assert np.array_equal(part, image[44:65, 34:65])
    assert crop(image[:1], np.array([0, 0, 5, 1], np.float32)).shape == (1, 10, 3)


def test_pictures(tmp_path):
    sink = PictureSink(tmp_path, OutputNames(), BoxStyle(thickness=1, hide_labels=True))
    image = IMAGE.copy()
    for path in ("one/a.png", "two/a.png", "größe 日本.bmp", "x.DNG", "y.JPG"):
        sink.write(Frame(image, path), TWO)
    sink.write(Frame(image, "none.png"), NOTHING)
    sink.close()
    assert (image == IMAGE).all()  # drawn on a copy
    names = ["a.png", "a_2.png", "größe 日本.bmp", "none.png", "x.jpg", "y.JPG"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    drawn = cv2.imread(str(tmp_path / "a.png"))
    assert (drawn[30, 10] != IMAGE[30, 10]).any() and (drawn[25, 20] == IMAGE[25, 20]).all()
    assert (cv2.imread(str(tmp_path / "none.png")) == IMAGE).all()


def test_labels_and_confidences_can_be_hidden(tmp_path):
    sizes = []
    for style in (BoxStyle(), BoxStyle(hide_conf=True), BoxStyle(hide_labels=True)):
        names = OutputNames()
        sink = PictureSink(tmp_path / "x", names, style)
        sink.write(
            Frame(np.zeros((300, 600, 3), np.uint8), "a.png"),
            Detections(TWO.xyxy * 4, TWO.confidence, TWO.class_id, NAMES),
        )
        sizes.append(int((cv2.imread(str(tmp_path / "x/a.png")) > 0).sum()))
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_films(tmp_path):
    sink = PictureSink(tmp_path, OutputNames(), BoxStyle())
    for path, frames, shape in (("a.avi", 3, (48, 64)), ("b.mp4", 2, (33, 21)), ("x/a.mp4", 1, (1, 100))):
        for index in range(1, frames + 1):
            sink.write(Frame(np.full((*shape, 3), 80, np.uint8), path, "video", index, frames, 12.5), NOTHING)
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a_2.mp4", "b.mp4"]
    films = [read_frames(tmp_path / name) for name in ("a.mp4", "b.mp4", "a_2.mp4")]
    assert [len(film) for film in films] == [3, 2, 1]
    assert [film[0].shape for film in films] == [(48, 64, 3), (34, 22, 3), (2, 100, 3)]  # even sides
    assert cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FPS) == 12.5


def test_streams_become_one_film_each_and_a_new_one_when_their_size_changes(tmp_path):
    sink = PictureSink(tmp_path, OutputNames(), BoxStyle())
    for index, shape in enumerate([(48, 64)] * 3 + [(32, 32)] * 2 + [(48, 64)] + [(32, 32)], 1):
        for stream in (0, 1):
            image = np.full((*(shape if stream else (40, 40)), 3), 80, np.uint8)
            sink.write(
                Frame(image, f"rtsp://h/{stream}", "stream", index, None, None, stream, (stream + 1, 2)), NOTHING
            )
    sink.close()
    lengths = {path.name: len(read_frames(path)) for path in tmp_path.iterdir()}
    assert lengths == {
        "rtsp_h_0.mp4": 7,
        "rtsp_h_1.mp4": 3,
        "rtsp_h_1_2.mp4": 2,
        "rtsp_h_1_3.mp4": 1,
        "rtsp_h_1_4.mp4": 1,
    }


def test_a_film_is_under_its_name_only_when_it_can_be_played(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", None, (48, 64))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    assert not (tmp_path / "a.mp4").exists()
    writer.close()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert len(read_frames(tmp_path / "a.mp4")) == 1


def test_a_full_disk_is_an_error_and_the_film_stays_playable(tmp_path, monkeypatch):
    writer = VideoWriter(tmp_path / "a.mp4", 10, (48, 64))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match="No space left") as caught:
        writer.write(np.zeros((48, 64, 3), np.uint8))
    assert caught.value.filename.endswith("a.mp4")
    writer.close()
    assert len(read_frames(tmp_path / "a.mp4")) == 1


LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from utils.errors import run_command
from utils.video import VideoWriter

def main():
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    writer = VideoWriter(Path(sys.argv[1]) / "a.mp4", 10, (240, 320))
    for seed in range(10):
        writer.write(np.random.default_rng(seed).integers(0, 255, (240, 320, 3), dtype=np.uint8))
    writer.close()

run_command(main)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on file sizes")
def test_frames_that_could_not_be_written_are_an_error(tmp_path):
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "a.mp4: only 0 of 10 frames could be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []  # nothing that cannot be played


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((OSError, UserError)):
        VideoWriter(tmp_path / "file/a.mp4", 10, (48, 64))


def test_windows_are_given_up_where_opencv_has_none(tmp_path, monkeypatch, caplog):
    def imshow(*arguments):
        raise cv2.error("no GUI")

    monkeypatch.setattr(cv2, "imshow", imshow)
    sink = PictureSink(None, OutputNames(), BoxStyle(), window=True)
    for _ in range(3):
        sink.write(Frame(IMAGE, "a.jpg"), TWO)
    sink.close()
    assert caplog.text.count("shows no windows") == 1


def test_windows(monkeypatch):
    calls = []
    monkeypatch.setattr(cv2, "imshow", lambda name, image: calls.append((name, image.shape)))
    monkeypatch.setattr(cv2, "waitKey", lambda delay: calls.append(delay))
    monkeypatch.setattr(cv2, "destroyWindow", lambda name: calls.append(f"close {name}"))
    sink = PictureSink(None, OutputNames(), BoxStyle(), window=True)
    sink.write(Frame(IMAGE, "a.jpg"), TWO)
    sink.close()
    assert calls == [("a.jpg", (50, 100, 3)), 1, "close a.jpg"]
