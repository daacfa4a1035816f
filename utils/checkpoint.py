"""Checkpoints: ours hold plain data and tensors only; released YOLOv5 files are read for their weights.

Our file, version 1, is `torch.save` of a dictionary with the keys
    format "yolov5-ema"; version 1; yaml: the model's YAML with nc set; names: class index -> name;
    state_dict: the averaged weights, which inference reads (half precision once training has ended);
    dtype: the autocast type of the training run; epoch; best_fitness; date: ISO 8601;
    training: the state of the training loop as plain data and tensors, None once training has ended.
It loads with `torch.load(weights_only=True)` wherever PyTorch is.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import UserError
from utils.files import atomic_path
from utils.unpickle import Record, named_tensors, read_pickle

FORMAT = "yolov5-ema"
VERSION = 1
KEYS = ("yaml", "names", "state_dict", "dtype", "epoch", "best_fitness", "date", "training")


@dataclass(frozen=True)
class Weights:
    """What inference and transfer need of a checkpoint.

    yaml: the model's YAML with nc set; names: class index -> name, one for each class; state_dict: floating tensors
    in float32; epoch: the last epoch that was trained, None where the file does not say; source: 'yolov5-ema' (ours)
    or 'yolov5' (stock).
    """

    yaml: dict[str, Any]
    names: dict[int, str]
    state_dict: dict[str, Tensor]
    epoch: int | None
    source: str


def save_checkpoint(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write the keys named above (`format` and `version` are added) whole or not at all.

    Raises ValueError where a key is missing or unknown, or a value would need code to be read back.
    """
    if set(content) - {"format", "version"} != set(KEYS):
        raise ValueError(f"a checkpoint has the keys {', '.join(KEYS)}; given: {', '.join(content)}")
    _check_plain(content, "checkpoint")
    with atomic_path(path) as temporary:
        try:
            torch.save({"format": FORMAT, "version": VERSION, **content}, temporary)
        except RuntimeError as error:  # what PyTorch makes of a disk that is full
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: cannot be written ({reason}); is there room on the disk?") from None


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return the content of one of our checkpoints, tensors on the CPU. Any other file is a UserError in words."""
    path = Path(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises whatever a damaged file leads to
        content = read_pickle(path)  # says in words what is wrong, or reads a released file
    _check_ours(path, content)
    return content


def read_weights(path: str | Path) -> Weights:
    """Return the weights in one of our checkpoints or in a released YOLOv5 file; nothing in it is executed.

    A file of stock's holds whole modules: the averaged one ('ema') is taken where there is one, else 'model'.
    """
    path = Path(path)
    content = read_pickle(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        _check_ours(path, content)
        return _weights(path, content["yaml"], content["names"], content["state_dict"], content["epoch"], FORMAT)
    module = _stock_module(path, content)
    try:
        state = named_tensors(module)
    except ValueError as error:
        raise UserError(f"{path}: holds no YOLOv5 model ({error})") from None
    state = {name: value for name, value in state.items() if not name.endswith(".anchor_grid")}  # up to v5, unused
    epoch = content.get("epoch") if isinstance(content, dict) else None
    epoch = epoch if isinstance(epoch, int) and epoch >= 0 else None  # -1: finished
    return _weights(path, module.state.get("yaml"), module.state.get("names"), state, epoch, "yolov5")


def strip_checkpoint(path: str | Path) -> None:
    """Finish a checkpoint of ours in place: weights in half precision, the state of the training loop dropped."""
    content = read_checkpoint(path)
    content["state_dict"] = {
        name: value.half() if value.is_floating_point() else value for name, value in content["state_dict"].items()
    }
    save_checkpoint(path, content | {"training": None})


def _check_ours(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(
            f"{path}: is not a checkpoint of this project's train.py; a released YOLOv5 file can be given as --weights"
        )
    if content.get("version") != VERSION:
        raise UserError(
            f"{path}: is a checkpoint of version {content.get('version')}, this code reads version {VERSION}; "
            "use the release that wrote it"
        )
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise UserError(f"{path}: is no complete checkpoint: {', '.join(missing)} missing")
    state = content["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: 'state_dict' is not a table of tensors")


def _stock_module(path: Path, content: Any) -> Record:
    """The module to take from what stock wrote: {'ema': ..., 'model': ...}, or the module alone."""
    if isinstance(content, Record):
        return content
    if isinstance(content, dict):
        for key in ("ema", "model"):
            value = content.get(key)
            value = value[0] if isinstance(value, tuple) and value else value  # v4: (module, updates)
            if isinstance(value, Record):
                return value
        if content and all(isinstance(value, Tensor) for value in content.values()):
            raise UserError(f"{path}: is a bare state dict without a model; give the checkpoint that it came from")
    raise UserError(f"{path}: holds no YOLOv5 model; give a .pt file that YOLOv5 or train.py wrote")


def _weights(path: Path, yaml: Any, names: Any, state: Any, epoch: Any, source: str) -> Weights:
    """Check that the parts belong together and bring them into one form."""
    if not isinstance(yaml, dict) or not yaml.get("backbone") or not yaml.get("head"):
        raise UserError(f"{path}: holds no model YAML (a mapping with backbone and head) beside the weights")
    try:
        _check_plain(yaml, "yaml")
    except ValueError as error:
        raise UserError(f"{path}: the model YAML in it is not plain data ({error})") from None
    if not state:
        raise UserError(f"{path}: holds no weights")
    classes = yaml.get("nc")
    if not isinstance(classes, int) or classes < 1:
        raise UserError(f"{path}: the model YAML in it names no number of classes (nc: {classes})")
    single = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    return Weights(yaml, _checked_names(path, names, classes), single, epoch, source)


def _checked_names(path: Path, names: Any, classes: int) -> dict[int, str]:
    if names is None:
        return {index: str(index) for index in range(classes)}
    table = names if isinstance(names, dict) else dict(enumerate(names)) if isinstance(names, list | tuple) else None
    if table is None or sorted(table, key=str) != sorted(range(classes), key=str):
        raise UserError(f"{path}: its class names do not number the {classes} classes of its model from 0")
    return {index: str(table[index]) for index in range(classes)}


def _check_plain(value: Any, place: str) -> None:
    """Raise ValueError naming the first part that is not plain data (or a plain tensor)."""
    if type(value) in (dict, OrderedDict):
        for key, part in value.items():
            if type(key) not in (str, int, float, bool, type(None)):
                raise ValueError(f"{place} has a key of type {type(key).__name__}")
            _check_plain(part, f"{place}.{key}")
    elif type(value) in (list, tuple):
        for index, part in enumerate(value):
            _check_plain(part, f"{place}.{index}")
    elif type(value) not in (str, int, float, bool, bytes, type(None), Tensor):
        raise ValueError(f"{place} is a {type(value).__name__}")
