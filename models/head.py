"""The detection head: feature maps -> raw maps -> boxes."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from models.registry import head, register
from utils.errors import UserError

MAX_ANCHORS = 100  # per level


@register(head)
class Detect(nn.Module):
    """One 1x1 convolution per level, `na` anchors per cell, no = 5 + nc numbers per anchor.

    `anchors` (nl, na, 2), in cells of each level once `set_strides` has run, is the only persistent buffer (as in
    released weights). anchors argument: rows of w, h, w, h, ... in pixels, one per level; or a number of anchors, for
    which placeholders stand until autoanchor replaces them.
    """

    def __init__(self, nc: int, anchors: Sequence[Sequence[float]] | int, channels: Sequence[int]):
        super().__init__()
        rows = _anchor_rows(anchors, len(channels))
        self.nc, self.no = nc, nc + 5
        self.nl, self.na = len(channels), len(rows[0]) // 2
        self.strides: tuple[int, ...] = ()
        self.register_buffer("anchors", torch.tensor(rows, dtype=torch.float32).view(self.nl, -1, 2))
        self.m = nn.ModuleList(nn.Conv2d(c, self.no * self.na, 1) for c in channels)

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """nl maps (B, c, H, W) -> nl raw maps (B, na, H, W, no)."""
        raw = []
        for convolution, x in zip(self.m, maps):
            y = convolution(x)
            b, _, h, w = y.shape
            raw.append(y.view(b, self.na, self.no, h, w).permute(0, 1, 3, 4, 2))
        return raw

    def decode(self, raw: Sequence[torch.Tensor], levels: Sequence[int] | None = None) -> torch.Tensor:
        """Raw maps -> (B, sum na*H*W, 5+nc): cx, cy, w, h in input pixels, objectness, class scores.

        levels: numbers of the maps to decode, all if None.
        At least float32: half precision would round coordinates to whole pixels. s = sigmoid: centre = (2s - 0.5 +
        cell) * stride, size = (2s)^2 * anchor.
        """
        chosen = range(self.nl) if levels is None else levels
        return torch.cat([_decode_level(raw[i], self.anchors[i] * self.strides[i], self.strides[i]) for i in chosen], 1)

    def set_strides(self, strides: Sequence[int]) -> None:
        """Fix the pixels per cell of each level, turn pixel anchors into cells and start the biases.

        Anchors are turned round if the YAML lists them from the largest level down.
        """
        self.strides = tuple(strides)
        areas = self.anchors.prod(-1).mean(-1)
        growth = float(areas[-1] - areas[0]) if not areas.is_meta else 0.0
        if growth and (growth > 0) != (strides[-1] > strides[0]):
            self.anchors.copy_(self.anchors.flip(0))
        self.anchors /= torch.tensor(strides, dtype=torch.float32, device=self.anchors.device).view(-1, 1, 1)
        self._start_biases()

    @torch.no_grad()
    def _start_biases(self) -> None:
        """About 8 objects in a 640-pixel picture, and classes at 0.6 in all (arXiv 1708.02002, section 3.3)."""
        for convolution, stride in zip(self.m, self.strides):
            bias = convolution.bias.view(self.na, -1)
            bias[:, 4] += math.log(8 / (640 / stride) ** 2)
            bias[:, 5:] += math.log(0.6 / (self.nc - 0.99999))


def _decode_level(raw: torch.Tensor, anchors: torch.Tensor, stride: int) -> torch.Tensor:
    raw = raw if raw.dtype == torch.float64 else raw.float()
    b, na, h, w, no = raw.shape
    s = raw.sigmoid()
    # 0, 1, 2, ... by counting: a traced arange would keep the device it was traced on, and exported files move.
    rows = torch.ones_like(s[:1, :1, :, :1, 0]).cumsum(2) - 1
    columns = torch.ones_like(s[:1, :1, :1, :, 0]).cumsum(3) - 1
    x = (s[..., 0] * 2 - 0.5 + columns) * stride
    y = (s[..., 1] * 2 - 0.5 + rows) * stride
    size = (s[..., 2:4] * 2) ** 2 * anchors.to(raw.dtype).view(1, na, 1, 1, 2)
    return torch.cat((x.unsqueeze(-1), y.unsqueeze(-1), size, s[..., 4:]), -1).view(b, na * h * w, no)


def _anchor_rows(anchors: Sequence[Sequence[float]] | int, levels: int) -> Sequence[Sequence[float]]:
    """The argument, checked, as a row of numbers per level."""
    if type(anchors) is int and 1 <= anchors <= MAX_ANCHORS:
        return [list(range(anchors * 2))] * levels
    rows = anchors
    if not isinstance(rows, list | tuple) or not all(isinstance(row, list | tuple) for row in rows):
        raise UserError(
            f"anchors are {rows!r}; a number from 1 to {MAX_ANCHORS} or a list of w, h pairs for each level is expected"
        )
    if len(rows) != levels:
        raise UserError(f"anchors have {len(rows)} rows, but Detect reads {levels} layers; give one row per level")
    if len({len(row) for row in rows}) != 1 or len(rows[0]) % 2 or not rows[0]:
        raise UserError("anchors need the same number of w, h pairs in each row")
    wrong = [value for row in rows for value in row if not isinstance(value, int | float) or not 0 < value < math.inf]
    if wrong:
        raise UserError(f"anchors hold {wrong[0]!r}; widths and heights in pixels above 0 are expected")
    return rows
