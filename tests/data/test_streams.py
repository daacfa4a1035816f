"""Live streams: MJPEG over HTTP on loopback, cut and restored."""

import http.server
import threading
import time

import cv2
import numpy as np
import pytest

from data.source_streams import StreamSettings, StreamSource
from tests.detect_fakes import counting_video, number_of
from utils.errors import UserError

SETTINGS = StreamSettings(retries=5, timeout=3.0, pause=0.1, patience=0.3)


class Camera:
    """Serves grey frames of value 8 n (n = 1..30, then again) as MJPEG; `cut` ends and refuses connections."""

    def __init__(self, size=(48, 64), interval=0.02):
        self.size, self.interval = size, interval
        self.sent = self.connections = 0
        self.running = self.refuse = False
        self.port = 0
        self.restore()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/video.mjpg"

    def restore(self):
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_GET(self):
                camera.connections += 1
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    while camera.running:
                        self.wfile.write(camera.next_part())
                        time.sleep(camera.interval)
                except OSError:
                    pass

        self.running = True
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def cut(self):
        self.running = False
        self.server.shutdown()
        self.server.server_close()

    def next_part(self):
        self.sent += 1
        image = np.full((*self.size, 3), 8 * ((self.sent - 1) % 30 + 1), np.uint8)
        content = cv2.imencode(".jpg", image)[1].tobytes()
        return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(content), content)


@pytest.fixture
def camera():
    camera = Camera()
    yield camera
    camera.cut()


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    deadline = time.monotonic() + 5
    while (left := [t.name for t in threading.enumerate() if t.name.startswith("stream ")]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert not left


def take(batches, count):
    return [next(batches) for _ in range(count)]


def test_a_cut_stream_is_followed_again(camera, caplog):
    caplog.set_level("INFO")
    source = StreamSource([camera.address], SETTINGS)
    batches = iter(source)
    before = [frame for batch in take(batches, 5) for frame in batch]
    camera.cut()
    threading.Timer(0.4, camera.restore).start()
    sent = camera.sent
    after = []
    deadline = time.monotonic() + 15
    while (not after or after[-1].index < sent + 3) and time.monotonic() < deadline:
        after += next(batches)
    batches.close()
    assert camera.connections == 2
    indices = [frame.index for frame in before + after]
    assert indices == sorted(set(indices))  # time goes on, no frame twice
    assert {(f.kind, f.stream, f.place, f.image.shape) for f in before + after} == {("stream", 0, (1, 1), (48, 64, 3))}
    assert source.readers[0].cuts == 1
    assert "was cut" in caplog.text and "connected again" in caplog.text and "cut 1 times" in caplog.text


def test_stale_frames_are_dropped_and_counted(camera, caplog):
    caplog.set_level("INFO")
    source = StreamSource([camera.address], SETTINGS)
    batches = iter(source)
    ((first,),) = take(batches, 1)
    time.sleep(0.5)  # a slow network: some 25 frames pass
    ((second,),) = take(batches, 1)
    newest = camera.sent
    batches.close()
    reader = source.readers[0]
    assert second.index - first.index > 5
    assert newest - second.index <= 6  # not one from half a second ago
    assert number_of(second.image) == (second.index - 1) % 30 + 1
    assert reader.dropped >= second.index - first.index - 1 and reader.delivered == 2
    assert f"2 frames taken, {reader.dropped} stale ones dropped" in caplog.text


def test_stride(camera):
    batches = iter(StreamSource([camera.address], StreamSettings(timeout=3.0, stride=4)))
    frames = [frame for batch in take(batches, 4) for frame in batch]
    batches.close()
    assert all(frame.index % 4 == 0 for frame in frames)
    assert [number_of(frame.image) for frame in frames] == [(frame.index - 1) % 30 + 1 for frame in frames]


def test_two_streams_and_a_dead_one_in_a_batch(camera, caplog):
    other = Camera(size=(32, 80), interval=0.05)
    dead = "http://127.0.0.1:9/gone.mjpg"
    settings = StreamSettings(retries=1, timeout=3.0, pause=0.05, patience=0.5)
    batches = iter(StreamSource([camera.address, dead, other.address], settings))
    while len(next(batches)) < 2:  # the second one connects later; the first does not wait for it
        pass
    full = take(batches, 8)
    batches.close()
    other.cut()
    assert [len(batch) for batch in full] == [2] * 8  # the faster one waits a little for the slower one
    assert all([frame.stream for frame in batch] == [0, 2] for batch in full)
    assert {batch[1].image.shape for batch in full} == {(32, 80, 3)}
    assert "gone.mjpg: cannot be opened; attempt 1 of 1" in caplog.text


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/gone.mjpg", "rtsp://me:secret@127.0.0.1:9/live"])
def test_a_stream_that_is_not_there_is_an_error(address, caplog):
    source = StreamSource([address], StreamSettings(retries=2, timeout=2.0, pause=0.05))
    start = time.monotonic()
    with pytest.raises(UserError, match=r"127.0.0.1:9/.*cannot be opened \(3 attempts in a row\)") as caught:
        list(source)
    assert time.monotonic() - start < 8
    assert "secret" not in str(caught.value) + caplog.text


def test_a_silent_stream_times_out():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)  # listens, never answers
    source = StreamSource(
        [f"http://127.0.0.1:{server.server_port}/x.mjpg"], StreamSettings(retries=0, timeout=0.5, pause=0.05)
    )
    start = time.monotonic()
    with pytest.raises(UserError, match="cannot be opened"):
        list(source)
    server.server_close()
    assert time.monotonic() - start < 5


def test_a_missing_camera_is_an_error_at_once(monkeypatch):
    class Nothing:
        def __init__(self, *arguments):
            pass

        def isOpened(self):  # noqa: N802
            return False

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Nothing)
    start = time.monotonic()
    with pytest.raises(UserError, match="0: no camera answers"):
        list(StreamSource([0], StreamSettings()))
    assert time.monotonic() - start < 2


def test_video_files_as_streams_are_read_whole_and_once(tmp_path):
    paths = [counting_video(tmp_path / "a.avi", 12), counting_video(tmp_path / "b.avi", 7, shape=(32, 32))]
    seen = {0: [], 1: []}
    for batch in StreamSource([str(path) for path in paths], SETTINGS):
        time.sleep(0.01)
        for frame in batch:
            seen[frame.stream].append(number_of(frame.image))
    assert seen == {0: list(range(1, 13)), 1: list(range(1, 8))}


def test_closing_before_the_first_frame(camera):
    source = StreamSource([camera.address], SETTINGS)
    batches = iter(source)
    source.close()
    batches.close()
    source.close()
    assert list(source) == []
