"""The attention blocks that the EMA paper compares, beside EMA, under one contract (`contract.py`), a file each."""

from torch import nn

from models.attention.bam import BAM
from models.attention.cbam import CBAM
from models.attention.coordatt import CoordAtt
from models.attention.eca import ECA
from models.attention.gam import GAM
from models.attention.nam import NAM
from models.attention.parnet import ParNet, ParNetAttention
from models.attention.psa import PSA
from models.attention.se import SE
from models.attention.sge import SGE
from models.attention.shuffle import ShuffleAttention
from models.attention.triplet import TripletAttention
from models.ema import EMA

# every one is a word of a model YAML: `[-1, 1, NAME, [channels, ...]]`
ATTENTIONS: tuple[type[nn.Module], ...] = (
    EMA,
    SE,
    CBAM,
    BAM,
    ECA,
    SGE,
    CoordAtt,
    ShuffleAttention,
    TripletAttention,
    PSA,
    NAM,
    GAM,
    ParNet,
    ParNetAttention,
)
__all__ = [
    "ATTENTIONS",
    "BAM",
    "CBAM",
    "ECA",
    "EMA",
    "GAM",
    "NAM",
    "PSA",
    "SE",
    "SGE",
    "CoordAtt",
    "ParNet",
    "ParNetAttention",
    "ShuffleAttention",
    "TripletAttention",
]
