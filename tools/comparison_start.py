"""Beginning a comparison or going on with one: checks, and the weights that all of its runs start with."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from models import build_model
from models.config import find_config
from models.starting import start_model
from models.transfer import transfer
from tools.comparison import Plan
from tools.training_run import MIN_STRIDE
from utils.checkpoint import save_checkpoint
from utils.errors import LOG, UserError
from utils.files import read_yaml, write_yaml
from utils.hyp import load_hyp
from utils.letterbox import check_image_size

SETTINGS = "settings.yaml"
FLAGS = {"base": "first model in --models"}  # settings that are no flag of their own


def make_plan(options: Any, names: Mapping[int, str]) -> Plan:
    """Check the command line, make or reopen the folder and write the starts. `UserError` where the folder holds a
    comparison with other settings or of models that were edited since, a model is unknown, or one lacks layers of the
    base; nothing is written then."""
    models = _find_models(options.models)
    if len(set(options.seeds)) < len(options.seeds) or min(options.seeds) < 0:
        raise UserError(f"--seeds {' '.join(map(str, options.seeds))}: are different whole numbers from 0")
    if options.epochs < 1 or options.batch_size < 1:
        raise UserError("--epochs and --batch-size: are whole numbers from 1")
    settings = {
        "base": next(iter(models)),
        "data": options.data,
        "hyp": load_hyp(options.hyp),
        "epochs": options.epochs,
        "imgsz": _image_size(options.imgsz, models),
        "batch_size": options.batch_size,
        "optimizer": options.optimizer,
        "weights": options.weights,
    }
    plan = Plan(Path(options.project) / options.name, settings, models, options.seeds, dict(names))
    _check_settings(plan)
    _check_runs(plan)
    _check_layers(plan)
    _check_weights(plan)
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


def _image_size(given: int, models: Mapping[str, Path]) -> int:
    """What all of the models can take, as train.py would round it."""
    with torch.device("meta"):
        stride = max(build_model(path).max_stride for path in models.values())
    return check_image_size(given, max(stride, MIN_STRIDE))[0]


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
            flag = FLAGS.get(key, f"--{key.replace('_', '-')}")
            raise UserError(f"{file}: was begun with another {flag}{change}; undo that or choose another --name")


def _check_runs(plan: Plan) -> None:
    """Runs that are there must be of the models and classes as they are now: the files may have been edited."""
    networks = {model: plan.build(model).yaml for model in plan.models}
    for job in plan.jobs():
        content = job.checkpoint()
        if content and (content["yaml"], content["names"]) != (networks[job.model], plan.names):
            raise UserError(
                f"{job.folder}: was begun with another {job.config} or other classes in {plan.settings['data']}; "
                "undo the change or choose another --name"
            )


def _check_weights(plan: Plan) -> None:
    """--weights must fit the base, where a start has to be made of them yet; known before anything is written."""
    if plan.settings["weights"] and not all(job.start.is_file() for job in plan.jobs()):
        start_model(plan.models[plan.base], plan.settings["weights"], plan.names)


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
