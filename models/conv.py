"""Convolutions and rearrangements of pixels: what the larger blocks in `common.py` are made of."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from models.registry import contracted, expanded, register, scaled

BN_EPS, BN_MOMENTUM = 1e-3, 0.03  # YOLOv5's; every BatchNorm2d of a model gets them


def same_padding(kernel: int | Sequence[int], dilation: int = 1) -> int | list[int]:
    """The padding that keeps H and W at stride 1, for odd kernels."""
    if isinstance(kernel, int):
        return dilation * (kernel - 1) // 2 if dilation > 1 else kernel // 2
    return [same_padding(side, dilation) for side in kernel]


@register(scaled)
class Conv(nn.Module):
    """Convolution, batch norm, activation. act: True = SiLU, False = none, or a module."""

    def __init__(self, c1, c2, k=1, s=1, p=None, g=1, d=1, act=True):
        super().__init__()
        padding = same_padding(k, d) if p is None else p
        self.conv = nn.Conv2d(c1, c2, k, s, padding, groups=g, dilation=d, bias=False)
        self.bn = nn.BatchNorm2d(c2, BN_EPS, BN_MOMENTUM)
        self.act = nn.SiLU() if act is True else act if isinstance(act, nn.Module) else nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))

    def fuse(self) -> None:
        """Fold the batch norm into the convolution, for inference."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.bn.eval())
            self.bn = nn.Identity()
            if isinstance(self.act, nn.SiLU):  # in training this would cost a copy: the gradient needs the input
                self.act.inplace = True


@register(scaled)
class DWConv(Conv):
    """Depth-wise Conv: as many groups as both channel counts allow."""

    def __init__(self, c1, c2, k=1, s=1, d=1, act=True):
        super().__init__(c1, c2, k, s, g=math.gcd(c1, c2), d=d, act=act)


@register(scaled)
class DWConvTranspose2d(nn.ConvTranspose2d):
    """Depth-wise transposed convolution."""

    def __init__(self, c1, c2, k=1, s=1, p1=0, p2=0):
        super().__init__(c1, c2, k, s, p1, p2, groups=math.gcd(c1, c2))


@register(scaled)
class CrossConv(nn.Module):
    """A k x k convolution as 1 x k, then k x 1."""

    def __init__(self, c1, c2, k=3, s=1, g=1, e=1.0, shortcut=False):
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, (1, k), (1, s))
        self.cv2 = Conv(hidden, c2, (k, 1), (s, 1), g=g)
        self.add = shortcut and c1 == c2

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


@register(scaled)
class Focus(nn.Module):
    """Every second pixel into its own four channels, then a Conv."""

    def __init__(self, c1, c2, k=1, s=1, p=None, g=1, act=True):
        super().__init__()
        self.conv = Conv(c1 * 4, c2, k, s, p, g, act=act)

    def forward(self, x):
        even, odd = x[..., ::2, :], x[..., 1::2, :]
        return self.conv(torch.cat((even[..., ::2], odd[..., ::2], even[..., 1::2], odd[..., 1::2]), 1))


@register(scaled)
class GhostConv(nn.Module):
    """Half of the channels by a convolution, the other half from those by a cheap one (arXiv 1911.11907)."""

    def __init__(self, c1, c2, k=1, s=1, g=1, act=True):
        super().__init__()
        hidden = c2 // 2
        self.cv1 = Conv(c1, hidden, k, s, None, g, act=act)
        self.cv2 = Conv(hidden, hidden, 5, 1, None, hidden, act=act)

    def forward(self, x):
        y = self.cv1(x)
        return torch.cat((y, self.cv2(y)), 1)


@register(contracted)
class Contract(nn.Module):
    """(B, C, H, W) -> (B, C * gain^2, H / gain, W / gain)."""

    def __init__(self, gain=2):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        b, c, h, w = x.shape
        g = self.gain
        x = x.reshape(b, c, h // g, g, w // g, g).permute(0, 3, 5, 1, 2, 4)
        return x.reshape(b, c * g * g, h // g, w // g)


@register(expanded)
class Expand(nn.Module):
    """(B, C, H, W) -> (B, C / gain^2, H * gain, W * gain)."""

    def __init__(self, gain=2):
        super().__init__()
        self.gain = gain

    def forward(self, x):
        b, c, h, w = x.shape
        g = self.gain
        x = x.reshape(b, g, g, c // g**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(b, c // g**2, h * g, w * g)
