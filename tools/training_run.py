"""Setting up what train.py loops over: a new run from its options, or a stopped one from its checkpoint."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.loader import Loader, LoaderOptions, build_loader
from data.prepare import ensure_data
from data.spec import DatasetSpec, load_spec
from models import DetectionModel, build_model
from models.loss import DetectionLoss
from models.numbering import stock_numbers
from models.starting import start_model
from models.summary import layer_table
from utils.anchors import object_sizes
from utils.autoanchor import adapt_anchors
from utils.autobatch import choose_batch_size
from utils.checkpoint import read_checkpoint, save_checkpoint
from utils.device import select_device
from utils.errors import LOG, UserError
from utils.files import write_yaml
from utils.hyp import check_hyp, load_hyp
from utils.learner import Learner, autocast_dtype
from utils.letterbox import check_image_size
from utils.optim import build_optimizer, describe_groups, freeze_layers
from utils.plain import from_plain
from utils.plot_labels import plot_labels
from utils.report import TensorBoard, write_results
from utils.runs import make_run_folder
from utils.schedules import Schedule
from utils.train_options import TrainOptions, find_run, frozen_prefixes, options_from_dict, options_to_dict, run_name
from utils.trainstate import TrainState

MIN_STRIDE = 32
TRAINING_KEYS = {"state", "learner", "options", "hyp"}


@dataclass
class Run:
    """The parts of one training run. `state` and what `learner` holds change; a checkpoint has both."""

    options: TrainOptions
    hyp: Mapping[str, float]
    spec: DatasetSpec
    folder: Path
    image_size: int
    learner: Learner
    loss: DetectionLoss
    schedule: Schedule
    train_loader: Loader
    val_loader: Loader
    state: TrainState
    board: TensorBoard

    @property
    def model(self) -> DetectionModel:
        """The network that is trained; the averaged one is `learner.average.model`."""
        return self.learner.model

    @property
    def stride(self) -> int:
        """What image sides are multiples of."""
        return max(self.model.max_stride, MIN_STRIDE)

    @property
    def ended(self) -> bool:
        """Whether no epoch is left to train. Without validation nobody can tell that progress has stopped."""
        patience = 0 if self.options.noval else self.options.patience
        return self.state.epoch >= self.options.epochs or self.state.is_stale(patience)

    def weights(self, name: str) -> Path:
        """Where a checkpoint of this run lies: last, best or epochN."""
        return self.folder / "weights" / f"{name}.pt"

    def save(self, *names: str) -> None:
        """Write the run as it stands into these checkpoints, in this order."""
        content = self.pack()
        for name in names:
            save_checkpoint(self.weights(name), content)

    def pack(self) -> dict[str, Any]:
        """A checkpoint's content: the averaged weights, and under 'training' all that resuming needs."""
        training = {
            "state": self.state.pack(),
            "learner": self.learner.pack(),
            "options": options_to_dict(self.options),
            "hyp": dict(self.hyp),
        }
        return {
            "yaml": self.model.yaml,
            "names": self.model.names,
            "state_dict": dict(self.learner.average.model.state_dict()),
            "dtype": str(self.learner.dtype).removeprefix("torch."),
            "epoch": self.state.epoch - 1,
            "best_fitness": self.state.best_fitness,
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "training": training,
        }


def start_run(options: TrainOptions) -> Run:
    """A new run: its model, its data, its folder, which is made when all that was given has been checked."""
    device, hyp, spec = select_device(options.device), load_hyp(options.hyp), load_spec(options.data)
    names = {0: "item"} if options.single_cls and spec.nc > 1 else spec.names
    name = run_name(options)
    torch.manual_seed(options.seed)
    model = start_model(options.cfg, options.weights, names, hyp["anchors"], options.allow_partial)
    LOG.info(layer_table(model, check_image_size(options.imgsz, max(model.max_stride, MIN_STRIDE))[0]))
    ensure_data(spec, ("train", "val"))
    run = _assemble(
        options, hyp, spec, model.to(device), lambda: make_run_folder(options.project, name, options.exist_ok)
    )
    for earlier in ("best", "last"):  # with --exist-ok there may be such files of another run
        run.weights(earlier).unlink(missing_ok=True)
    write_yaml(run.folder / "opt.yaml", options_to_dict(run.options))
    write_yaml(run.folder / "hyp.yaml", dict(hyp))
    if not options.nosave:
        run.save("last")  # so that the first epoch can be resumed, too
    if not options.noplots:
        plot_labels(np.concatenate(run.train_loader.dataset.labels), names, run.folder)
        run.board.add_graph(run.learner.average.model, torch.zeros(1, 3, run.stride, run.stride, device=device))
    return run


