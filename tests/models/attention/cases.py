"""What the tests of the attention blocks run over: a new block is one entry in ATTENTIONS and its lines here."""

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from models.attention import (
    ATTENTIONS,
    BAM,
    CBAM,
    ECA,
    EMA,
    GAM,
    NAM,
    PSA,
    SE,
    SGE,
    CoordAtt,
    ParNet,
    ParNetAttention,
    ShuffleAttention,
    TripletAttention,
)

CHANNELS = 128


class Case(NamedTuple):
    """A block and its arguments after (channels, c2)."""

    cls: type[nn.Module]
    options: dict[str, Any]

    def build(self, channels: int = CHANNELS) -> nn.Module:
        return self.cls(channels, None, **self.options)

    def __str__(self) -> str:
        return "-".join([self.cls.__name__, *(f"{key}={value}" for key, value in self.options.items())])


# file in tests/golden/attention, NAME_cCHANNELS -> the block that it holds
GOLDEN: dict[str, Case] = {
    "ema_c64": Case(EMA, {}),
    "ema_c512": Case(EMA, {}),
    "ema_f8_c64": Case(EMA, {"factor": 8}),
    "se_c64": Case(SE, {}),
    "cbam_c64": Case(CBAM, {}),
    "bam_gap_c64": Case(BAM, {}),
    "eca_k3_c64": Case(ECA, {}),
    "eca_k5_c64": Case(ECA, {"kernel": 5}),
    "sge_g8_c64": Case(SGE, {"groups": 8}),
    "sge_g64_c64": Case(SGE, {}),
    "sge_g64_c256": Case(SGE, {}),
    "ca_c64": Case(CoordAtt, {}),
    "sa_g8_c64": Case(ShuffleAttention, {"groups": 8}),
    "sa_g32_c64": Case(ShuffleAttention, {"groups": 32}),
    "sa_g64_c256": Case(ShuffleAttention, {}),
    "ta_c64": Case(TripletAttention, {}),
    "psa_p_c64": Case(PSA, {}),
    "psa_s_c64": Case(PSA, {"mode": "sequential"}),
    "nam_c64": Case(NAM, {}),
    "gam_r4_c64": Case(GAM, {}),
    "gam_r16_c64": Case(GAM, {"rate": 16}),
    "parnet_sse_official_c64": Case(ParNet, {}),
    "parnet_xmu_c64": Case(ParNetAttention, {}),
}

# settings beside the defaults that must keep the contract, too
SETTINGS: tuple[Case, ...] = (
    Case(ECA, {"kernel": 3}),
    Case(SGE, {"groups": 8}),
    Case(ShuffleAttention, {"groups": 1}),
    Case(PSA, {"mode": "sequential"}),
    Case(GAM, {"rate": 16}),
)
CASES = (*(Case(cls, {}) for cls in ATTENTIONS), *SETTINGS)

# block, arguments, what the error says
IMPOSSIBLE: tuple[tuple[type[nn.Module], tuple[Any, ...], str], ...] = (
    (EMA, (100,), "100 channels are not divisible by the factor 32; these work: "),
    (SE, (8,), "SE: 8 channels cannot be reduced 16 times; use 1 to 8"),
    (SE, (8, None, 0), "SE: 8 channels cannot be reduced 0 times; use 1 to 8"),
    (CBAM, (8,), "CBAM: 8 channels cannot be reduced 16 times; use 1 to 8"),
    (BAM, (8,), "BAM: 8 channels cannot be reduced 16 times; use 1 to 8"),
    (ECA, (64, None, 4), "ECA: the kernel 4 is no odd number from 1; leave it out, or use 3 or 5"),
    (SGE, (96,), "SGE: 96 channels are not divisible by its 64 groups; these groups work: [1, 2, 3, 4, 6, 8, 12, "),
    (CoordAtt, (64, None, 0), "CoordAtt: the reduction 0 is no whole number from 1; leave it out, or use 32"),
    (
        ShuffleAttention,
        (64,),
        "ShuffleAttention: 64 channels are not divisible by 2 times its 64 groups; these groups work: "
        "[1, 2, 4, 8, 16, 32]",
    ),
    (ShuffleAttention, (63, None, 3), "63 channels are not divisible by 2 times its 3 groups; use a multiple of 2"),
    (PSA, (64, None, "both"), "PSA: no mode is called 'both'; these are: parallel, sequential"),
    (PSA, (63,), "PSA: 63 channels do not fit the parallel mode; use a multiple of 2"),
    (PSA, (60, None, "sequential"), "PSA: 60 channels do not fit the sequential mode; use a multiple of 8"),
    (GAM, (8, None, 16), "GAM: 8 channels cannot be reduced 16 times; use 1 to 8"),
    (GAM, (8, None, 2.5), "GAM: 8 channels cannot be reduced 2.5 times; use 1 to 8"),
)


def stir(module: nn.Module) -> nn.Module:
    """Move every parameter and running mean away from its start: gates start closed or constant in some blocks."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("running_var"):
            fan_in = math.prod(tensor.shape[1:])  # a sum of so many terms keeps its size
            step = 0.3 if fan_in == 1 else fan_in**-0.5
            tensor.add_(step * torch.randn(tensor.shape, generator=generator).to(tensor))
    return module


def make_input(*size: int, batch: int = 2, channels: int = CHANNELS) -> torch.Tensor:
    """Well-scaled values, (B, C, *size)."""
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(0))
