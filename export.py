"""Export a trained model: python export.py --weights best.pt --include onnx torchscript.

Each file is run on real pixels after writing and compared with PyTorch; one that differs is not kept.
"""

import difflib
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from data.images import IMAGE_SUFFIXES, read_image
from data.labels import list_images
from data.spec import load_spec
from models.backends import BACKENDS, ExportedPredictor
from models.exporters import EXPORTERS, Format
from models.loading import find_weights, load_model
from models.model import DetectionModel
from utils import letterbox
from utils.device import select_device
from utils.errors import LOG, ROOT, UserError, run_command
from utils.files import atomic_path
from utils.options import option, parse_options

# Largest difference from PyTorch that is let pass: of boxes as a share of the image's longer side, and of scores.
TOLERANCE = {torch.float32: (1e-4, 1e-3), torch.float16: (1e-2, 2e-2)}

OTHER_FORMATS = (  # names and suffixes of formats that stock YOLOv5 offers besides
    *("openvino", "engine", "coreml", "saved_model", "pb", "tflite", "edgetpu", "tfjs", "paddle"),
    *("tensorrt", "mlmodel", "mlpackage"),
)

NO_NMS = "NMS is not part of the exported file; detect.py and val.py run it after the file"
DECLINED = {
    "--inplace": "makes no difference here; leave it out",
    "--verbose": "belongs to TensorRT, which is not offered; leave it out",
    "--optimize": "the optimisation for phones is not offered; a plain .torchscript file runs there too",
    "--int8": "quantisation is not offered; export onnx and quantise that file",
    "--per-tensor": "quantisation is not offered; export onnx and quantise that file",
    "--keras": "Keras is not offered; export onnx and convert that file",
    "--mlmodel": "CoreML is not offered; export onnx and convert that file",
    "--workspace": "TensorRT is not offered; export onnx and build the engine with trtexec",
    "--cache": "TensorRT is not offered; export onnx and build the engine with trtexec",
    **dict.fromkeys(
        ("--nms", "--agnostic-nms", "--topk-per-class", "--topk-all", "--iou-thres", "--conf-thres"), NO_NMS
    ),
}


@dataclass(frozen=True)
class ExportOptions:
    """What export.py takes."""

    weights: str = option("yolov5s.pt", "checkpoint to export")
    include: tuple[str, ...] = option(("torchscript",), f"formats: {', '.join(EXPORTERS)}")
    data: str = option("", "data set whose validation images the files are tried on (data/images if not given)")
    imgsz: tuple[int, ...] = option((640, 640), "image size: one number or height width", flags=("--img", "--img-size"))
    batch_size: int = option(1, "batch size")
    device: str = option("cpu", "cpu, or a GPU's number")
    half: bool = option(False, "float16 (needs a GPU)")
    dynamic: bool = option(False, "leave batch, height and width free")
    simplify: bool = option(False, "shorten the ONNX graph with onnxslim")
    opset: int = option(17, "version of ONNX's operators")


@dataclass(frozen=True)
class Exported:
    """One written file: largest differences from PyTorch of the boxes (pixels) and the scores, seconds to write."""

    format: str
    path: Path
    box_difference: float
    score_difference: float
    seconds: float


def export(options: ExportOptions) -> list[Exported]:
    """Write a file beside the weights for each format of `options.include`, checked against PyTorch."""
    for name in options.include:
        _check_format(name)
    device = select_device(options.device)
    _check_half(options, device)
    if options.batch_size < 1:
        raise UserError(f"--batch-size {options.batch_size}: give a number from 1")
    if len(options.imgsz) > 2:
        raise UserError(f"--imgsz {' '.join(map(str, options.imgsz))}: give one number, or height and width")
    weights = find_weights(options.weights)
    model = (
        load_model(weights, device).fuse().to(torch.float16 if options.half else torch.float32).requires_grad_(False)
    )
    size = letterbox.check_image_size(options.imgsz, model.max_stride)
    pictures, origin = find_pictures(options.data)
    LOG.info("%s on %s, checked on %s", weights, device, origin)
    trials = [_batch(pictures, options.batch_size, size, model)]
    if options.dynamic:
        trials.append(_batch(pictures, options.batch_size + 1, _other_size(size, model.max_stride), model))
    return [_export_one(name, model, trials, weights, options) for name in dict.fromkeys(options.include)]


def find_pictures(data: str, count: int = 4) -> tuple[list[np.ndarray], str]:
    """Up to `count` BGR pictures and where they come from: the data set's validation images, else data/images, else a
    drawn one."""
    folder = ROOT / "data" / "images"
    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if data:
        spec = load_spec(data)
        try:
            files = list_images(spec, "val")
        except UserError as error:
            LOG.warning("%s", error)
    if not files:
        return [_draw_picture()], "a drawn picture, since no images were found"
    files = files[:count]
    return [read_image(file) for file in files], f"{len(files)} images of {files[0].parent}"


