"""The YOLOv5 building blocks, under the names that released weights use.

Every block takes channels first (B, c1, H, W). The table in `registry.py` says which YAML word builds which.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from models.ema import EMA
from models.registry import contracted, expanded, joined, normalised, plain, register, repeated, same, scaled

__all__ = ["C3", "EMA", "SPP", "SPPF", "Bottleneck", "Concat", "Conv", "Focus"]

BN_EPS, BN_MOMENTUM = 1e-3, 0.03  # YOLOv5's; every BatchNorm2d of a model gets them

register(same)(EMA)
register(plain, "nn.Upsample", "Upsample")(nn.Upsample)
register(plain, "nn.MaxPool2d", "MaxPool2d")(nn.MaxPool2d)
register(plain, "nn.ZeroPad2d", "ZeroPad2d")(nn.ZeroPad2d)
register(plain, "nn.Identity", "Identity")(nn.Identity)
register(normalised, "nn.BatchNorm2d", "BatchNorm2d")(nn.BatchNorm2d)
register(scaled, "nn.Conv2d", "Conv2d")(nn.Conv2d)
register(scaled, "nn.ConvTranspose2d", "ConvTranspose2d")(nn.ConvTranspose2d)


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
        self.act = nn.SiLU(inplace=True) if act is True else act if isinstance(act, nn.Module) else nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))

    def fuse(self) -> None:
        """Fold the batch norm into the convolution, for inference."""
        if isinstance(self.bn, nn.BatchNorm2d):
            self.conv = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.bn.eval())
            self.bn = nn.Identity()


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
        self.act = nn.SiLU(inplace=True)
        self.m = nn.Sequential(*(Bottleneck(hidden, hidden, shortcut, g, e=1.0) for _ in range(n)))

    def forward(self, x):
        y = torch.cat((self.cv3(self.m(self.cv1(x))), self.cv2(x)), 1)
        return self.cv4(self.act(self.bn(y)))


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


class TransformerLayer(nn.Module):
    """Self-attention and two linear maps on (H*W, B, c), no norms (arXiv 2010.11929, simplified)."""

    def __init__(self, c, num_heads):
        super().__init__()
        self.q = nn.Linear(c, c, bias=False)
        self.k = nn.Linear(c, c, bias=False)
        self.v = nn.Linear(c, c, bias=False)
        self.ma = nn.MultiheadAttention(embed_dim=c, num_heads=num_heads)
        self.fc1 = nn.Linear(c, c, bias=False)
        self.fc2 = nn.Linear(c, c, bias=False)

    def forward(self, x):
        x = self.ma(self.q(x), self.k(x), self.v(x), need_weights=False)[0] + x
        return self.fc2(self.fc1(x)) + x


class TransformerBlock(nn.Module):
    """Transformer layers over the pixels of a map, with a learned position map from a linear layer."""

    def __init__(self, c1, c2, num_heads, num_layers):
        super().__init__()
        self.conv = Conv(c1, c2) if c1 != c2 else None
        self.linear = nn.Linear(c2, c2)
        self.tr = nn.Sequential(*(TransformerLayer(c2, num_heads) for _ in range(num_layers)))

    def forward(self, x):
        x = x if self.conv is None else self.conv(x)
        pixels = x.flatten(2).permute(2, 0, 1)
        return self.tr(pixels + self.linear(pixels)).permute(1, 2, 0).reshape(x.shape)


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


@register(joined)
class Concat(nn.Module):
    """Maps side by side along `dimension`."""

    def __init__(self, dimension=1):
        super().__init__()
        self.d = dimension

    def forward(self, maps):
        return torch.cat(maps, self.d)
