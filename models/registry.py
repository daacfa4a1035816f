"""The table of blocks: a word in a model YAML -> a class and the rule for its channels.

A rule turns one YAML layer into constructor arguments, output channels and how often the block is still to be repeated.
There are five: *scaled* (Conv), *repeated* (C3), *same* (attention, pooling), *joined* (Concat) and *head* (Detect);
the two that move pixels into channels (Contract, Expand) bring their own.
"""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import nn

from utils.errors import UserError


class Plan(NamedTuple):
    """What a rule decides: arguments of the constructor, output channels, number of blocks in a row."""

    args: list[Any]
    channels: int
    repeats: int


@dataclass(frozen=True)
class Scale:
    """How a model's size is derived from its YAML."""

    depth: float
    width: float
    divisor: int

    def channels(self, count: float) -> int:
        """Channels scaled by the width and rounded up to a multiple of the divisor."""
        return math.ceil(count * self.width / self.divisor) * self.divisor

    def repeats(self, count: int) -> int:
        """Repeats scaled by the depth; a single block stays single."""
        return max(round(count * self.depth), 1) if count > 1 else count


# rule(channels of each input, arguments from the YAML, scaled repeats, scale) -> Plan
Rule = Callable[[list[int], list[Any], int, Scale], Plan]


class Block(NamedTuple):
    """One entry of the table."""

    cls: type[nn.Module]
    rule: Rule


BLOCKS: dict[str, Block] = {}


def register(rule: Rule, *words: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Class decorator: enter a block under `words` (its own name if none is given). A word can be taken only once."""

    def enter(cls: type[nn.Module]) -> type[nn.Module]:
        for word in words or (cls.__name__,):
            if word in BLOCKS:
                raise ValueError(f"block {word!r} is registered twice: {BLOCKS[word].cls} and {cls}")
            BLOCKS[word] = Block(cls, rule)
        return cls

    return enter


def find_block(word: Any) -> Block:
    """Return the entry for a YAML word; an unknown one is a `UserError` with close matches and all known words."""
    if isinstance(word, str) and word in BLOCKS:
        return BLOCKS[word]
    close = difflib.get_close_matches(str(word), BLOCKS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise UserError(f"unknown block {word!r}; {hint}known are {', '.join(sorted(BLOCKS))}")


def scaled(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """[c2, ...] -> cls(c1, c2 scaled, ...), repeated side by side in a Sequential."""
    channels = scale.channels(_channel_argument(args))
    return Plan([_single(inputs), channels, *args[1:]], channels, repeats)


def repeated(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """[c2, ...] -> cls(c1, c2 scaled, n, ...): the block repeats its own inside."""
    channels = scale.channels(_channel_argument(args))
    return Plan([_single(inputs), channels, repeats, *args[1:]], channels, 1)


def same(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """[] or [channels, ...] -> cls(c1, c1, ...): as many channels out as in; stated ones are scaled and checked."""
    channels = _single(inputs)
    if args and scale.channels(_channel_argument(args)) != channels:
        stated = scale.channels(args[0])
        raise UserError(f"channels {args[0]} (scaled: {stated}) differ from its input's {channels}; leave them out: []")
    return Plan([channels, channels, *args[1:]], channels, repeats)


def plain(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """The *same* rule for blocks that are not told their channels: cls(*args)."""
    return Plan(args, _single(inputs), repeats)


def normalised(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """The *same* rule for norm layers: cls(c1)."""
    channels = _single(inputs)
    return Plan([channels], channels, repeats)


def joined(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """Several inputs side by side: the sum of their channels."""
    if len(inputs) < 2:
        raise UserError("joins two maps or more, but reads one; list the layers, as in [[-1, 6], 1, Concat, [1]]")
    return Plan(args, sum(inputs), repeats)


def head(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """[nc, anchors] -> cls(nc, anchors, channels of each level)."""
    if len(args) < 2:
        raise UserError(f"arguments are {args}; [nc, anchors] are expected")
    return Plan([args[0], args[1], inputs], 0, 1)


def contracted(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """Pixels into channels: c1 x gain^2."""
    return Plan(args, _single(inputs) * args[0] ** 2, repeats)


def expanded(inputs: list[int], args: list[Any], repeats: int, scale: Scale) -> Plan:
    """Channels into pixels: c1 / gain^2."""
    return Plan(args, _single(inputs) // args[0] ** 2, repeats)


def _single(inputs: list[int]) -> int:
    if len(inputs) != 1:
        raise UserError(f"takes one input, not {len(inputs)}")
    return inputs[0]


def _channel_argument(args: list[Any]) -> int:
    if not args or isinstance(args[0], bool) or not isinstance(args[0], int) or args[0] < 1:
        raise UserError(f"arguments are {args}; the first must be its number of channels")
    return args[0]
