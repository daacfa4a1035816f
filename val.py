"""Validate weights on a data set:  python val.py --weights best.pt --data demo.yaml"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.images import read_image
from data.loader import LoaderOptions, build_loader
from data.prepare import ensure_data
from data.spec import DatasetSpec, load_spec
from models.backends import load_predictor
from utils.device import select_device
from utils.ensemble import check_ensemble, predict_parts, suppress_parts
from utils.errors import LOG, UserError, run_command
from utils.ignored import drop_ignored
from utils.letterbox import check_image_size
from utils.metrics import DetectionMetrics, Scores
from utils.options import parse_options
from utils.progress import progress
from utils.runs import make_run_folder
from utils.score_sinks import CocoSink, VisDroneSink
from utils.sliced_detector import BatchSlicer, make_batch_slicer
from utils.slicing import read_slicing
from utils.stopwatch import Stopwatch
from utils.val_options import DECLINED, ValOptions, settle
from utils.val_report import Circumstances, report
from utils.val_sinks import PlotSink, Sink, TextSink
from utils.visdrone_files import NAMES as VISDRONE_NAMES

VISDRONE_COMMAND = "python -m data.prepare.visdrone"
STAGES = ("pre-process", "inference", "NMS")
MAX_DET = 300


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
    slicer: BatchSlicer | None = None,
    drop_regions: bool = True,
) -> ValidationResult:
    """Score a predictor (in evaluation mode) on every batch of a validation loader; single_cls wants a loader that
    has merged the classes, too.

    loss: a DetectionLoss of this model; then the model must be a DetectionModel, whose raw maps are judged and decoded
    in one pass. Boxes are compared in original pixels. slicer: adds what slices of the pictures show.
    drop_regions: leave out what lies in ignored regions, as VisDrone's score does (COCO's has its own rule).
    """
    if getattr(model, "training", False):
        raise ValueError("validate() wants a model in evaluation mode: call model.eval() first")
    names = one_class(model.names) if options.single_cls else model.names
    metrics = DetectionMetrics(names)
    watch = slicer.watch if slicer else Stopwatch(model.device)
    terms: list[torch.Tensor] = []
    for batch in progress(loader, "validating", total=len(loader), unit="batch"):
        whole = slicer.look_whole(batch) if slicer and loss is None else range(len(batch.images))
        in_batch = _find(model, batch, whole, options, watch, loss, terms)
        watch.count(len(batch.images))
        found = [_to_original(rows, letterbox) for rows, letterbox in zip(in_batch, batch.letterboxes)]
        if slicer:
            found, in_batch = slicer(batch, found)
        for rows, labels in zip(*(drop_ignored(batch, found) if drop_regions else (found, batch.labels))):
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


def _find(
    model: Any,
    batch: Any,
    picks: Sequence[int],
    options: ValOptions,
    watch: Stopwatch,
    loss: Callable | None,
    terms: list[torch.Tensor],
) -> list[np.ndarray]:
    """Per picture of the batch the (n, 6) rows found in it, in its pixels; nothing in those that are not picked."""
    rows = [np.empty((0, 6), np.float32) for _ in range(len(batch.images))]
    if not picks:
        return rows
    with watch.stage("pre-process"):
        images = batch.images if len(picks) == len(rows) else batch.images[list(picks)]
        images = images.to(model.device, non_blocking=True).to(model.dtype) / 255
    with watch.stage("inference"):
        pred = _predict(model, images, batch, options, loss, terms)
    with watch.stage("NMS"):
        for index, found in zip(picks, _suppress(pred, options)):
            rows[index] = found
    return rows


def _predict(
    model: Any,
    images: torch.Tensor,
    batch: Any,
    options: ValOptions,
    loss: Callable | None,
    terms: list[torch.Tensor],
) -> list[torch.Tensor]:
    """Decoded predictions of a batch, see `predict_parts`; its loss terms are added to `terms`."""
    if loss is None:
        return predict_parts(model, images, options.augment, options.ensemble)
    raw = model(images)
    regions = getattr(batch, "regions", ())  # batches and losses that know of none do as well
    given = (batch.targets, regions) if len(regions) else (batch.targets,)
    terms.append(loss(raw, *(rows.to(model.device) for rows in given))[1].cpu())
    return [model.head.decode(raw)]


def _suppress(pred: Sequence[torch.Tensor], options: ValOptions) -> list[np.ndarray]:
    """Per image the (n, 6) rows that NMS leaves; one transfer for the whole batch."""
    rows = suppress_parts(
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
    options = settle(options)
    read_slicing(options)
    device = select_device(options.device)
    spec = load_spec(options.data)
    split = "val" if options.task == "speed" else options.task
    spec.split(split)
    model = load_predictor(options.weights, device, options.half)
    _check_classes(model, spec, options)
    check_ensemble(model, options.ensemble)
    ensure_data(spec, (split,))
    loader, size = _make_loader(model, spec, split, options)
    if options.max_det is None and spec.max_det:
        options = replace(options, max_det=spec.max_det)
    folder = make_run_folder(options.project, options.name, options.exist_ok)
    sinks = _make_sinks(folder, spec, split, options)
    _warm_up(model)
    slicer = make_batch_slicer(model, options, options.max_det or MAX_DET, read_image)
    result = validate(model, loader, options, sinks=sinks, slicer=slicer, drop_regions=not spec.annotations)
    where = Circumstances(split, size, options.max_det or MAX_DET)
    report(result, dict(zip(STAGES, result.speed_ms)), folder, where, sinks, options.verbose)
    return result


def _check_classes(model: Any, spec: DatasetSpec, options: ValOptions) -> None:
    if model.nc != spec.nc and not options.single_cls:
        raise UserError(
            f"{', '.join(options.weights)}: detects {model.nc} classes, but {spec.yaml_file} names {spec.nc}; "
            "give the data YAML that the weights were trained on"
        )


def _make_loader(model: Any, spec: DatasetSpec, split: str, options: ValOptions) -> tuple[Any, int]:
    """Rectangular batches as in stock, squares of the one size that a fixed file takes; and that longer side."""
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
    return build_loader(spec, split, settings), size


def _make_sinks(folder: Path, spec: DatasetSpec, split: str, options: ValOptions) -> list[Sink]:
    names = one_class(spec.names) if options.single_cls else spec.names
    sinks: list[Sink] = [] if options.task == "speed" else [PlotSink(folder, names)]
    if options.save_txt or options.save_conf:
        sinks.append(TextSink(folder / "labels", options.save_conf))
    if options.task == "speed":
        return sinks
    annotations = None if options.single_cls else spec.annotations.get(split)
    if annotations and not annotations.is_file():
        if options.save_json:
            LOG.warning("%s: no such file; annotations are made from the labels instead", annotations)
        annotations = None
    brief = not (options.save_json or spec.visdrone)
    stem = Path(options.weights[0]).stem
    return [
        *sinks,
        CocoSink(folder, stem, names, annotations, options.save_json, brief),
        *_official(folder, spec, split, options),
    ]


def _official(folder: Path, spec: DatasetSpec, split: str, options: ValOptions) -> list[Sink]:
    """The official VisDrone score where the data set has one, and its result files where they are asked for."""
    annotations, reason = spec.visdrone.get(split), ""
    if options.single_cls or spec.nc != len(VISDRONE_NAMES):
        reason = "--single-cls merges its ten classes" if options.single_cls else f"it has ten classes, not {spec.nc}"
        if options.save_visdrone:
            raise UserError(f"--save-visdrone: is VisDrone's format, but {reason}; leave it away")
    elif annotations and not annotations.is_dir():
        reason = f"there is no folder {annotations} of original annotation files; `{VISDRONE_COMMAND}` makes it"
    if annotations and reason:
        LOG.warning("official VisDrone figures (AP, AP50, AP75, AR1 to AR500) are left out: %s", reason)
        annotations = None
    results = folder / "visdrone" if options.save_visdrone else None
    return [VisDroneSink(folder, annotations, results)] if annotations or results else []


def _warm_up(model: Any) -> None:
    """One prediction before the clock runs: first calls choose and compile kernels."""
    count, height, width = model.fixed_shape or (1, 2 * model.max_stride, 2 * model.max_stride)
    with torch.no_grad():
        model.predict(torch.zeros(count, 3, height, width, device=model.device, dtype=model.dtype))


def main() -> None:
    """Read the command line and validate."""
    run(parse_options(ValOptions, "Validate weights on a data set", declined=DECLINED))


if __name__ == "__main__":
    run_command(main)
