"""Which layer of a network a heatmap looks at."""

import difflib
from typing import NamedTuple

from torch import nn

from models import DetectionModel
from models.ema import EMA
from models.registry import find_block, same
from utils.errors import UserError


class Spot(NamedTuple):
    """A module and how it is called in titles: '10 EMA', '9.cv2 Conv'."""

    label: str
    module: nn.Module


def find_layer(model: DetectionModel, wanted: str) -> Spot:
    """The layer of this number in the model's own YAML, the last one of this block's word, or the module of this path.

    Examples: 9, SPPF, model.9.cv2 (or 9.cv2). `UserError` where there is none, and for the head: it gives boxes.
    """
    modules = {name: module for name, module in model.named_modules() if name not in ("", "model")}
    words = {layer.word.casefold(): f"model.{layer.index}" for layer in model.model}
    path = words.get(wanted.casefold()) or (wanted if wanted in modules else f"model.{wanted}")
    if path not in modules:
        close = difflib.get_close_matches(wanted, [*(layer.word for layer in model.model), *modules], n=3)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UserError(f"has no layer {wanted!r}; {hint}{_listed(model)}")
    if modules[path] is model.head:
        raise UserError(f"layer {wanted} gives boxes, not maps; {_listed(model)}")
    return _spot(path, modules[path])


def default_layer(model: DetectionModel) -> Spot:
    """The last attention block (a word of the rule *same*) or, without one, the last layer of the backbone."""
    attention = [layer for layer in model.model if find_block(layer.word).rule is same]
    layer = attention[-1] if attention else model.model[len(model.yaml["backbone"]) - 1]
    return _spot(f"model.{layer.index}", layer)


def ema_blocks(model: DetectionModel, wanted: str = "") -> list[Spot]:
    """All EMA blocks, or those of the layer `wanted`; `UserError` where there is none."""
    parts = [find_layer(model, wanted).module] if wanted else [model]
    inside = {id(module) for part in parts for module in part.modules() if isinstance(module, EMA)}
    found = [_spot(name, module) for name, module in model.named_modules() if id(module) in inside]
    if not found and wanted:
        raise UserError(f"layer {wanted} has no EMA gates; leave --layer out to see all EMA blocks")
    if not found:
        raise UserError(
            "has no EMA block and so no gates; use --method gradcam, or train a model with EMA (python -m tools.insert)"
        )
    return found


def _spot(path: str, module: nn.Module) -> Spot:
    return Spot(f"{path.removeprefix('model.')} {getattr(module, 'word', type(module).__name__)}", module)


def _listed(model: DetectionModel) -> str:
    layers = ", ".join(f"{layer.index} {layer.word}" for layer in model.model[:-1])
    return f"its layers are {layers}, and modules inside them have paths such as {_example(model)}"


def _example(model: DetectionModel) -> str:
    return next((name for name, _ in model.named_modules() if name.count(".") == 2), "model.0")
