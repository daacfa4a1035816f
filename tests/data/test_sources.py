"""Files, folders, globs, lists and videos as sources."""

import functools
import http.server
import logging
import sys
import threading
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.source_streams import StreamSettings, StreamSource
from data.sources import open_source
from tests.detect_fakes import counting_video, number_of, paint, save
from utils.errors import UserError

GREY = np.full((40, 60, 3), 99, np.uint8)


def frames_of(source, **settings):
    return [frame for batch in open_source(source, StreamSettings(**settings)) for frame in batch]


def names_of(source):
    return [Path(frame.path).name for frame in frames_of(source)]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "empty"),
        ("missing.jpg", "no such file or folder"),
        ("missing", "no such file or folder"),
        ("missing.txt", "no such file or folder"),
        ("missing/*.jpg", "holds no image or video"),
        ("empty", "holds no image or video"),
        ("notes.md", "known by their suffix"),
        ("empty.txt", "holds no image or video"),
        ("bad.txt", "line 2 (gone.jpg)"),
        ("missing.streams", "no such file"),
        ("empty.streams", "names no stream"),
        ("bad.streams", "line 2"),
        ("https://www.youtube.com/watch?v=abc", "direct address"),
        ("https://youtu.be/abc", "direct address"),
        ("http://user:secret@127.0.0.1/bus.jpg?x=1", "download it first"),
        ("screen 1 2", "left top width height"),
        ("screen", "no display"),
    ],
)
def test_bad_sources_are_named(tmp_path, monkeypatch, source, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bad.txt").write_text("\ngone.jpg\n")
    (tmp_path / "empty.streams").write_text("# nothing\n\n")
    (tmp_path / "bad.streams").write_text("rtsp://127.0.0.1/a\ngone.mp4\n")
    with pytest.raises(UserError) as caught:
        frames_of(source)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    if source:
        assert source.split()[0].removeprefix("http://user:secret@") in str(caught.value)


def test_empty_sequence():
    with pytest.raises(UserError, match="empty"):
        open_source([])


def test_folder_images_first_then_videos_not_recursive(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for name in ("b.PNG", "a.jpg", "with space.bmp", "größe-日本.webp", "sub/deep.jpg", ".hidden.jpg"):
        save(tmp_path / name, GREY)
    counting_video(tmp_path / "0.avi", 2)
    (tmp_path / "labels.csv").write_text("")
    expected = ["a.jpg", "b.PNG", "größe-日本.webp", "with space.bmp", "0.avi", "0.avi"]
    assert names_of(tmp_path) == expected
    assert "1 of 6 files are neither" in caplog.text
    frames = frames_of(tmp_path)
    assert [frame.place for frame in frames] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (5, 5)]
    assert [frame.kind for frame in frames] == ["image"] * 4 + ["video"] * 2
    assert all(abs(int(frame.image.mean()) - 99) < 3 for frame in frames[:4])


def test_glob_list_and_sequence(tmp_path, monkeypatch):
    for name in ("one/a.jpg", "two/a.jpg", "two/b.jpg", "odd[1].jpg"):
        save(tmp_path / name, GREY)
    assert names_of(tmp_path / "*" / "a.jpg") == ["a.jpg", "a.jpg"]
    assert names_of(tmp_path / "**" / "*.jpg") == ["odd[1].jpg", "a.jpg", "a.jpg", "b.jpg"]
    assert names_of(tmp_path / "odd[1].jpg") == ["odd[1].jpg"]  # a file is a file, whatever its name
    listing = tmp_path / "list.txt"
    listing.write_text(f"two/b.jpg\n\n{tmp_path}/one/a.jpg\r\ngone.jpg\n", encoding="utf-8")
    assert names_of(listing) == ["b.jpg", "a.jpg"]  # relative to the list, in its order
    monkeypatch.chdir(tmp_path / "one")
    assert names_of(listing) == ["b.jpg", "a.jpg"]
    assert names_of([tmp_path / "two", tmp_path / "odd[1].jpg"]) == ["a.jpg", "b.jpg", "odd[1].jpg"]


def test_odd_images(tmp_path):
    wide = np.zeros((1, 1000, 3), np.uint8)
    wide[:, 500:] = 255
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "grey.png", np.full((40, 60), 99, np.uint8))
    save(tmp_path / "deep.png", np.full((40, 60, 3), 99 << 8, np.uint16))
    save(tmp_path / "clear.png", np.full((40, 60, 4), 99, np.uint8))
    turned = cv2.imencode(".jpg", paint((40, 60), (0, 0, 30, 40, (255, 255, 255))))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn clockwise
    block = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(turned[:2] + block + turned[2:])
    frames = {Path(frame.path).name: frame.image for frame in frames_of(tmp_path)}
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in frames.values())
    assert {name: image.shape[:2] for name, image in frames.items()} == {
        "clear.png": (40, 60),
        "deep.png": (40, 60),
        "grey.png": (40, 60),
        "turned.jpg": (60, 40),
        "wide.png": (1, 1000),
    }
    for name in ("clear.png", "deep.png", "grey.png"):
        assert (frames[name] == 99).all(), name
    assert frames["turned.jpg"][:25].mean() > 250 and frames["turned.jpg"][35:].mean() < 5  # the left half is on top


