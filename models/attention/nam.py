"""NAM: normalization-based attention.

Liu et al., "NAM: Normalization-based Attention Module", NeurIPS 2021 workshop (arXiv 2111.12419).
y = x * sigmoid(w * BN(x)), w = |gamma| / sum |gamma| over the channels, gamma the batch norm's own scale.
The channel half, which is what the authors published code for; the paper's pixel half has none. As in that code w is a
constant to the gradient.
Deviations: none in the numbers; gammas that are all zero give w = 0 instead of NaN.
"""

from torch import Tensor, nn

from models.attention.contract import BatchNorm2d, check_channels, precise


class NAM(nn.Module):
    """(B, C, H, W) -> the same. 2 C parameters."""

    def __init__(self, channels: int, c2: int | None = None):
        super().__init__()
        check_channels("NAM", channels, c2)
        self.Channel_Att = nn.ModuleDict({"bn2": BatchNorm2d(channels)})

    def forward(self, x: Tensor) -> Tensor:
        norm = self.Channel_Att["bn2"]
        scale = precise(norm.weight.detach()).abs()
        share = (scale / scale.sum().clamp(min=1e-12)).to(x.dtype)
        return x * (norm(x) * share[:, None, None]).sigmoid()
