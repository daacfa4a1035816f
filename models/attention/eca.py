"""ECA: efficient channel attention.

Wang et al., "ECA-Net", CVPR 2020 (arXiv 1910.03151).
y = x * sigmoid(conv1d(mean_HW(x))): one kernel of k weights runs over the channels, zeros beyond their ends.
k = |log2(C) / 2 + 1/2|, the nearest odd number (the larger of two): 3 up to 127 channels, 5 from 128, 7 from 2048.
Deviations: none; the released module asks for k (3 if not given), here it follows the paper's rule unless it is given.
"""

import math

from torch import Tensor, nn

from models.attention.contract import check_channels, is_count
from utils.errors import UserError


class ECA(nn.Module):
    """(B, C, H, W) -> the same. kernel: odd, or None for the paper's rule."""

    def __init__(self, channels: int, c2: int | None = None, kernel: int | None = None):
        super().__init__()
        check_channels("ECA", channels, c2)
        if kernel is None:
            kernel = adaptive_kernel(channels)
        if not is_count(kernel) or kernel % 2 == 0:
            raise UserError(f"ECA: the kernel {kernel} is no odd number from 1; leave it out, or use 3 or 5")
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv(x.mean((2, 3)).unsqueeze(1)).sigmoid()
        return x * gate.squeeze(1)[:, :, None, None].to(x.dtype)


def adaptive_kernel(channels: int) -> int:
    """The paper's kernel for C channels."""
    return int(math.log2(channels) / 2 + 0.5) | 1
