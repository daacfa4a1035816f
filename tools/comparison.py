"""What a comparison consists of: its settings, its runs, and the weights that they start with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from models import DetectionModel, build_model
from models.config import find_config
from models.starting import start_model
from models.transfer import transfer
from utils.checkpoint import read_checkpoint, save_checkpoint
from utils.errors import LOG, UserError
from utils.files import read_yaml, write_text, write_yaml
from utils.hyp import load_hyp

SETTINGS = "settings.yaml"


@dataclass(frozen=True)
class Job:
    """One training run of a comparison."""

    model: str
    config: Path
    seed: int
    folder: Path
    start: Path

    @property
    def name(self) -> str:
        """As the run's folder is called."""
        return self.folder.name

    @property
    def last(self) -> Path:
        """The run's newest checkpoint."""
        return self.folder / "weights" / "last.pt"

    def epochs_done(self) -> int:
        """Epochs of which results.csv has a row."""
        return len(_lines(self.folder / "results.csv")[1:])

    def is_finished(self) -> bool:
        """Whether training has ended: then the checkpoint's training state has been stripped."""
        return self.last.is_file() and read_checkpoint(self.last)["training"] is None

    def scores(self) -> tuple[float, float]:
        """mAP50 and mAP50-95 of the averaged weights after the last epoch; nothing is selected on the way."""
        header, *_, last = (line.split(",") for line in _lines(self.folder / "results.csv"))
        values = {name.strip(): float(cell) for name, cell in zip(header, last)}
        return values["metrics/mAP_0.5"], values["metrics/mAP_0.5:0.95"]

    def note(self) -> dict[str, Any]:
        """{'seconds': spent on it so far, 'failure': why it stopped, or None}."""
        file = self.folder / "run.json"
        return json.loads(file.read_text()) if file.is_file() else {"seconds": 0.0, "failure": None}

    def add_note(self, seconds: float, failure: str | None) -> None:
        """Add to the seconds and remember how it ended."""
        content = {"seconds": self.note()["seconds"] + seconds, "failure": failure}
        write_text(self.folder / "run.json", json.dumps(content) + "\n")


@dataclass(frozen=True)
class Plan:
    """A comparison: `models` in the order of the command line, the base first, by name; `settings` = what every run
    shares and no continuation may change."""

    folder: Path
    settings: dict[str, Any]
    models: dict[str, Path]
    seeds: tuple[int, ...]
    names: dict[int, str]

    @property
    def base(self) -> str:
        """The model that the others are compared with."""
        return next(iter(self.models))

    @property
    def epochs(self) -> int:
        """Of each run."""
        return self.settings["epochs"]

    def job(self, model: str, seed: int) -> Job:
        """One of the runs."""
        start = self.folder / "starts" / f"{self.base}-seed{seed}.pt"
        return Job(model, self.models[model], seed, self.folder / f"{model}-seed{seed}", start)

    def jobs(self) -> list[Job]:
        """All runs, seed by seed, so that a comparison that is stopped early has whole seeds."""
        return [self.job(model, seed) for seed in self.seeds for model in self.models]

    def build(self, model: str) -> DetectionModel:
        """The network of a model, for the data's classes."""
        return build_model(self.models[model], nc=len(self.names), names=self.names)


def make_plan(options: Any, names: Mapping[int, str]) -> Plan:
    """Check the command line, make or reopen the folder and write the starts. `UserError` where the folder holds a
    comparison with other settings, a model is unknown, or one lacks layers of the base."""
    models = _find_models(options.models)
    if len(set(options.seeds)) < len(options.seeds) or min(options.seeds) < 0:
        raise UserError(f"--seeds {' '.join(map(str, options.seeds))}: are different whole numbers from 0")
    if options.epochs < 1 or options.batch_size < 1 or options.imgsz < 1:
        raise UserError("--epochs, --batch-size and --imgsz: are whole numbers from 1")
    settings = {
        "base": next(iter(models)),
        "data": options.data,
        "hyp": load_hyp(options.hyp),
        "epochs": options.epochs,
        "imgsz": options.imgsz,
        "batch_size": options.batch_size,
        "optimizer": options.optimizer,
        "weights": options.weights,
    }
    plan = Plan(Path(options.project) / options.name, settings, models, options.seeds, dict(names))
    _check_settings(plan)
    _check_layers(plan)
    write_yaml(plan.folder / SETTINGS, settings)
    write_yaml(plan.folder / "hyp.yaml", settings["hyp"])
    for seed in plan.seeds:
        _write_start(plan, plan.job(plan.base, seed).start, seed)
    if len(plan.seeds) < 3:
        LOG.info(f"{len(plan.seeds)} seeds: too few for a comparison; its differences are mostly chance")
    return plan


def _find_models(given: tuple[str, ...]) -> dict[str, Path]:
    if len(given) < 2:
        raise UserError("--models: names a base and at least one model more, e.g. --models yolov5n yolov5n-ema")
    paths = [find_config(model if model.endswith((".yaml", ".yml")) else f"{model}.yaml") for model in given]
    models = {path.stem: path for path in paths}
    if len(models) < len(paths):
        raise UserError(f"--models {' '.join(given)}: two of them have the same name; name each once")
    return models


def _check_settings(plan: Plan) -> None:
    file = plan.folder / SETTINGS
    if not file.is_file():
        if plan.folder.is_dir() and any(plan.folder.iterdir()):
            raise UserError(f"{plan.folder}: is there and holds no comparison; choose another --name")
        return
    earlier = read_yaml(file)
    for key, value in plan.settings.items():
        if earlier.get(key) != value:
            change = "" if key == "hyp" else f", {earlier.get(key)!r} and not {value!r}"
            flag = f"--{key.replace('_', '-')}"
            raise UserError(f"{file}: was begun with another {flag}{change}; undo that or choose another --name")


def _check_layers(plan: Plan) -> None:
    """Every model must hold the base's layers: else they could not start alike."""
    base = plan.build(plan.base)
    state = base.state_dict()
    for model, path in plan.models.items():
        report = transfer(state, base.yaml, plan.build(model), allow_partial=True)
        if report.skipped:
            raise UserError(
                f"{path}: lacks layers of the base {plan.base} ({report}), so the two cannot start alike; compare "
                "models that are the base with insertions (python -m tools.insert makes them)"
            )


def _write_start(plan: Plan, path: Path, seed: int) -> None:
    if path.is_file():
        return
    torch.manual_seed(seed)
    model = start_model(plan.models[plan.base], plan.settings["weights"], plan.names)
    content = {"yaml": model.yaml, "names": model.names, "state_dict": dict(model.state_dict()), "dtype": "float32"}
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    save_checkpoint(path, content | {"epoch": -1, "best_fitness": 0.0, "date": date, "training": None})


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else [""]
