"""Model YAMLs: finding, reading and checking them. Nothing in them is executed: words resolve from small tables."""

import ast
import copy
import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from utils.errors import UserError
from utils.files import read_yaml

FOLDER = Path(__file__).resolve().parent
WORDS = {"None": None, "True": True, "False": False}
STRINGS = ("nearest", "bilinear", "bicubic", "area", "parallel", "sequential")  # arguments that stay strings
ACTIVATIONS = ("SiLU", "ReLU", "ReLU6", "LeakyReLU", "Hardswish", "Mish", "GELU", "ELU", "SELU", "Identity")


@dataclass(frozen=True)
class Layer:
    """One line of a model YAML: where its input comes from (absolute numbers), how often, which block, with what."""

    index: int
    source: tuple[int, ...]
    repeats: int
    word: str
    args: list[Any]


@dataclass(frozen=True)
class Config:
    """A model YAML, checked. `content` is the plain mapping it came from, nc and anchors as they are used."""

    name: str
    content: dict[str, Any]
    layers: tuple[Layer, ...]

    def fail(self, layer: Layer, problem: str) -> UserError:
        """The error for a layer: names the file, the layer's number and its word."""
        return UserError(f"{self.name}, layer {layer.index} ({layer.word}): {problem}")


def find_config(name: str | Path) -> Path:
    """A path as given, or a bare file name below models/; none, or two of one name, is a `UserError`."""
    path = Path(name)
    if path.is_file():
        return path
    found = sorted(FOLDER.rglob(path.name)) if path.name == str(name) else []
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{name}: {len(found)} files have this name ({', '.join(map(str, found))}); give the path")
    known = sorted(file.name for file in FOLDER.rglob("*.yaml"))
    close = difflib.get_close_matches(path.name, known, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else "give a path"
    raise UserError(f"{name}: no such model YAML; {hint}")


def read_config(cfg: str | Path | Mapping[str, Any], nc: int | None = None) -> Config:
    """Read a model YAML (or its content as a mapping); `nc` replaces its number of classes."""
    if isinstance(cfg, Mapping):
        name, content = str(cfg.get("yaml_file", "model")), copy.deepcopy(dict(cfg))
    else:
        path = find_config(cfg)
        name, content = str(path), read_yaml(path)
    content |= {} if nc is None else {"nc": nc}
    _check_keys(name, content)
    words = WORDS | {"nc": content["nc"], "anchors": content["anchors"]} | {word: word for word in STRINGS}
    rows = [*content["backbone"], *content["head"]]
    return Config(name, content, tuple(_read_layer(name, i, row, words) for i, row in enumerate(rows)))


def read_activation(name: str, text: str) -> nn.Module:
    """'nn.LeakyReLU(0.1)' -> the module; only activations of torch.nn with numbers or truth values as arguments."""
    match = re.fullmatch(r"(?:torch\.)?(?:nn\.)?(\w+)\((.*)\)", str(text).strip())
    if not match or match.group(1) not in ACTIVATIONS:
        raise UserError(f"{name}: activation {text!r} is unknown; use one of nn.{'(), nn.'.join(ACTIVATIONS)}()")
    try:
        call = ast.parse(f"f({match.group(2)})", mode="eval").body
        args = [ast.literal_eval(arg) for arg in call.args]
        return getattr(nn, match.group(1))(*args, **{k.arg: ast.literal_eval(k.value) for k in call.keywords})
    except (SyntaxError, ValueError, TypeError) as error:
        raise UserError(f"{name}: activation {text!r} cannot be read ({error})") from None


def _check_keys(name: str, content: dict[str, Any]) -> None:
    for key in ("nc", "backbone", "head", "anchors"):
        if content.get(key) is None:
            raise UserError(f"{name}: has no {key!r}; a model YAML needs nc, anchors, backbone and head")
    for key in ("backbone", "head"):
        if not isinstance(content[key], list):
            raise UserError(f"{name}: {key!r} is not a list of layers [from, number, block, arguments]")
    for key, what in (("nc", "classes"), ("ch", "channels")):
        if type(content.get(key, 3)) is not int or content.get(key, 3) < 1:
            raise UserError(f"{name}: {key} is {content[key]!r}; a whole number of {what} from 1 is expected")
    for key in ("depth_multiple", "width_multiple"):
        if not isinstance(content.setdefault(key, 1.0), int | float) or not 0 < content[key] < math.inf:
            raise UserError(f"{name}: {key} is {content[key]!r}; a number above 0 is expected")


def _read_layer(name: str, index: int, row: Any, words: dict[str, Any]) -> Layer:
    if not isinstance(row, list) or len(row) != 4:
        raise UserError(f"{name}, layer {index}: {row!r} is not [from, number, block, arguments]")
    source, repeats, word, args = row
    where = f"{name}, layer {index} ({word})"
    if not isinstance(repeats, int) or repeats < 1:
        raise UserError(f"{where}: number is {repeats!r}; a whole number from 1 is expected")
    if not isinstance(args, list):
        raise UserError(f"{where}: arguments are {args!r}; a list is expected")
    sources = source if isinstance(source, list) else [source]
    return Layer(
        index,
        tuple(_absolute(where, index, item) for item in sources),
        repeats,
        word,
        [_resolve(where, arg, words) for arg in args],
    )


def _absolute(where: str, index: int, source: Any) -> int:
    """A layer number counted from the start; -1 of the first layer is the picture."""
    if not isinstance(source, int) or isinstance(source, bool):
        raise UserError(f"{where}: from is {source!r}; a layer number is expected")
    absolute = index + source if source < 0 else source
    if absolute >= index or absolute < -1:
        raise UserError(f"{where}: reads layer {source}, but only layers 0 to {index - 1} come before it")
    return absolute


def _resolve(where: str, arg: Any, words: dict[str, Any]) -> Any:
    if not isinstance(arg, str):
        return arg
    if arg in words:
        return words[arg]
    close = difflib.get_close_matches(arg, words, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(words)}"
    raise UserError(f"{where}: unknown word {arg!r} among its arguments; {hint}")
