"""SE: squeeze and excitation.

Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018 (arXiv 1709.01507).
y = x * sigmoid(W2 relu(W1 mean_HW(x))), W1 to C / reduction channels and W2 back, without biases.
Deviations: none; the mean over the axes stands where the released module pools adaptively.
"""

from torch import Tensor, nn

from models.attention.contract import check_channels, check_reduction


class SE(nn.Module):
    """(B, C, H, W) -> the same. reduction: 1 to C."""

    def __init__(self, channels: int, c2: int | None = None, reduction: int = 16):
        super().__init__()
        check_channels("SE", channels, c2)
        check_reduction("SE", channels, reduction)
        hidden = channels // reduction
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc(x.mean((2, 3)))[:, :, None, None].to(x.dtype)
