"""EMA: Efficient Multi-scale Attention with cross-spatial learning.

Ouyang et al., ICASSP 2023 (arXiv 2305.13563). Parameter names are the authors'. Where the released module pools
adaptively, means over an axis are taken: the same numbers, but deterministic on a GPU and exportable at any size.
"""

import torch
from torch import nn

from utils.errors import UserError


class EMA(nn.Module):
    """Attention over `factor` groups of channels: (B, C, H, W) -> the same shape, any H and W.

    channels: C, a multiple of `factor`, otherwise a `UserError` that lists factors that work. c2 is there for the model
    builder and must be C or None. 10 n^2 + 4 n parameters with n = C / factor; train and eval mode agree.
    """

    def __init__(self, channels: int, c2: int | None = None, factor: int = 32):
        super().__init__()
        _check(channels, c2, factor)
        self.groups = factor
        n = channels // factor
        self.gn = nn.GroupNorm(n, n)
        self.conv1x1 = nn.Conv2d(n, n, 1)
        self.conv3x3 = nn.Conv2d(n, n, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        groups = x.reshape(b * self.groups, c // self.groups, h, w)
        gated = self.gn(groups * self._strip_gates(groups))
        local = self.conv3x3(groups)
        weights = self._cross_spatial(gated, local)
        return (groups * weights.sigmoid()).reshape(b, c, h, w)

    def _strip_gates(self, groups: torch.Tensor) -> torch.Tensor:
        """Gates from the row and column means, one shared 1x1 convolution: (B*G, n, H, W) by broadcasting."""
        h, w = groups.shape[2:]
        rows, columns = groups.mean(3, keepdim=True), groups.mean(2, keepdim=True).transpose(2, 3)
        row_gates, column_gates = self.conv1x1(torch.cat((rows, columns), 2)).sigmoid().split((h, w), 2)
        return row_gates * column_gates.transpose(2, 3)

    def _cross_spatial(self, gated: torch.Tensor, local: torch.Tensor) -> torch.Tensor:
        """Each branch's pooled channels, softmaxed, weigh the other branch's maps: (B*G, 1, H, W)."""
        from_gated = gated.mean((2, 3), keepdim=True).softmax(1)
        from_local = local.mean((2, 3), keepdim=True).softmax(1)
        return (from_gated * local).sum(1, keepdim=True) + (from_local * gated).sum(1, keepdim=True)


def _check(channels: int, c2: int | None, factor: int) -> None:
    if c2 not in (None, channels):
        raise UserError(f"EMA keeps its {channels} channels; {c2} cannot come out")
    if not isinstance(factor, int) or factor < 1 or channels % factor:
        fitting = [f for f in range(1, channels + 1) if channels % f == 0 and f <= 128]
        raise UserError(f"EMA: {channels} channels are not divisible by the factor {factor}; these work: {fitting}")
