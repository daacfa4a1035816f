"""CBAM: convolutional block attention module.

Woo et al., ECCV 2018 (arXiv 1807.06521), as its authors released it.
Channels: u = x * sigmoid(mlp(mean_HW x) + mlp(max_HW x)), one mlp (to C / reduction and back, ReLU between, biases).
Positions: y = u * sigmoid(BN(conv7x7([max_C u, mean_C u]))), the convolution without a bias.
Deviations: means and maxima over the axes stand where the released module pools; values that share a maximum share its
gradient, which the released module gives to one of them.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from models.attention.contract import BatchNorm2d, check_channels, check_reduction


class CBAM(nn.Module):
    """(B, C, H, W) -> the same. reduction: 1 to C."""

    def __init__(self, channels: int, c2: int | None = None, reduction: int = 16):
        super().__init__()
        check_channels("CBAM", channels, c2)
        check_reduction("CBAM", channels, reduction)
        self.ChannelGate = _ChannelGate(channels, channels // reduction)
        self.SpatialGate = _SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        gate = (self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))).sigmoid()
        return x * gate[:, :, None, None].to(x.dtype)


class _SpatialGate(nn.Module):
    def __init__(self):
        super().__init__()
        conv, norm = nn.Conv2d(2, 1, 7, padding=3, bias=False), BatchNorm2d(1, momentum=0.01)
        self.spatial = nn.Sequential(OrderedDict(conv=conv, bn=norm))

    def forward(self, x: Tensor) -> Tensor:
        described = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1)
        return x * self.spatial(described).sigmoid().to(x.dtype)
