"""CoordAtt: coordinate attention.

Hou et al., CVPR 2021 (arXiv 2103.02907).
Row means (over W) and column means (over H) pass, side by side, one conv1x1 to max(8, C / reduction) channels, BN and
hard swish; each part then its own conv1x1 back to C: y = x * sigmoid(columns) * sigmoid(rows). Biases everywhere.
Deviations: none; means over the axes stand where the released module pools adaptively.
"""

import torch
from torch import Tensor, nn

from models.attention.contract import BatchNorm2d, check_channels, is_count
from utils.errors import UserError

LEAST = 8  # channels in the middle


class CoordAtt(nn.Module):
    """(B, C, H, W) -> the same. reduction: 1 or more; the middle has at least 8 channels."""

    def __init__(self, channels: int, c2: int | None = None, reduction: int = 32):
        super().__init__()
        check_channels("CoordAtt", channels, c2)
        if not is_count(reduction):
            raise UserError(f"CoordAtt: the reduction {reduction} is no whole number from 1; leave it out, or use 32")
        hidden = max(LEAST, channels // reduction)
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = BatchNorm2d(hidden)
        self.act = nn.Hardswish()
        self.conv_h = nn.Conv2d(hidden, channels, 1)
        self.conv_w = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
        rows, columns = self.act(self.bn1(self.conv1(torch.cat((rows, columns), 2)))).split((h, w), 2)
        row_gates, column_gates = self.conv_h(rows).sigmoid(), self.conv_w(columns.transpose(2, 3)).sigmoid()
        return x * column_gates.to(x.dtype) * row_gates.to(x.dtype)
