"""Train a detector:  python train.py --cfg yolov5n-ema.yaml --data demo.yaml"""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.loader import Batch
from data.samplers import class_weights, image_weights
from models import DetectionModel, load_model
from tools.training_run import Run, reopen_run, start_run
from utils.checkpoint import strip_checkpoint
from utils.errors import LOG, run_command
from utils.finite import NonFiniteError
from utils.options import parse_options
from utils.plot_batches import save_targets
from utils.plots import plot_results
from utils.progress import progress
from utils.report import write_results
from utils.schedules import random_size, resize_batch
from utils.score_sinks import CocoSink
from utils.tables import score_table
from utils.train_options import DECLINED, TrainOptions, check_options
from utils.val_options import ValOptions
from utils.val_report import Circumstances, show_scores
from utils.val_sinks import PlotSink, Sink
from val import MAX_DET, ValidationResult, validate

HEADER = ("Epoch", "GPU_mem", "box_loss", "obj_loss", "cls_loss", "Instances", "Size")
PLOTTED_BATCHES = 3
PICTURES = ("results", "confusion_matrix", "F1_curve", "PR_curve", "P_curve", "R_curve")


def fit(options: TrainOptions) -> Path:
    """Train as `options` say and return the run folder.

    A stopped run goes on with `options.resume`, epoch by epoch as if it had never stopped. Raises `UserError` for
    whatever the user can mend, `NonFiniteError` (a kind of it) where the loss or a gradient stops being finite.
    """
    check_options(options)
    run = start_run(options) if options.resume is None else reopen_run(options)
    torch.backends.cudnn.benchmark = not (run.options.rect or run.options.multi_scale)  # pays where shapes repeat
    try:
        while not run.ended:
            run_epoch(run)
        finish(run)
    except NonFiniteError:
        LOG.info("\nthe weights of the last good epoch are kept in %s", run.weights("last"))
        raise
    except (KeyboardInterrupt, SystemExit):
        _say_how_to_resume(run)
        raise
    except RuntimeError as error:  # a signal to the whole process group ends the loader's workers, too
        if not isinstance(error.__context__, KeyboardInterrupt | SystemExit):
            raise
        _say_how_to_resume(run)
        raise error.__context__ from None
    return run.folder


def run_epoch(run: Run) -> None:
    """Train one epoch, validate the averaged weights, write results.csv and the checkpoints."""
    options, state, epoch = run.options, run.state, run.state.epoch
    torch.manual_seed(options.seed + epoch)  # for dropout and the like: as the data, a function of seed and epoch
    losses = train_one_epoch(run)
    run.learner.average.copy_counters(run.model)
    result = None if options.noval and epoch + 1 < options.epochs else validate_average(run)
    scores, fitness = (0.0,) * 7, None
    if result:
        scores, fitness = (result.precision, result.recall, result.map50, result.map, *result.loss), result.fitness
        state.class_map = result.maps(run.model.nc).tolist()
    rates = [group["lr"] for group in run.learner.optimizer.param_groups]
    best = state.finish_epoch([epoch, *losses, *scores, *rates], fitness)
    # last.pt comes last: what was written without it is written again, alike, by the resumed run.
    write_results(run.folder / "results.csv", state.history)
    run.board.add_epoch(state.history[-1])
    if not options.nosave or run.ended:
        kept = options.save_period > 0 and epoch % options.save_period == 0
        run.save(*["best"] * best, *[f"epoch{epoch}"] * kept, "last")


def train_one_epoch(run: Run) -> list[float]:
    """Train on every batch once; returns the mean (box, obj, cls) loss."""
    epoch, learner, schedule = run.state.epoch, run.learner, run.schedule
    learner.model.train()
    run.train_loader.set_epoch(epoch)
    if run.options.image_weights:
        _weigh_images(run)
    LOG.info("\n" + "".join(f"{word:>11}" for word in HEADER))
    sums = np.zeros(3)
    bar = progress(run.train_loader, "", total=schedule.batches, unit="batch")
    for number, batch in enumerate(bar):
        step = epoch * schedule.batches + number
        _plot_batch(run, batch, step)
        images, targets, regions = _to_device(run, batch, number)
        schedule.apply(learner.optimizer, step)
        terms = learner.train_step(images, targets, run.loss, schedule.is_update(step), regions)
        if terms is None:
            raise learner.explain(images, f"{run.folder}, epoch {epoch}, batch {number}", batch.paths)
        sums += terms
        figures = (*sums / (number + 1), len(targets), images.shape[-1])
        head = f"{f'{epoch}/{run.options.epochs - 1}':>11}{_memory(images.device):>11}"
        bar.set_description(head + "".join(f"{figure:>11.4g}" for figure in figures), refresh=False)
    return (sums / schedule.batches).tolist()


