"""BAM: bottleneck attention module.

Park et al., BMVC 2018 (arXiv 1807.06514).
y = x * (1 + sigmoid(c * s)): c per channel = W2 relu(BN(W1 mean_HW(x))), s per position = conv1x1 down, two dilated
conv3x3, conv1x1 to one channel, with BN and ReLU between; all with biases. Paper and released code differ; as released,
c and s are multiplied (the paper adds them), and c's last batch norm is left out.
Deviations: the mean is taken over all positions (the released code pools a square of H x H, which is wrong where W
differs from H). With one picture a batch, in training, the channel branch has no batch statistics: its batch norm takes
the running ones then, and leaves them as they are, where the released module stops.
"""

from collections import OrderedDict

from torch import Tensor, nn

from models.attention.contract import BatchNorm1d, BatchNorm2d, check_channels, check_reduction

DILATION = 4


class BAM(nn.Module):
    """(B, C, H, W) -> the same. reduction: 1 to C."""

    def __init__(self, channels: int, c2: int | None = None, reduction: int = 16):
        super().__init__()
        check_channels("BAM", channels, c2)
        check_reduction("BAM", channels, reduction)
        self.channel_att = _ChannelGate(channels, channels // reduction)
        self.spatial_att = _SpatialGate(channels, channels // reduction)

    def forward(self, x: Tensor) -> Tensor:
        gate = (self.channel_att(x) * self.spatial_att(x)).sigmoid()
        return x * (1 + gate).to(x.dtype)


class _ChannelGate(nn.Module):
    """(B, C, H, W) -> (B, C, 1, 1)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.gate_c = nn.Sequential(
            OrderedDict(
                gate_c_fc_0=nn.Linear(channels, hidden),
                gate_c_bn_1=BatchNorm1d(hidden),
                gate_c_relu_1=nn.ReLU(),
                gate_c_fc_final=nn.Linear(hidden, channels),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.gate_c(x.mean((2, 3)))[:, :, None, None]


class _SpatialGate(nn.Module):
    """(B, C, H, W) -> (B, 1, H, W)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        layers = OrderedDict(
            gate_s_conv_reduce0=nn.Conv2d(channels, hidden, 1),
            gate_s_bn_reduce0=BatchNorm2d(hidden),
            gate_s_relu_reduce0=nn.ReLU(),
        )
        for i in range(2):
            layers[f"gate_s_conv_di_{i}"] = nn.Conv2d(hidden, hidden, 3, padding=DILATION, dilation=DILATION)
            layers[f"gate_s_bn_di_{i}"] = BatchNorm2d(hidden)
            layers[f"gate_s_relu_di_{i}"] = nn.ReLU()
        layers["gate_s_conv_final"] = nn.Conv2d(hidden, 1, 1)
        self.gate_s = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate_s(x)
