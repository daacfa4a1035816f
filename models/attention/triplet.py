"""Triplet attention: three pairs of axes, each weighed by a small convolution.

Misra et al., "Rotate to Attend: Convolutional Triplet Attention Module", WACV 2021 (arXiv 2010.03045).
For each of H, W and C: its maximum and mean give two maps over the other two axes; a 7x7 convolution, batch norm and
sigmoid make one gate of them. y = x * (gate(C, W) + gate(H, C) + gate(H, W)) / 3.
Deviations: none in the numbers; x is not rotated and copied three times, only the small pooled maps are.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from models.attention.contract import BatchNorm2d, check_channels
from models.conv import Conv


class TripletAttention(nn.Module):
    """(B, C, H, W) -> the same. 300 parameters, for any C."""

    def __init__(self, channels: int, c2: int | None = None):
        super().__init__()
        check_channels("TripletAttention", channels, c2)
        self.cw, self.hc, self.hw = _gate(), _gate(), _gate()

    def forward(self, x: Tensor) -> Tensor:
        columns = self.cw(_pool(x, 2)).transpose(1, 2)  # over (C, W), put at (B, C, 1, W)
        rows = self.hc(_pool(x, 3).transpose(2, 3)).permute(0, 3, 2, 1)  # over (H, C), put at (B, C, H, 1)
        return x * ((columns + rows + self.hw(_pool(x, 1))) / 3).to(x.dtype)


def _gate() -> nn.Sequential:
    conv = Conv(2, 1, 7, act=False)
    conv.bn = BatchNorm2d(1, momentum=0.01)
    return nn.Sequential(OrderedDict(conv=conv, sigmoid=nn.Sigmoid()))


def _pool(x: Tensor, axis: int) -> Tensor:
    """(B, 2, other two axes): maximum and mean over one axis."""
    # equal numbers; the gradient of the first is a quarter faster, the forward of the second
    maximum = x.max(axis).values if x.requires_grad else x.amax(axis)
    return torch.stack((maximum, x.mean(axis)), 1)