@pytest.mark.parametrize("damage", ["half", "end", "empty", "html", "noise"])
def test_corrupt_images_are_left_out_and_reported(tmp_path, caplog, damage):
    good = save(tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    content = good.read_bytes()
    changed = {"half": content[: len(content) // 2], "end": content[:-40], "empty": b"", "html": b"<html>"}
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(changed.get(damage, bytes(range(256)) * 20))
    assert names_of(tmp_path) == ["a.jpg"]
    assert "1 of 2 inputs were left out: bad.jpg" in caplog.text
    with pytest.raises(UserError, match="bad.jpg"):  # the only one
        frames_of(bad)
    good.write_bytes(b"")
    with pytest.raises(UserError, match=f"{tmp_path.name}: none of its 2"):
        frames_of(tmp_path)


def test_video_frames_and_stride(tmp_path):
    path = counting_video(tmp_path / "film.avi", 20)
    frames = frames_of(path)
    assert [number_of(frame.image) for frame in frames] == list(range(1, 21))
    assert [frame.index for frame in frames] == list(range(1, 21))
    assert {(frame.total, frame.fps, frame.kind, frame.stem) for frame in frames} == {(20, 10.0, "video", "film")}
    frames = frames_of(path, stride=3)
    assert [number_of(frame.image) for frame in frames] == [3, 6, 9, 12, 15, 18]
    assert [frame.index for frame in frames] == [3, 6, 9, 12, 15, 18]
    assert frames[0].fps == pytest.approx(10 / 3)
    with pytest.raises(UserError, match="fewer than --vid-stride 21"):
        frames_of(path, stride=21)


def test_skipped_frames_are_not_decoded_to_pictures(tmp_path, monkeypatch):
    path = counting_video(tmp_path / "film.avi", 12)
    calls = []
    real = cv2.VideoCapture

    class Counting:
        def __init__(self, *arguments):
            self.inner = real(*arguments)

        def __getattr__(self, name):
            calls.append(name)
            return getattr(self.inner, name)

    monkeypatch.setattr(cv2, "VideoCapture", Counting)
    assert len(frames_of(path, stride=4)) == 3
    assert calls.count("retrieve") == 3 and calls.count("read") == 0 and calls.count("release") == 1


def test_a_video_that_ends_early_is_reported(tmp_path, caplog):
    path = counting_video(tmp_path / "film.avi", 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = frames_of(path)
    assert 0 < len(frames) < 25
    assert f"film.avi: {len(frames)} of 30 frames could be read" in caplog.text


@pytest.mark.parametrize(("suffix", "fourcc"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_broken_frames_in_the_middle_are_reported(tmp_path, caplog, suffix, fourcc):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (96, 128, 3), dtype=np.uint8) for _ in range(30)]
    path = tmp_path / f"film{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), 10, (128, 96))
    for image in images:
        writer.write(image)
    writer.release()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + len(content) // 8] = bytes(len(content) // 8)
    path.write_bytes(content)
    frames = frames_of(path)
    assert 20 < len(frames) < 30
    assert f"{len(frames)} of 30 frames could be read" in caplog.text
    assert frames[-1].image.std() > 30  # the end of the film was reached


@pytest.mark.parametrize("content", [b"", b"<html>", "half"])
def test_a_video_that_cannot_be_opened(tmp_path, caplog, content):
    path = counting_video(tmp_path / "film.mp4", 10, fourcc="mp4v")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "half" else content)
    with pytest.raises(UserError, match="film.mp4: cannot be opened as a video"):
        frames_of(path)
    save(tmp_path / "a.jpg", GREY)
    assert names_of(tmp_path) == ["a.jpg"]
    assert "left out: film.mp4" in caplog.text


@pytest.mark.parametrize("name", ["http:--x.avi", "cam:1.avi", "größe 日本.avi", "x%03d.avi", "-x.avi"])
def test_odd_names_of_videos(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    counting_video(tmp_path / "film.avi", 3).rename(tmp_path / name)
    assert [frame.path for frame in frames_of(name)] == [name] * 3
    (tmp_path / "one.streams").write_text(name, encoding="utf-8")
    assert len(frames_of("one.streams")) == 3


def test_a_video_on_a_web_server_is_read_whole(tmp_path):
    counting_video(tmp_path / "film.avi", 9)

    class Files(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        frames = frames_of(f"http://me:secret@127.0.0.1:{server.server_port}/film.avi")
    finally:
        server.shutdown()
        server.server_close()
    assert [number_of(frame.image) for frame in frames] == list(range(1, 10))
    assert {(frame.stem, frame.kind) for frame in frames} == {("film", "video")}
    assert "secret" not in frames[0].path


def test_what_becomes_a_stream(tmp_path):
    path = counting_video(tmp_path / "film.avi", 3)
    listing = tmp_path / "cams.streams"
    listing.write_text(f"# cameras\nrtsp://user:pw@127.0.0.1:1/a\n\n0\n{path}\n")
    source = open_source(listing)
    assert [reader.address for reader in source.readers] == ["rtsp://user:pw@127.0.0.1:1/a", 0, str(path)]
    assert source.readers[0].name == "rtsp://127.0.0.1:1/a"
    for text in (
        "0",
        0,
        "rtsp://127.0.0.1/a",
        "rtmp://127.0.0.1/a",
        "HTTP://127.0.0.1/cam",
        "https://127.0.0.1/x.m3u8",
    ):
        assert isinstance(open_source(text), StreamSource), text
    assert open_source("http://127.0.0.1/film.mp4").files == ["http://127.0.0.1/film.mp4"]  # read whole, not live


def test_screen_with_a_display(monkeypatch):
    class Grabber:
        monitors = ({"left": 0, "top": 0, "width": 30, "height": 20}, {"left": 10, "top": 5, "width": 20, "height": 15})

        def grab(self, region):
            image = np.zeros((region["height"], region["width"], 4), np.uint8)
            image[..., 0], image[..., 1] = region["left"], region["top"]
            return image

        def close(self):
            pass

    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setitem(sys.modules, "mss", types.SimpleNamespace(mss=Grabber))
    for text, shape, corner in (
        ("screen", (20, 30), (0, 0)),
        ("screen 1", (15, 20), (10, 5)),
        ("screen 2 3 8 6", (6, 8), (2, 3)),
        ("screen 1 2 3 8 6", (6, 8), (12, 8)),
    ):
        (frame,) = next(iter(open_source(text)))
        assert frame.image.shape == (*shape, 3), text
        assert tuple(frame.image[0, 0, :2]) == corner, text
    with pytest.raises(UserError, match="monitor 7"):
        open_source("screen 7")
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(UserError, match="pip install mss"):
        open_source("screen")
