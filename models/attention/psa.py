"""PSA: polarized self-attention.

Liu et al., "Polarized Self-Attention: Towards High-quality Pixel-wise Regression", 2021 (arXiv 2107.00782).
Matrices Wq, Wv (channel gate), Wq', Wv' (spatial gate) are 1x1 convolutions without bias, all to C / 2 but Wq, to 1.
channel gate  a = sigmoid(up(Wv x . softmax_HW(Wq x))): one value per channel
spatial gate  b = sigmoid(t): one value per pixel, with q = mean_HW(Wq' x) and
              t = softmax_HW(q . Wv' x) in the parallel form, t = q . softmax_HW(Wv' x) in the sequential one
parallel      y = x * a(x) + x * b(x); up is one 1x1 convolution
sequential    z = x * a(x), y = z * b(z); up is 1x1 to C / 8, layer norm, ReLU, 1x1
The softmax of t stands elsewhere in the two forms, as in the authors' code. In the parallel one t sums to 1 over the
map, so b stays close to 0.5 on large maps: that, too, is theirs.
Deviations: none in the numbers. What is linear is done after pooling, so the maps Wv x, Wq' x and (parallel) Wv' x of
C / 2 channels are never formed.
"""

import torch
from torch import Tensor, nn

from models.attention.contract import check_channels
from utils.errors import UserError

DIVISORS = {"parallel": 2, "sequential": 8}  # mode: what channels must be a multiple of


class PSA(nn.Module):
    """(B, C, H, W) -> the same. mode: "parallel" (C a multiple of 2) or "sequential" (of 8)."""

    def __init__(self, channels: int, c2: int | None = None, mode: str = "parallel"):
        super().__init__()
        check_channels("PSA", channels, c2)
        _check_mode(channels, mode)
        half, hidden = channels // 2, channels // 8
        self.mode = mode
        self.conv_q_right = nn.Conv2d(channels, 1, 1, bias=False)
        self.conv_v_right = nn.Conv2d(channels, half, 1, bias=False)
        if mode == "parallel":
            self.conv_up = nn.Conv2d(half, channels, 1, bias=False)
        else:
            norm = nn.LayerNorm([hidden, 1, 1])
            self.conv_up = nn.Sequential(nn.Conv2d(half, hidden, 1), norm, nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.conv_q_left = nn.Conv2d(channels, half, 1, bias=False)
        self.conv_v_left = nn.Conv2d(channels, half, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gated = x * self._channel_gate(x).to(x.dtype)
        if self.mode == "parallel":
            return gated + x * self._spatial_gate(x).to(x.dtype)
        return gated * self._spatial_gate(gated).to(x.dtype)

    def _channel_gate(self, x: Tensor) -> Tensor:
        """(B, C, 1, 1)."""
        weights = self.conv_q_right(x).flatten(2).softmax(2).to(x.dtype)
        pooled = x.flatten(2) @ weights.transpose(1, 2)  # (B, C, 1)
        return self.conv_up(self.conv_v_right(pooled[..., None])).sigmoid()

    def _spatial_gate(self, x: Tensor) -> Tensor:
        """(B, 1, H, W)."""
        b, _, h, w = x.shape
        query = self.conv_q_left(x.mean((2, 3), keepdim=True)).flatten(2).transpose(1, 2)  # (B, 1, C / 2)
        if self.mode == "parallel":
            kernel = torch.matmul(query, self.conv_v_left.weight.flatten(1)).to(x.dtype)  # (B, 1, C)
            t = (kernel @ x.flatten(2)).softmax(2)
        else:
            values = self.conv_v_left(x).flatten(2).softmax(2)
            t = query @ values.to(query.dtype)
        return t.sigmoid().reshape(b, 1, h, w)


def _check_mode(channels: int, mode: str) -> None:
    if mode not in DIVISORS:
        raise UserError(f"PSA: no mode is called {mode!r}; these are: {', '.join(DIVISORS)}")
    if channels % DIVISORS[mode]:
        number = DIVISORS[mode]
        raise UserError(f"PSA: {channels} channels do not fit the {mode} mode; use a multiple of {number}")