def validate_average(run: Run) -> ValidationResult:
    """Score the averaged weights on the validation split, with their loss."""
    with run.learner.autocast():
        result = _validate(run, run.learner.average.model, loss=run.loss)
    LOG.info(score_table(result, per_class=False))
    return result


def finish(run: Run) -> None:
    """Strip the checkpoints, validate the best one, draw the pictures and say what to run next."""
    best = run.weights("best") if run.weights("best").exists() else run.weights("last")
    strip_checkpoint(best)
    LOG.info(f"\n{run.state.epoch} epochs completed, validating {best}")
    if run.state.epoch < run.options.epochs:
        LOG.info(f"stopped early: the best epoch, {run.state.best_epoch}, is {run.options.patience} epochs old")
    with run.learner.autocast():
        model = load_model(best, run.model.device)
        sinks = _make_sinks(run, best)
        result = _validate(run, model, sinks=sinks)
    LOG.info(score_table(result, per_class=True))
    show_scores(result, Circumstances("val", run.image_size, run.spec.max_det or MAX_DET), sinks)
    if not run.options.noplots:
        plot_results(run.folder / "results.csv")
        run.board.add_images([run.folder / f"{name}.png" for name in PICTURES], run.state.epoch - 1)
    run.board.close()
    strip_checkpoint(run.weights("last"))  # at the very end: until then the run can be resumed
    weights, data = shlex.quote(str(best)), shlex.quote(run.options.data)
    LOG.info(f"Results saved to {run.folder}. What to run next:")
    LOG.info(f"  python detect.py --weights {weights} --imgsz {run.image_size} --source data/images")
    LOG.info(f"  python val.py --weights {weights} --imgsz {run.image_size} --data {data}")
    LOG.info(f"  python export.py --weights {weights} --imgsz {run.image_size} --include onnx torchscript")
    LOG.info(f"  tensorboard --logdir {shlex.quote(str(run.folder.parent))}")


def _weigh_images(run: Run) -> None:
    """Draw images by their objects' classes: rare ones, and ones that validate badly, more often."""
    labels, nc = run.train_loader.dataset.labels, run.model.nc
    scores = np.array(run.state.class_map or [0.0] * nc)
    run.train_loader.set_image_weights(image_weights(labels, class_weights(labels, nc) * (1 - scores) ** 2))


def _plot_batch(run: Run, batch: Batch, step: int) -> None:
    if step < PLOTTED_BATCHES and not run.options.noplots:
        titles = [path.name for path in batch.paths]
        path, names = run.folder / f"train_batch{step}.jpg", run.model.names
        save_targets(path, batch.images, batch.targets, titles, names, batch.regions)


def _to_device(run: Run, batch: Batch, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images (B, 3, H, W) in 0..1, targets (N, 6) and ignored regions (M, 9), where the model is."""
    images = batch.images.to(run.model.device, non_blocking=True)
    images = images.to(torch.float32, memory_format=torch.channels_last).div_(255)
    if run.options.multi_scale:
        size = random_size(run.image_size, run.stride, run.options.seed, run.state.epoch, number)
        images = resize_batch(images, size, run.stride)
    return images, *(rows.to(run.model.device, non_blocking=True) for rows in (batch.targets, batch.regions))


def _validate(run: Run, model: DetectionModel, **more: Any) -> ValidationResult:
    options = ValOptions(single_cls=run.options.single_cls, max_det=run.spec.max_det)
    return validate(model, run.val_loader, options, drop_regions=not run.spec.annotations, **more)


def _make_sinks(run: Run, weights: Path) -> list[Sink]:
    """Pictures unless they are unwanted; for COCO also its JSON file and scores, as in stock."""
    sinks: list[Sink] = [] if run.options.noplots else [PlotSink(run.folder, run.model.names)]
    if Path(run.options.data).name == "coco.yaml" and not run.options.single_cls:
        annotations = run.spec.annotations.get("val")
        annotations = annotations if annotations and annotations.is_file() else None
        sinks.append(CocoSink(run.folder, weights.stem, run.model.names, annotations))
    return sinks


def _memory(device: torch.device) -> str:
    """Memory that PyTorch holds on the GPU, as stock writes it."""
    return f"{torch.cuda.memory_reserved(device) / 1e9 if device.type == 'cuda' else 0:.3g}G"


def _say_how_to_resume(run: Run) -> None:
    last = run.weights("last")
    if last.exists():
        done = f"{run.state.epoch} of {run.options.epochs} epochs"
        LOG.info(f"\nstopped after {done}; go on with: python train.py --resume {shlex.quote(str(last))}")
    else:
        LOG.info("\nstopped; with --nosave there is nothing to resume from")


def main() -> None:
    """Read the command line and train."""
    fit(parse_options(TrainOptions, "Train a detector on a data set", declined=DECLINED))


if __name__ == "__main__":
    run_command(main)
