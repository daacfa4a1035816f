"""GAM: global attention mechanism.

Liu et al., "Global Attention Mechanism: Retain Information to Enhance Channel-Spatial Interactions", 2021 (arXiv
2112.05561). With n = C / rate:
z = x * sigmoid(W2 relu(W1 x)), W1 to n channels and W2 back, at every pixel;
y = z * sigmoid(BN(V2 relu(BN(V1 z)))), V1 and V2 7x7 convolutions to n channels and back.
The authors published no code; this is the definition that YOLO users share. It pools nothing and is by far the largest
block here: about 100 C n parameters, 1.6 M at C = 256 and rate 4.
Deviations: the linear layers are 1x1 convolutions, the same numbers without turning the axes round.
"""

from torch import Tensor, nn

from models.attention.contract import BatchNorm2d, check_channels, check_reduction


class GAM(nn.Module):
    """(B, C, H, W) -> the same. rate: 1 to C."""

    def __init__(self, channels: int, c2: int | None = None, rate: int = 4):
        super().__init__()
        check_channels("GAM", channels, c2)
        check_reduction("GAM", channels, rate)
        hidden = channels // rate
        self.channel_attention = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )
        self.spatial_attention = nn.Sequential(
            nn.Conv2d(channels, hidden, 7, padding=3),
            BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 7, padding=3),
            BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.channel_attention(x).sigmoid().to(x.dtype)
        return x * self.spatial_attention(x).sigmoid().to(x.dtype)

    def fuse(self) -> None:
        """Fold the batch norms into the convolutions before them, for inference."""
        layers = self.spatial_attention
        for conv, norm in ((0, 1), (3, 4)):
            if isinstance(layers[norm], nn.BatchNorm2d):
                layers[conv] = nn.utils.fuse_conv_bn_eval(layers[conv].eval(), layers[norm].eval())
                layers[norm] = nn.Identity()
