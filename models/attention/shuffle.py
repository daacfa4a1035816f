"""ShuffleAttention (SA).

Zhang and Yang, "SA-Net: Shuffle Attention for Deep Convolutional Neural Networks", ICASSP 2021 (arXiv 2102.00240).
Each of G groups of channels is halved: one half is multiplied by sigmoid(w_c mean_HW(x) + b_c), the other by
sigmoid(w_s GN(x) + b_s), GN over each channel by itself; all groups share the weights. In the end the channels are
shuffled: those of the lower half of C and of the upper half take turns.
Deviations: none; the mean over the axes stands where the released module pools adaptively.
"""

import torch
from torch import Tensor, nn

from models.attention.contract import check_channels, check_groups

EPS = 1e-5


class ShuffleAttention(nn.Module):
    """(B, C, H, W) -> the same. C must be a multiple of twice the groups. 6 C / (2 groups) parameters."""

    def __init__(self, channels: int, c2: int | None = None, groups: int = 64):
        super().__init__()
        check_channels("ShuffleAttention", channels, c2)
        check_groups("ShuffleAttention", channels, groups, share=2)
        self.groups = groups
        half = channels // (2 * groups)
        self.cweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.cbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.sweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.sbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.gn = nn.GroupNorm(half, half, EPS)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        half = self.gn.num_groups  # a plain number, also while a tracer watches the sizes
        first, second = x.reshape(b * self.groups, 2 * half, h, w).split(half, 1)
        channel_gates = (self.cweight * first.mean((2, 3), keepdim=True) + self.cbias).sigmoid()
        # torch.group_norm: F.group_norm refuses the single value of a 1x1 map
        normed = torch.group_norm(second, half, self.gn.weight, self.gn.bias, EPS)
        position_gates = (self.sweight * normed + self.sbias).sigmoid()
        y = torch.cat((first * channel_gates.to(x.dtype), second * position_gates.to(x.dtype)), 1)
        return y.reshape(b, 2, half * self.groups, h, w).transpose(1, 2).reshape(b, 2 * half * self.groups, h, w)
