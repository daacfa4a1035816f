"""Find objects in images, videos, folders, lists, cameras, streams or the screen.

    python detect.py --weights yolov5s.pt --source street.mp4

or from Python:

    for frame, detections in detect(load_model("best.pt"), "street.mp4"): ...
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.source_screen import has_display
from data.sources import Source, StreamSettings, open_source
from models.backends import load_predictor
from utils.detect_options import DECLINED, DEFAULT_SOURCE, DEFAULTS, DetectOptions
from utils.detections import Detections
from utils.detector import Detector
from utils.device import select_device
from utils.errors import LOG, ROOT, UserError, run_command
from utils.frames import Frame
from utils.options import parse_options
from utils.picture_sinks import BoxStyle, PictureSink
from utils.runs import make_run_folder
from utils.sinks import CropSink, CsvSink, LabelSink, OutputNames, Sink
from utils.sliced_detector import make_detector

MAX_TIMEOUT = 3600  # seconds


def detect(
    model: Any, source: str | Path | int | Sequence[str | Path], options: DetectOptions = DEFAULTS
) -> Iterator[tuple[Frame, Detections]]:
    """Yield every frame of `source` with what `model` finds in it, boxes in the frame's own pixels.

    model: from `load_model` or `load_predictor`. source: see `data.sources.open_source`; of `options` only those of
    finding are read, nothing is written. Streams are released when the generator is closed or runs out.
    """
    detector = make_detector(model, options)
    return _frames_with_detections(detector, open_source(source, stream_settings(options)))


def run(options: DetectOptions, model: Any = None) -> Path | None:
    """Detect and keep what the options ask for; `model` spares loading the weights. Returns the folder, None if
    nothing was to be saved. All files are finished however the run ends."""
    source = open_source(_find_source(options), stream_settings(options))
    if model is None:
        model = load_predictor(options.weights, select_device(options.device), half=options.half)
    detector = make_detector(model, options)
    folder = _make_folder(options)
    with contextlib.ExitStack() as stack:  # closes from the last to the first
        reporter = Reporter(detector, folder)
        stack.callback(reporter.close)
        sinks = _open_sinks(options, folder, stack)
        for frame, detections in stack.enter_context(contextlib.closing(_frames_with_detections(detector, source))):
            reporter.write(frame, detections)
            for sink in sinks:
                sink.write(frame, detections)
    return folder


class Reporter:
    """A log line per frame as in stock, and at the end the speed and where the results are."""

    def __init__(self, detector: Detector, folder: Path | None) -> None:
        self.detector = detector
        self.folder = folder
        self._video, self._start = "", 0.0

    def write(self, frame: Frame, detections: Detections) -> None:
        """`image 1/2 street.jpg: 480x640 3 cars, 12.5ms`: the network's input, the objects, the time of inference."""
        number = f" ({frame.index}/{frame.total or '?'})" if frame.kind == "video" else ""
        place = f"{frame.stream}: " if frame.kind == "stream" else f"{frame.kind} {frame.place[0]}/{frame.place[1]}"
        shape = "{}x{}".format(*self.detector.shape[2:])
        duration = self.detector.watch.last["inference"] * 1e3
        left = self._time_left(frame)
        LOG.info("%s%s %s: %s %s, %.1fms%s", place, number, frame.path, shape, detections.summary(), duration, left)

    def close(self) -> None:
        """Sum up, if there was anything; else leave no empty folder behind."""
        watch = self.detector.watch
        if not watch.pictures:
            with contextlib.suppress(OSError):  # not empty, or never made
                self.folder and self.folder.rmdir()
            return
        speed = ", ".join(f"{ms:.1f}ms {stage}" for stage, ms in watch.milliseconds().items())
        LOG.info("Speed: %s per image at shape %s", speed, self.detector.shape)
        if self.folder:
            labels = len(list(self.folder.glob("labels/*.txt")))
            LOG.info("Results saved to %s%s", self.folder, f", {labels} labels in its folder labels" if labels else "")

    def _time_left(self, frame: Frame) -> str:
        """', 2:05 left' for a video whose length is known."""
        now = time.monotonic()
        if frame.path != self._video:
            self._video, self._start = frame.path, now
        if not frame.total or not frame.index:
            return ""
        seconds = round((now - self._start) / frame.index * (frame.total - frame.index))
        return f", {seconds // 60}:{seconds % 60:02d} left"


def stream_settings(options: DetectOptions) -> StreamSettings:
    """How sources are to be read."""
    if options.vid_stride < 1:
        raise UserError(f"--vid-stride {options.vid_stride}: give 1 (every frame) or more")
    if options.stream_retries < 0:
        raise UserError(f"--stream-retries {options.stream_retries}: give 0 or more")
    if not 0 < options.stream_timeout <= MAX_TIMEOUT:
        raise UserError(f"--stream-timeout {options.stream_timeout:g}: give seconds above 0, up to {MAX_TIMEOUT}")
    return StreamSettings(options.stream_retries, options.stream_timeout, stride=options.vid_stride)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    run(parse_options(DetectOptions, "Find objects in images, videos and streams.", argv, DECLINED))


def _frames_with_detections(detector: Detector, source: Source) -> Iterator[tuple[Frame, Detections]]:
    with contextlib.closing(source), contextlib.closing(iter(source)) as batches:
        for frames in batches:
            yield from zip(frames, detector(frames))


def _find_source(options: DetectOptions) -> str:
    """The default folder is the repository's, wherever the command is given."""
    given = options.source == DEFAULT_SOURCE and not Path(options.source).exists()
    return str(ROOT / DEFAULT_SOURCE) if given else options.source


def _make_folder(options: DetectOptions) -> Path | None:
    if options.nosave and not (options.save_txt or options.save_csv or options.save_crop):
        return None
    return make_run_folder(options.project, options.name, options.exist_ok)


def _open_sinks(options: DetectOptions, folder: Path | None, stack: contextlib.ExitStack) -> list[Sink]:
    """Everything that the options ask for; the stack closes it."""
    if options.data:
        LOG.info("--data %s: not read, the class names come from the weights", options.data)
    names = OutputNames()
    window = options.view_img and has_display()
    if options.view_img and not window:
        LOG.warning("--view-img: no display was found (DISPLAY and WAYLAND_DISPLAY are not set); going on without")
    sinks: list[Sink] = []
    if window or not options.nosave:
        style = BoxStyle(options.line_thickness, options.hide_labels, options.hide_conf)
        sinks.append(PictureSink(None if options.nosave else folder, names, style, window))
    if options.save_txt:
        sinks.append(LabelSink(folder / "labels", names, options.save_conf, options.save_format))
    if options.save_csv:
        sinks.append(CsvSink(folder / "predictions.csv", names))
    if options.save_crop:
        sinks.append(CropSink(folder / "crops", names))
    for sink in sinks:
        stack.callback(sink.close)
    return sinks


if __name__ == "__main__":
    run_command(main)
