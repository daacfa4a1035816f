"""The YOLOv5 building blocks, under the names that released weights use.

Every block takes channels first (B, c1, H, W). The table in `registry.py` says which YAML word builds which.
"""

import torch
from torch import nn

from models.attention import ATTENTIONS, EMA
from models.conv import (
    BN_EPS,
    BN_MOMENTUM,
    Contract,
    Conv,
    CrossConv,
    DWConv,
    DWConvTranspose2d,
    Expand,
    Focus,
    GhostConv,
)
from models.registry import joined, normalised, plain, register, repeated, same, scaled
from models.transformer import TransformerBlock

__all__ = [
    "C3",
    "C3TR",
    "EMA",
    "SPP",
    "SPPF",
    "Bottleneck",
    "BottleneckCSP",
    "C3Ghost",
    "C3SPP",
    "C3x",
    "Concat",
    "Contract",
    "Conv",
    "CrossConv",
    "DWConv",
    "DWConvTranspose2d",
    "Expand",
    "Focus",
    "GhostBottleneck",
    "GhostConv",
]

for attention in ATTENTIONS:
    register(same)(attention)
register(plain, "nn.Upsample", "Upsample")(nn.Upsample)
register(plain, "nn.MaxPool2d", "MaxPool2d")(nn.MaxPool2d)
register(plain, "nn.ZeroPad2d", "ZeroPad2d")(nn.ZeroPad2d)
register(plain, "nn.Identity", "Identity")(nn.Identity)
register(normalised, "nn.BatchNorm2d", "BatchNorm2d")(nn.BatchNorm2d)
register(scaled, "nn.Conv2d", "Conv2d")(nn.Conv2d)
register(scaled, "nn.ConvTranspose2d", "ConvTranspose2d")(nn.ConvTranspose2d)


@register(scaled)
class Bottleneck(nn.Module):
    """1x1 down to e * c2, 3x3 back; added to the input where the shapes allow."""

    def __init__(self, c1, c2, shortcut=True, g=1, e=0.5):
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(hidden, c2, 3, 1, g=g)
        self.add = shortcut and c1 == c2

    def forward(self, x):
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


@register(repeated)
class C3(nn.Module):
    """CSP block with three convolutions: n bottlenecks on one half, the other half passed by (arXiv 1911.11929)."""

    def __init__(self, c1, c2, n=1, shortcut=True, g=1, e=0.5):
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(c1, hidden, 1, 1)
        self.cv3 = Conv(2 * hidden, c2, 1)
        self.m = self.inner(hidden, n, shortcut, g)

    def inner(self, hidden, n, shortcut, g):
        """The n blocks in the middle; what the C3 kinds differ in."""
        return nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, g, e=1.0) for _ in range(n)))

    def forward(self, x):
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


@register(repeated)
class C3x(C3):
    """C3 with cross convolutions."""

    def inner(self, hidden, n, shortcut, g):
        return nn.Sequential(*(CrossConv(hidden, hidden, 3, 1, g, 1.0, shortcut) for _ in range(n)))


@register(repeated)
class C3TR(C3):
    """C3 with a transformer."""

    def inner(self, hidden, n, shortcut, g):
        return TransformerBlock(hidden, hidden, 4, n)


@register(repeated)
class C3Ghost(C3):
    """C3 with ghost bottlenecks."""

    def inner(self, hidden, n, shortcut, g):
        return nn.Sequential(*(GhostBottleneck(hidden, hidden) for _ in range(n)))


@register(scaled)
class C3SPP(C3):
    """C3 with spatial pyramid pooling."""

    def __init__(self, c1, c2, k=(5, 9, 13), n=1, shortcut=True, g=1, e=0.5):
        super().__init__(c1, c2, n, shortcut, g, e)
        self.m = SPP(int(c2 * e), int(c2 * e), k)


@register(repeated)
class BottleneckCSP(nn.Module):
    """The CSP block of YOLOv5 v1 to v3 (arXiv 1911.11929)."""

    def __init__(self, c1, c2, n=1, shortcut=True, g=1, e=0.5):
        super().__init__()
        hidden = int(c2 * e)
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = nn.Conv2d(c1, hidden, 1, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, 1, bias=False)
        self.cv4 = Conv(2 * hidden, c2, 1, 1)
        self.bn = nn.BatchNorm2d(2 * hidden, BN_EPS, BN_MOMENTUM)
        self.act = nn.SiLU()
        self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, g, e=1.0) for _ in range(n)))

    def forward(self, x):
        y = torch.cat((self.cv3(self.m(self.cv1(x))), self.cv2(x)), 1)
        return self.cv4(self.act(self.bn(y)))


@register(scaled)
class SPP(nn.Module):
    """Spatial pyramid pooling (arXiv 1406.4729): max pools of several sizes side by side."""

    def __init__(self, c1, c2, k=(5, 9, 13)):
        super().__init__()
        hidden = c1 // 2
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(hidden * (len(k) + 1), c2, 1, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(side, 1, side // 2) for side in k)

    def forward(self, x):
        x = self.cv1(x)
        return self.cv2(torch.cat([x, *(pool(x) for pool in self.m)], 1))


@register(scaled)
class SPPF(nn.Module):
    """SPP with k = (5, 9, 13) as three 5x5 pools in a row: the same result, faster."""

    def __init__(self, c1, c2, k=5):
        super().__init__()
        hidden = c1 // 2
        self.cv1 = Conv(c1, hidden, 1, 1)
        self.cv2 = Conv(hidden * 4, c2, 1, 1)
        self.m = nn.MaxPool2d(k, 1, k // 2)

    def forward(self, x):
        x = self.cv1(x)
        once = self.m(x)
        twice = self.m(once)
        return self.cv2(torch.cat((x, once, twice, self.m(twice)), 1))


@register(scaled)
class GhostBottleneck(nn.Module):
    """Bottleneck of ghost convolutions; at stride 2 with a depth-wise convolution on both ways."""

    def __init__(self, c1, c2, k=3, s=1):
        super().__init__()
        hidden, strided = c2 // 2, s == 2
        self.conv = nn.Sequential(
            GhostConv(c1, hidden, 1, 1),
            DWConv(hidden, hidden, k, s, act=False) if strided else nn.Identity(),
            GhostConv(hidden, c2, 1, 1, act=False),
        )
        ways = DWConv(c1, c1, k, s, act=False), Conv(c1, c2, 1, 1, act=False)
        self.shortcut = nn.Sequential(*ways) if strided else nn.Identity()

    def forward(self, x):
        return self.conv(x) + self.shortcut(x)


@register(joined)
class Concat(nn.Module):
    """Maps side by side along `dimension`."""

    def __init__(self, dimension=1):
        super().__init__()
        self.d = dimension

    def forward(self, maps):
        return torch.cat(maps, self.d)
