"""Validate weights on a data set:  python val.py --weights best.pt --data demo.yaml"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.loader import LoaderOptions, build_loader
from data.prepare import ensure_data
from data.spec import DatasetSpec, load_spec
from models.backends import load_predictor
from utils.coco_json import write_json
from utils.device import select_device
from utils.errors import LOG, UserError, run_command
from utils.files import write_text
from utils.letterbox import check_image_size
from utils.metrics import DetectionMetrics, Scores
from utils.nms import non_max_suppression
from utils.options import option, parse_options
from utils.progress import progress
from utils.runs import make_run_folder
from utils.stopwatch import Stopwatch
from utils.tables import score_csv, score_dict, score_table
from utils.val_sinks import JsonSink, PlotSink, Sink, TextSink

STAGES = ("pre-process", "inference", "NMS")
MAX_DET = 300
PRINTED_CLASSES = 50  # data sets with fewer classes always get a line per class
DECLINED = {
    "--save-hybrid": "is not offered: labels mixed into the predictions make every score wrong; use --save-txt",
    "--dnn": "is not offered: ONNX files run in onnxruntime; leave it away",
}


@dataclass(frozen=True)
class ValOptions:
    """The flags of val.py; `validate` itself reads conf_thres, iou_thres, max_det, augment and single_cls."""

    data: str = option("data/coco128.yaml", "data-set YAML")
    weights: tuple[str, ...] = option(("yolov5s.pt",), ".pt or exported file; several .pt = ensemble")
    batch_size: int = option(32, "images per batch")
    imgsz: int = option(640, "image size in pixels", flags=("--img", "--img-size"))
    conf_thres: float = option(0.001, "least confidence")
    iou_thres: float = option(0.6, "overlap at which NMS suppresses")
    max_det: int | None = option(None, "most detections per image (300, unless the data YAML says otherwise)")
    task: str = option("val", "the split, or speed", choices=("train", "val", "test", "speed", "study"))
    device: str = option("", "cpu, mps or a GPU's number")
    workers: int = option(8, "processes that load images")
    single_cls: bool = option(False, "treat all classes as one")
    augment: bool = option(False, "test-time augmentation")
    verbose: bool = option(False, "a line per class however many there are")
    save_txt: bool = option(False, "write labels/*.txt")
    save_conf: bool = option(False, "with confidences in them")
    save_json: bool = option(False, "write COCO JSON and score it with pycocotools")
    project: str = option("runs/val", "folder of runs")
    name: str = option("exp", "name of the run")
    exist_ok: bool = option(False, "write into an existing run folder")
    half: bool = option(False, "half precision (GPU only)")
    square: bool = option(False, "pad to squares, as exported files with a fixed shape need: to compare with them")


@dataclass(frozen=True)
class ValidationResult(Scores):
    """The Scores, the mean (box, obj, cls) loss per batch if a loss was given, and the milliseconds per image of
    pre-processing, inference and NMS."""

    loss: tuple[float, float, float] | None = None
    speed_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)


@torch.no_grad()
def validate(
    model: Any,
    loader: Any,
    options: ValOptions = ValOptions(),  # noqa: B008 (frozen)
    loss: Callable | None = None,
    sinks: Sequence[Sink] = (),
) -> ValidationResult:
    """Score a predictor (in evaluation mode) on every batch of a validation loader; single_cls wants a loader that
    has merged the classes, too.

    loss: a DetectionLoss of this model; then the model must be a DetectionModel, whose raw maps are judged and decoded
    in one pass. Boxes are compared in original pixels.
    """
    if getattr(model, "training", False):
        raise ValueError("validate() wants a model in evaluation mode: call model.eval() first")
    names = one_class(model.names) if options.single_cls else model.names
    metrics = DetectionMetrics(names)
    watch = Stopwatch(model.device)
    terms: list[torch.Tensor] = []
    for batch in progress(loader, "validating", total=len(loader), unit="batch"):
        with watch.stage("pre-process"):
            images = batch.images.to(model.device, non_blocking=True).to(model.dtype) / 255
        with watch.stage("inference"):
            pred = _predict(model, images, batch.targets, options, loss, terms)
        with watch.stage("NMS"):
            in_batch = _suppress(pred, options)
        watch.count(len(images))
        found = [_to_original(rows, letterbox) for rows, letterbox in zip(in_batch, batch.letterboxes)]
        for rows, labels in zip(found, batch.labels):
            metrics.update(rows, labels)
        for sink in sinks:
            sink.add(batch, found, in_batch)
    scores = metrics.compute()
    if not scores.instances:
        LOG.warning("no labels were found in this split: there is nothing to score")
    for sink in sinks:
        sink.finish(scores)
    mean_loss = tuple(torch.stack(terms).mean(0).tolist()) if terms else None
    speed = tuple(watch.milliseconds().get(stage, 0.0) for stage in STAGES)
    return ValidationResult(**vars(scores), loss=mean_loss, speed_ms=speed)


def one_class(names: Mapping[int, str]) -> dict[int, str]:
    """What --single-cls makes of the class names."""
    return {0: "item"} if len(names) > 1 else dict(names)


def _predict(
    model: Any,
    images: torch.Tensor,
    targets: torch.Tensor,
    options: ValOptions,
    loss: Callable | None,
    terms: list[torch.Tensor],
) -> torch.Tensor:
    """Decoded predictions of a batch; its loss terms are added to `terms`."""
    if loss is None:
        return model.predict(images, augment=options.augment)
    raw = model(images)
    terms.append(loss(raw, targets.to(model.device))[1].cpu())
    return model.head.decode(raw)


def _suppress(pred: torch.Tensor, options: ValOptions) -> list[np.ndarray]:
    """Per image the (n, 6) rows that NMS leaves; one transfer for the whole batch."""
    rows = non_max_suppression(
        pred,
        options.conf_thres,
        options.iou_thres,
        agnostic=options.single_cls,
        multi_label=True,
        max_det=options.max_det or MAX_DET,
    )
    together = torch.cat(rows).cpu()
    if options.single_cls:
        together[:, 5] = 0
    return [part.numpy() for part in together.split([len(part) for part in rows])]


def _to_original(rows: np.ndarray, letterbox: Any) -> np.ndarray:
    return np.concatenate((letterbox.invert(rows[:, :4]), rows[:, 4:]), 1)


def run(options: ValOptions) -> ValidationResult:
    """What the command does: load, validate, print the table, write the run folder."""
    options = _settle(options)
    device = select_device(options.device)
    spec = load_spec(options.data)
    split = "val" if options.task == "speed" else options.task
    spec.split(split)
    model = load_predictor(options.weights, device, options.half)
    _check_classes(model, spec, options)
    ensure_data(spec, (split,))
    loader = _make_loader(model, spec, split, options)
    if options.max_det is None and spec.max_det:
        options = replace(options, max_det=spec.max_det)
    folder = make_run_folder(options.project, options.name, options.exist_ok)
    sinks = _make_sinks(folder, spec, split, options)
    _warm_up(model)
    result = validate(model, loader, options, sinks=sinks)
    _report(result, folder, options)
    return result


def _settle(options: ValOptions) -> ValOptions:
    """The options with what one implies for others."""
    if options.task == "study":
        raise UserError("--task study: comes in a later version; run val.py with --imgsz 320, 640, ... one by one")
    for flag in ("conf_thres", "iou_thres"):
        if not 0 <= getattr(options, flag) <= 1:
            raise UserError(f"--{flag.replace('_', '-')} {getattr(options, flag)}: lies between 0 and 1")
    for flag, least in (("batch_size", 1), ("imgsz", 1), ("max_det", 1), ("workers", 0)):
        value = getattr(options, flag)
        if value is not None and value < least:
            raise UserError(f"--{flag.replace('_', '-')} {value}: must be at least {least}")
    if options.task == "speed":
        return replace(options, conf_thres=0.25, iou_thres=0.45, save_json=False)
    return replace(options, save_json=options.save_json or Path(options.data).name == "coco.yaml")


def _check_classes(model: Any, spec: DatasetSpec, options: ValOptions) -> None:
    if model.nc != spec.nc and not options.single_cls:
        raise UserError(
            f"{', '.join(options.weights)}: detects {model.nc} classes, but {spec.yaml_file} names {spec.nc}; "
            "give the data YAML that the weights were trained on"
        )


def _make_loader(model: Any, spec: DatasetSpec, split: str, options: ValOptions) -> Any:
    """Rectangular batches as in stock; squares of the one size that a fixed file takes."""
    size, batch_size = check_image_size(options.imgsz, max(model.max_stride, 32))[0], options.batch_size
    square = options.square or options.task == "speed"
    if model.fixed_shape:
        batch_size, size, width = model.fixed_shape
        if size != width:
            raise UserError(
                f"{options.weights[0]}: is frozen to {size} x {width}; val.py needs a square or --dynamic file"
            )
        LOG.info("%s: is frozen to batches of %d and %d pixels", options.weights[0], batch_size, size)
        square = True
    settings = LoaderOptions(
        image_size=size,
        batch_size=batch_size,
        stride=max(model.max_stride, 32),
        train=False,
        rect=not square,
        pad=0.0 if square else 0.5,
        workers=options.workers,
        single_cls=options.single_cls,
    )
    return build_loader(spec, split, settings)


def _make_sinks(folder: Path, spec: DatasetSpec, split: str, options: ValOptions) -> list[Sink]:
    names = one_class(spec.names) if options.single_cls else spec.names
    sinks: list[Sink] = [] if options.task == "speed" else [PlotSink(folder, names)]
    if options.save_txt or options.save_conf:
        sinks.append(TextSink(folder / "labels", options.save_conf))
    if options.save_json:
        annotations = None if options.single_cls else spec.annotations.get(split)
        if annotations and not annotations.is_file():
            LOG.warning("%s: no such file; annotations are made from the labels instead", annotations)
            annotations = None
        sinks.append(JsonSink(folder, Path(options.weights[0]).stem, names, annotations))
    return sinks


def _warm_up(model: Any) -> None:
    """One prediction before the clock runs: first calls choose and compile kernels."""
    count, height, width = model.fixed_shape or (1, 2 * model.max_stride, 2 * model.max_stride)
    with torch.no_grad():
        model.predict(torch.zeros(count, 3, height, width, device=model.device, dtype=model.dtype))


def _report(result: ValidationResult, folder: Path, options: ValOptions) -> None:
    per_class = len(result.confusion) > 2 and (options.verbose or len(result.confusion) <= PRINTED_CLASSES)
    LOG.info("%s", score_table(result, per_class))
    LOG.info("Speed per image: %s", ", ".join(f"{ms:.1f} ms {stage}" for ms, stage in zip(result.speed_ms, STAGES)))
    write_text(folder / "metrics.csv", score_csv(result))
    write_json(folder / "metrics.json", score_dict(result) | {"speed_ms": dict(zip(STAGES, result.speed_ms))})
    LOG.info("Results saved to %s", folder)


def main() -> None:
    """Read the command line and validate."""
    run(parse_options(ValOptions, "Validate weights on a data set", declined=DECLINED))


if __name__ == "__main__":
    run_command(main)