def compare(predictor: ExportedPredictor, model: DetectionModel, trials: Sequence[Tensor]) -> tuple[float, float]:
    """The largest differences of a file's predictions from the model's: boxes in pixels, scores in 0..1."""
    boxes, scores = 0.0, 0.0
    for images in trials:
        with torch.no_grad():
            expected = model.predict(images).float().cpu()
        given = predictor.predict(images).float().cpu()
        if given.shape != expected.shape:
            return float("inf"), float("inf")
        difference = (given - expected).abs().nan_to_num(float("inf"))
        boxes = max(boxes, float(difference[..., :4].max()))
        scores = max(scores, float(difference[..., 4:].max()))
    return boxes, scores


def _export_one(
    name: str, model: DetectionModel, trials: list[Tensor], weights: Path, options: ExportOptions
) -> Exported:
    path = weights.with_suffix(f".{name}")
    start = time.perf_counter()
    with atomic_path(path) as temporary:
        try:
            EXPORTERS[name](model, trials[0], temporary, Format(options.dynamic, options.opset, options.simplify))
        except (RuntimeError, OSError) as error:  # a full disk is either in PyTorch
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: cannot be written ({reason}); is there room on the disk?") from None
        seconds = time.perf_counter() - start
        boxes, scores = compare(BACKENDS[f".{name}"](temporary, model.device), model, trials)
        box_limit, score_limit = TOLERANCE[model.dtype]
        if boxes > box_limit * max(trials[0].shape[2:]) or scores > score_limit:
            raise UserError(
                f"{path}: differs from PyTorch by {boxes:.2g} pixels and {scores:.2g} in scores, so it was not kept; "
                "try another --opset, or leave --half and --simplify out"
            )
    return Exported(name, path, boxes, scores, seconds)


def _check_format(name: str) -> None:
    if name in EXPORTERS:
        return
    if name in OTHER_FORMATS:
        raise UserError(f"--include {name}: this format is not offered; export onnx and convert that file")
    close = difflib.get_close_matches(name, EXPORTERS, 1)
    hint = f"did you mean {close[0]}?" if close else f"use {' or '.join(EXPORTERS)}"
    raise UserError(f"--include {name}: is not a format; {hint}")


def _check_half(options: ExportOptions, device: torch.device) -> None:
    if options.half and device.type == "cpu":
        raise UserError("--half: float16 is exported on a GPU; add --device 0, or leave --half out")
    if options.half and options.dynamic:
        raise UserError("--half: does not go with --dynamic; leave one of them out")


def _batch(pictures: list[np.ndarray], count: int, size: tuple[int, int], model: DetectionModel) -> Tensor:
    """The pictures in turn, letterboxed to `size`: (count, 3, height, width) in 0..1 as the model wants it."""
    fitted = [
        letterbox.apply(picture, letterbox.fit(picture.shape[:2], size, auto=False)) for picture in pictures[:count]
    ]
    stack = np.stack([fitted[index % len(fitted)][..., ::-1].transpose(2, 0, 1) for index in range(count)])
    return (torch.from_numpy(stack).to(model.device).float() / 255).to(model.dtype)


def _other_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Another height and width, neither equal to the first nor to each other."""
    height, width = size[0] + stride, max(size[1] // 2 // stride, 1) * stride
    return height, width if width != size[1] else width + 2 * stride


def _draw_picture() -> np.ndarray:
    """A (480, 640, 3) picture with smooth light, edges and grain, always the same."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(40, 215, (6, 8, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
    for x, y, side in rng.integers((0, 0, 12), (600, 440, 90), (40, 3)).tolist():
        cv2.rectangle(picture, (x, y), (x + side, y + side // 2), rng.uniform(0, 255, 3).tolist(), -1)
    return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)


def _table(results: list[Exported]) -> str:
    lines = [f"{'format':<12}{'MB':>8}{'boxes px':>12}{'scores':>12}{'seconds':>9}  file"]
    for result in results:
        size = result.path.stat().st_size / 1e6
        lines.append(
            f"{result.format:<12}{size:>8.1f}{result.box_difference:>12.1e}{result.score_difference:>12.1e}"
            f"{result.seconds:>9.1f}  {result.path}"
        )
    return "\n".join([*lines, "(boxes, scores: largest difference from PyTorch)"])


def main() -> None:
    """Export, then print one line per file and what to run next."""
    results = export(parse_options(ExportOptions, __doc__, declined=DECLINED))
    LOG.info(_table(results))
    LOG.info("next: python detect.py --weights %s", shlex.quote(str(results[-1].path)))


if __name__ == "__main__":
    run_command(main)
