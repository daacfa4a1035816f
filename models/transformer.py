"""The transformer inside C3TR."""

from torch import nn

from models.conv import Conv


class TransformerLayer(nn.Module):
    """Self-attention and two linear maps on (H*W, B, c), no norms (arXiv 2010.11929, simplified)."""

    def __init__(self, c, num_heads):
        super().__init__()
        self.q = nn.Linear(c, c, bias=False)
        self.k = nn.Linear(c, c, bias=False)
        self.v = nn.Linear(c, c, bias=False)
        self.ma = nn.MultiheadAttention(embed_dim=c, num_heads=num_heads)
        self.fc1 = nn.Linear(c, c, bias=False)
        self.fc2 = nn.Linear(c, c, bias=False)

    def forward(self, x):
        x = self.ma(self.q(x), self.k(x), self.v(x), need_weights=False)[0] + x
        return self.fc2(self.fc1(x)) + x


class TransformerBlock(nn.Module):
    """Transformer layers over the pixels of a map, with a learned position map from a linear layer."""

    def __init__(self, c1, c2, num_heads, num_layers):
        super().__init__()
        self.conv = Conv(c1, c2) if c1 != c2 else None
        self.linear = nn.Linear(c2, c2)
        self.tr = nn.Sequential(*(TransformerLayer(c2, num_heads) for _ in range(num_layers)))

    def forward(self, x):
        x = x if self.conv is None else self.conv(x)
        pixels = x.flatten(2).permute(2, 0, 1)
        return self.tr(pixels + self.linear(pixels)).permute(1, 2, 0).reshape(x.shape)
