"""ParNet's block: a 3x3 and a 1x1 convolution beside a gated copy ("skip-squeeze-excitation", SSE).

Goyal et al., "Non-deep Networks", NeurIPS 2022 (arXiv 2110.07641). Each convolution is followed by its batch norm.
ParNet           y = silu(BN(W3 x) + BN(W1 x) + z * sigmoid(V mean_HW(z))), z = BN(x); no biases: the authors' block
ParNetAttention  y = silu(BN(W3 x) + BN(W1 x) + x * sigmoid(V mean_HW(x))), with biases: what a widely copied
                 collection, and with it YOLO users, call so
For inference `fuse` makes one 3x3 convolution of W3, W1 and their norms, as the paper does.
Deviations: none; the mean over the axes stands where the released modules pool adaptively.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.attention.contract import BatchNorm2d, check_channels


class ParNet(nn.Module):
    """The authors' block: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, c2: int | None = None):
        super().__init__()
        check_channels("ParNet", channels, c2)
        gate = OrderedDict(conv=nn.Conv2d(channels, channels, 1, bias=False), sigmoid=nn.Sigmoid())
        self.rbr_identity = BatchNorm2d(channels)
        self.rbr_dense = nn.Sequential(OrderedDict(zip(("conv", "bn"), _conv_norm(channels, 3, bias=False))))
        self.rbr_1x1 = nn.Sequential(OrderedDict(zip(("conv", "bn"), _conv_norm(channels, 1, bias=False))))
        self.se = nn.Sequential(OrderedDict(cvsig=nn.Sequential(gate)))

    def forward(self, x: Tensor) -> Tensor:
        copy = self.rbr_identity(x)
        gated = copy * self.se(copy.mean((2, 3), keepdim=True)).to(x.dtype)
        return F.silu(gated + _both(x, self.rbr_dense, self.rbr_1x1))

    def fuse(self) -> None:
        """Make one convolution of the two and their norms, for inference."""
        if self.rbr_1x1 is not None:
            self.rbr_dense, self.rbr_1x1 = _merged(self.rbr_dense, self.rbr_1x1), None


class ParNetAttention(nn.Module):
    """The block as YOLO users know it: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, c2: int | None = None):
        super().__init__()
        check_channels("ParNetAttention", channels, c2)
        self.sse = nn.Sequential(nn.Identity(), nn.Conv2d(channels, channels, 1), nn.Sigmoid())  # 0: its pooling
        self.conv1x1 = nn.Sequential(*_conv_norm(channels, 1, bias=True))
        self.conv3x3 = nn.Sequential(*_conv_norm(channels, 3, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        gated = x * self.sse(x.mean((2, 3), keepdim=True)).to(x.dtype)
        return F.silu(gated + _both(x, self.conv3x3, self.conv1x1))

    def fuse(self) -> None:
        """Make one convolution of the two and their norms, for inference."""
        if self.conv1x1 is not None:
            self.conv3x3, self.conv1x1 = _merged(self.conv3x3, self.conv1x1), None


def _conv_norm(channels: int, size: int, bias: bool) -> tuple[nn.Conv2d, BatchNorm2d]:
    return nn.Conv2d(channels, channels, size, padding=size // 2, bias=bias), BatchNorm2d(channels)


def _both(x: Tensor, wide: nn.Module, narrow: nn.Module | None) -> Tensor:
    return wide(x) if narrow is None else wide(x) + narrow(x)


@torch.no_grad()
def _merged(wide: nn.Sequential, narrow: nn.Sequential) -> nn.Conv2d:
    """One 3x3 convolution for a 3x3 and a 1x1 one, each followed by its norm."""
    conv, small = (nn.utils.fuse_conv_bn_eval(*branch.eval()) for branch in (wide, narrow))
    conv.weight += F.pad(small.weight, (1, 1, 1, 1))
    conv.bias += small.bias
    return conv
