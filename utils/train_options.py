"""The flags of train.py, with stock YOLOv5's names and defaults, and how a run's options are kept and read again."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.optim import OPTIMIZERS
from utils.options import option
from utils.plain import from_plain

_NO_EVOLUTION = "hyper-parameter evolution is not offered; edit a copy of a file in data/hyps/ and give it as --hyp"
_NO_LOGGER = "belongs to an online logger, which is not offered; results.csv and TensorBoard events are written"
DECLINED = {
    "--evolve": _NO_EVOLUTION,
    "--evolve_population": _NO_EVOLUTION,
    "--resume_evolve": _NO_EVOLUTION,
    "--bucket": "uploads are not offered; copy the run folder with a tool of your choice",
    "--quad": "the four-image collate is not offered; use --multi-scale or a larger --imgsz",
    "--entity": _NO_LOGGER,
    "--upload_dataset": _NO_LOGGER,
    "--bbox_interval": _NO_LOGGER,
    "--artifact_alias": _NO_LOGGER,
    "--sync-bn": "comes later, with several GPUs; leave it out on one",
    "--local-rank": "comes later, with several GPUs; start python train.py without a launcher",
    "--local_rank": "comes later, with several GPUs; start python train.py without a launcher",
}


@dataclass(frozen=True)
class TrainOptions:
    """What a training run is asked to do; `resume` is None (a new run), '' (the newest run) or a checkpoint's path."""

    weights: str | None = option(
        None, "start from these weights ('' = from scratch); not given: from scratch with --cfg, else yolov5s.pt"
    )
    cfg: str = option("", "model YAML, a path or a name in models/")
    data: str = option("data/coco128.yaml", "data set YAML, a path or a name in data/")
    hyp: str = option("data/hyps/hyp.scratch-low.yaml", "hyper-parameter YAML, a path or a name in data/hyps/")
    epochs: int = option(100, "number of epochs")
    batch_size: int = option(16, "images per batch; -1 = as many as the GPU's memory holds")
    imgsz: int = option(640, "image size in pixels", flags=("--img", "--img-size"))
    rect: bool = option(False, "rectangular batches, in a fixed order")
    resume: str | None = option(None, "go on with a run: its last.pt; bare = the newest", nargs="?", const="")
    nosave: bool = option(False, "save only the last epoch's checkpoint")
    noval: bool = option(False, "validate only after the last epoch")
    noautoanchor: bool = option(False, "keep the anchors as they are")
    noplots: bool = option(False, "write no pictures")
    cache: str | None = option(
        None, "keep decoded images in memory or on disk", nargs="?", const="ram", choices=("ram", "disk", "val")
    )
    image_weights: bool = option(False, "draw images by the classes that validate badly")
    device: str = option("", "cpu, mps or a GPU's number; not given: the first GPU, else the CPU")
    multi_scale: bool = option(False, "vary the image size by +/-50 percent")
    single_cls: bool = option(False, "treat all classes as one")
    optimizer: str = option("SGD", "optimizer", choices=OPTIMIZERS)
    workers: int = option(8, "loader processes, at most one per CPU core")
    project: str = option("runs/train", "folder that collects runs")
    name: str = option("exp", "the run's folder in --project; 'cfg' = named as the model YAML")
    exist_ok: bool = option(False, "write into the folder even if it is there")
    cos_lr: bool = option(False, "lower the learning rate along a cosine")
    label_smoothing: float = option(0.0, "label smoothing, from 0 to 1")
    patience: int = option(100, "stop after this many epochs without a better fitness; 0 = never")
    freeze: tuple[int, ...] = option((0,), "layers that are not trained: one number N = the first N, several = those")
    save_period: int = option(-1, "also keep epochN.pt every so many epochs")
    seed: int = option(0, "seed of everything that is random")
    allow_partial: bool = option(False, "accept --weights of which less than half fits the model")


def check_options(options: TrainOptions) -> None:
    """Raise `UserError` for a value that no run could use, and under a launcher of several processes."""
    if os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1"):
        raise UserError("torchrun: training on several GPUs comes in a later version; start python train.py directly")
    checks = [
        ("--epochs", options.epochs, options.epochs >= 1, "a whole number from 1"),
        ("--batch-size", options.batch_size, options.batch_size == -1 or options.batch_size >= 1, "-1 or 1 and more"),
        ("--imgsz", options.imgsz, options.imgsz >= 1, "a number of pixels"),
        ("--workers", options.workers, options.workers >= 0, "0 or more"),
        ("--label-smoothing", options.label_smoothing, 0 <= options.label_smoothing <= 1, "a number from 0 to 1"),
        ("--patience", options.patience, options.patience >= 0, "0 or more"),
        ("--freeze", list(options.freeze), min(options.freeze, default=0) >= 0, "layer numbers from 0"),
        ("--seed", options.seed, options.seed >= 0, "0 or more"),
        ("--optimizer", options.optimizer, options.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
    ]
    for flag, value, fine, expected in checks:
        if not fine:
            raise UserError(f"{flag} {value}: is not usable; {expected} is expected")


def run_name(options: TrainOptions) -> str:
    """The run folder's name: --name, or the model YAML's stem where that is 'cfg'."""
    if options.name != "cfg":
        return options.name
    if not options.cfg:
        raise UserError("--name cfg: names the run as the model YAML; give one, e.g. --cfg yolov5n-ema.yaml")
    return Path(options.cfg).stem


def frozen_prefixes(freeze: tuple[int, ...], numbers: Sequence[int | None]) -> tuple[str, ...]:
    """State-dict prefixes of the layers that --freeze names: one number N = layers 0 to N-1, several = those.

    numbers: the stock number of each of the model's layers, None for an inserted one, which stays trainable. So
    `--freeze 10` means the same blocks with and without attention between them.
    """
    named = set(freeze if len(freeze) > 1 else range(freeze[0] if freeze else 0))
    return tuple(f"model.{layer}." for layer, number in enumerate(numbers) if number in named)


def options_to_dict(options: TrainOptions) -> dict[str, Any]:
    """The options as plain data, for opt.yaml and the checkpoint."""
    values = dataclasses.asdict(options)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def options_from_dict(content: Any, file: str) -> TrainOptions:
    """Read what `options_to_dict` gave. Raises `UserError` where it was changed to what no run could use; `file` is for
    its message."""
    options = from_plain(TrainOptions, content, file)
    check_options(options)
    return options


def find_run(resume: str, folder: str | Path = "runs") -> tuple[Path, Path]:
    """Return (checkpoint, run folder) that --resume means: a checkpoint in a run's weights/, the run's folder, or ('')
    the newest last.pt below `folder`."""
    if not resume:
        found = sorted(Path(folder).rglob("weights/last.pt"), key=lambda file: file.stat().st_mtime)
        if not found:
            raise UserError(f"--resume: no last.pt was found below {folder}; give the path of a run's weights/last.pt")
        return found[-1], found[-1].parent.parent
    path = Path(resume)
    if path.is_dir():
        path = path / "weights" / "last.pt"
    if not path.is_file():
        raise UserError(f"--resume {path}: no such checkpoint; give a run's weights/last.pt")
    if path.absolute().parent.name != "weights":
        raise UserError(f"--resume {path}: lies in no run folder; give RUN/weights/last.pt")
    return path, (path if len(path.parts) > 2 else path.absolute()).parent.parent
