"""Weights from one layer list into another: layers that only one of the two has are passed over.

State-dict names carry absolute layer numbers (`model.9.cv1.conv.weight`), so one inserted layer shifts all that follow.
Here the two lists are aligned first (the longest common subsequence of the modules' words; of several, the one in which
most tensors agree in name and shape), then tensors move by that alignment. Shapes come second: a smaller model has
the shapes of a larger one in earlier layers, where its weights would mean something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import UserError

PAIR = 10**6  # more than any model has tensors
Shapes = dict[str, torch.Size]  # a layer's tensors, named without `model.INDEX.`


@dataclass(frozen=True)
class TransferReport:
    """Names of tensors. loaded: of the model, taken from the file; new: of the model, left as they were; skipped: of
    the file, without a place in the model. Anchors count in none of them unless they were asked for."""

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    skipped: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.new)
        text = f"{len(self.loaded)} of {total} tensors loaded"
        text += f", {len(self.new)} new ({_layers(self.new)})" if self.new else ""
        return text + (
            f", {len(self.skipped)} of the file's not used ({_layers(self.skipped)})" if self.skipped else ""
        )


def transfer(
    state_dict: Mapping[str, Tensor],
    source_yaml: Mapping[str, Any],
    model: nn.Module,
    allow_partial: bool = False,
    anchors: bool = False,
) -> TransferReport:
    """Load into `model` (with its `.yaml`) every tensor of `state_dict` whose layer and shape it has, in place.

    A convolution's or norm's tensors come together or not at all: a bias means nothing beside other weights.
    anchors: also take the head's anchors. Left out by default: a model YAML that is given brings its own.
    Raises UserError, the model unchanged, where less than half of the model's tensors would be loaded, unless
    `allow_partial`.
    """
    source = _wanted(state_dict, anchors)
    target = _wanted(model.state_dict(), anchors)
    new_index = dict(align(layer_words(source_yaml), _by_layer(source), layer_words(model.yaml), _by_layer(target)))
    moved = {_renamed(name, new_index): name for name in source}
    unfit = {_owner(name) for name in target if name not in moved or source[moved[name]].shape != target[name].shape}
    loaded = {name: source[moved[name]] for name in target if _owner(name) not in unfit}
    used = {moved[name] for name in loaded}
    report = TransferReport(
        tuple(loaded), tuple(name for name in target if name not in loaded), tuple(n for n in source if n not in used)
    )
    if 2 * len(loaded) < len(target) and not allow_partial:
        raise UserError(
            f"only {len(loaded)} of the model's {len(target)} tensors find their like among the {len(source)} of the "
            "weights; give weights of the same size and kind, or --allow-partial to start with these alone"
        )
    model.load_state_dict(loaded, strict=False)
    return report


def layer_words(yaml: Mapping[str, Any]) -> list[str]:
    """The module word of each layer of a model YAML, in order."""
    return [str(layer[2]).removeprefix("nn.") for layer in (*yaml["backbone"], *yaml["head"])]


def align(
    source_words: list[str], source: dict[int, Shapes], target_words: list[str], target: dict[int, Shapes]
) -> list[tuple[int, int]]:
    """Pairs (source layer, target layer), rising in both, of the best alignment.

    Only layers of one word pair up, as many as can. Between equally many, the pairs with more tensors of like name and
    shape win, so that of several layers of one word the like ones find each other.
    """
    rows, columns = len(source_words), len(target_words)
    gains = [
        [
            _gain(source.get(i, {}), target.get(j, {})) if source_words[i] == target_words[j] else 0
            for j in range(columns)
        ]
        for i in range(rows)
    ]
    best = [[0] * (columns + 1) for _ in range(rows + 1)]  # best[i][j]: from layers i and j to the ends
    for i in reversed(range(rows)):
        for j in reversed(range(columns)):
            paired = gains[i][j] + best[i + 1][j + 1] if gains[i][j] else 0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < rows and j < columns:
        if gains[i][j] and best[i][j] == gains[i][j] + best[i + 1][j + 1]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            i += 1
    return pairs


def _gain(source: Shapes, target: Shapes) -> int:
    return PAIR + sum(target.get(name) == shape for name, shape in source.items())


def _wanted(state_dict: Mapping[str, Tensor], anchors: bool) -> dict[str, Tensor]:
    return {name: value for name, value in state_dict.items() if anchors or not name.endswith(".anchors")}


def _by_layer(state_dict: Mapping[str, Tensor]) -> dict[int, Shapes]:
    layers: dict[int, Shapes] = {}
    for name, value in state_dict.items():
        index, rest = _split(name)
        layers.setdefault(index, {})[rest] = value.shape
    return layers


def _renamed(name: str, new_index: Mapping[int, int]) -> str | None:
    """The tensor's name in the model, None where its layer is not there."""
    index, rest = _split(name)
    return f"model.{new_index[index]}.{rest}" if index in new_index else None


def _split(name: str) -> tuple[int, str]:
    """'model.9.cv1.conv.weight' -> (9, 'cv1.conv.weight')."""
    parts = name.split(".", 2)
    if len(parts) != 3 or parts[0] != "model" or not parts[1].isdecimal():
        raise UserError(f"the weights hold a tensor {name!r}; names such as model.0.conv.weight are expected")
    return int(parts[1]), parts[2]


def _owner(name: str) -> str:
    """The module that a tensor belongs to: 'model.0.bn' of 'model.0.bn.weight'."""
    return name.rpartition(".")[0]


def _layers(names: tuple[str, ...]) -> str:
    """'layers 9, 24'."""
    indices = sorted({_split(name)[0] for name in names})
    return f"layer{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"