def reopen_run(options: TrainOptions) -> Run:
    """The run that --resume means, as its checkpoint left it; of the other flags only --device counts."""
    path, folder = find_run(options.resume or "")
    content = read_checkpoint(path)
    training = content["training"]
    if training is None:
        done = content["epoch"] + 1
        raise UserError(f"--resume {path}: the run is finished ({done} epochs); start a new one with --weights {path}")
    if not isinstance(training, dict) or set(training) != TRAINING_KEYS:
        raise UserError(f"--resume {path}: lacks a part of the training state; start a new run with --weights {path}")
    saved = options_from_dict(training["options"], f"--resume {path}")
    saved = replace(saved, device=options.device or saved.device)
    state, hyp = from_plain(TrainState, training["state"], f"--resume {path}"), check_hyp(training["hyp"], str(path))
    device, spec = select_device(saved.device), load_spec(saved.data)
    ensure_data(spec, ("train", "val"))
    with _as_written(path):
        model = build_model(content["yaml"], ch=content["yaml"].get("ch", 3), names=content["names"]).to(device)
    if model.nc != spec.nc and not saved.single_cls:
        raise UserError(f"{spec.yaml_file}: names {spec.nc} classes, but {path} was begun with {model.nc}; undo that")
    run = _assemble(saved, hyp, spec, model, lambda: folder, state)
    with _as_written(path):
        run.learner.restore(training["learner"], content["state_dict"])
        write_results(folder / "results.csv", state.history)  # an epoch that did not reach the checkpoint is undone
    for half_written in (*folder.glob(".results.*.csv"), *(folder / "weights").glob(".*.pt")):
        half_written.unlink()
    LOG.info(f"{path}: going on after {run.state.epoch} of {saved.epochs} epochs, with the options of the start")
    return run


@contextmanager
def _as_written(path: Path) -> Iterator[None]:
    """Parts of a checkpoint that do not fit each other, since somebody changed them, are a `UserError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise UserError(
            f"--resume {path}: was changed since it was written, its parts do not fit ({reason}); take another "
            "checkpoint, or start a new run"
        ) from None


def _assemble(
    options: TrainOptions,
    hyp: Mapping[str, float],
    spec: DatasetSpec,
    model: DetectionModel,
    make_folder: Callable[[], Path],
    state: TrainState | None = None,
) -> Run:
    """Everything around a model. `state` is that of a resumed run, whose anchors are not touched."""
    model = model.to(memory_format=torch.channels_last)  # a sixth faster, also on the CPU
    stride = max(model.max_stride, MIN_STRIDE)
    size = check_image_size(options.imgsz, stride)[0]
    frozen = freeze_layers(model, frozen_prefixes(options.freeze, stock_numbers(model.yaml)))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"--freeze {' '.join(map(str, options.freeze))}: leaves no layer to train; freeze fewer")
    if options.batch_size == -1:
        options = replace(options, batch_size=choose_batch_size(model, size, autocast_dtype(model.device)))
    train_loader, val_loader = _build_loaders(options, hyp, spec, size, stride)
    if state is None and not options.noautoanchor:
        data = train_loader.dataset
        sizes = object_sizes(data.shapes, data.labels, size, np.random.default_rng(options.seed))
        adapt_anchors(model.head, sizes, hyp["anchor_t"], options.seed)
    schedule = Schedule.from_hyp(hyp, options.epochs, len(train_loader), options.batch_size, options.cos_lr)
    decay = hyp["weight_decay"] * schedule.decay_scale()
    learner = Learner.start(model, build_optimizer(model, options.optimizer, hyp["lr0"], hyp["momentum"], decay))
    folder = make_folder()
    LOG.info(describe_groups(learner.optimizer) + (f", {frozen} of them frozen" if frozen else ""))
    LOG.info(f"images of {size}, {len(train_loader.dataset)} for training, {len(val_loader.dataset)} for validation")
    return Run(
        options=options,
        hyp=hyp,
        spec=spec,
        folder=folder,
        image_size=size,
        learner=learner,
        loss=DetectionLoss(model, hyp, size, options.label_smoothing),
        schedule=schedule,
        train_loader=train_loader,
        val_loader=val_loader,
        state=state or TrainState(),
        board=TensorBoard(folder, first_epoch=state.epoch if state else 0),
    )


def _build_loaders(
    options: TrainOptions, hyp: Mapping[str, float], spec: DatasetSpec, size: int, stride: int
) -> tuple[Loader, Loader]:
    common = LoaderOptions(
        image_size=size,
        batch_size=options.batch_size,
        stride=stride,
        workers=options.workers,
        seed=options.seed,
        single_cls=options.single_cls,
    )
    caches = {None: (None, None), "ram": ("ram", "ram"), "disk": ("disk", "disk"), "val": (None, "ram")}
    train_cache, val_cache = caches[options.cache]
    train = replace(common, train=True, hyp=hyp, rect=options.rect, cache=train_cache)
    val = replace(common, batch_size=2 * options.batch_size, rect=True, cache=None if options.noval else val_cache)
    return build_loader(spec, "train", train), build_loader(spec, "val", val)
