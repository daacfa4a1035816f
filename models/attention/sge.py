"""SGE: spatial group-wise enhance.

Li et al., 2019 (arXiv 1905.09646).
In each of G groups of channels: t = sum over the group of x * mean_HW(x), one map; its deviations from its mean over
H x W are divided by their standard deviation (unbiased) + 1e-5, scaled and shifted per group; y = x * sigmoid(t).
Deviations: none where the released module runs. On 1x1 maps, where its standard deviation is NaN, and on constant maps,
where its gradient is, the deviations are zero and so are their gradients; channels_last comes in as well.
"""

import torch
from torch import Tensor, nn

from models.attention.contract import check_channels, check_groups, precise

EPS = 1e-5


class SGE(nn.Module):
    """(B, C, H, W) -> the same. C must be a multiple of `groups`."""

    def __init__(self, channels: int, c2: int | None = None, groups: int = 64):
        super().__init__()
        check_channels("SGE", channels, c2)
        check_groups("SGE", channels, groups)
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(1, groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(1, groups, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        grouped = x.reshape(b, self.groups, c // self.groups, h, w)
        exact = precise(grouped)  # deviations may be small beside the values
        similarity = (exact * exact.mean((3, 4), keepdim=True)).sum(2)
        deviations = similarity - similarity.mean((2, 3), keepdim=True)
        # counted by an operation, so that exported files hold at other sizes; the norm's gradient at zero is zero
        freedom = (deviations.new_ones(h, w).sum() - 1).clamp(min=1)
        spread = torch.linalg.vector_norm(deviations, dim=(2, 3), keepdim=True) / freedom.sqrt() + EPS
        gate = (deviations / spread * self.weight + self.bias).sigmoid()
        return (grouped * gate.unsqueeze(2).to(x.dtype)).reshape(b, c, h, w)
