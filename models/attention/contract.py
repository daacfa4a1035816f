"""What every attention block of this package keeps to, and the pieces that several of them share.

A block is built as `Block(channels, c2=None, ...)` and maps (B, C, H, W) to the same shape and type, for any batch, H
and W, down to one picture and 1x1, in train and in eval mode; the input is left as it is. Parameters have the names of
the authors' code. c2 is there for the model builder and must be None or C. What cannot be built is a `UserError` that
names what would work. Inside a network all of a block's BatchNorm2d get YOLOv5's eps and momentum, like every other.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from utils.errors import UserError


def check_channels(name: str, channels: int, c2: int | None) -> None:
    """UserError unless as many channels come out as go in."""
    if c2 not in (None, channels):
        raise UserError(f"{name} keeps its {channels} channels; {c2} cannot come out")


def check_reduction(name: str, channels: int, reduction: int) -> None:
    """UserError unless C // reduction is at least one channel."""
    if not is_count(reduction) or reduction > channels:
        raise UserError(f"{name}: {channels} channels cannot be reduced {reduction} times; use 1 to {channels}")


def check_groups(name: str, channels: int, groups: int, share: int = 1) -> None:
    """UserError unless C is a multiple of `share` times the groups; it lists groups that work."""
    if not is_count(groups) or channels % (share * groups):
        fitting = [g for g in range(1, channels // share + 1) if channels % (share * g) == 0 and g <= 128]
        needed = f"{share} times its {groups} groups" if share > 1 else f"its {groups} groups"
        remedy = f"these groups work: {fitting}" if fitting else f"use a multiple of {share} channels"
        raise UserError(f"{name}: {channels} channels are not divisible by {needed}; {remedy}")


def is_count(number: object) -> bool:
    """Whether it is a whole number from 1."""
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def precise(x: Tensor) -> Tensor:
    """x in float32 if it is in half precision: for statistics."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class _OneValue:
    """A batch norm that survives one value per channel (one picture, pooled): that has no statistics of its own, so the
    running ones are taken and left as they are, as in eval mode. PyTorch's raises an error instead."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class BatchNorm1d(_OneValue, nn.BatchNorm1d):
    """nn.BatchNorm1d, also for one value per channel."""


class BatchNorm2d(_OneValue, nn.BatchNorm2d):
    """nn.BatchNorm2d, also for one value per channel."""
