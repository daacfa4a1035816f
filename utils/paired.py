"""Means over seeds and paired differences, with the intervals that so few values allow (Student's t)."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

STEPS = 20_000  # of the integral under the density: errors below 1e-6


class Estimate(NamedTuple):
    """A mean, the values' standard deviation (n - 1) and half the width of the mean's 95 % interval; the last two are
    NaN where there are fewer than two values, all three where there are none."""

    mean: float
    sd: float
    margin: float

    @property
    def is_distinguishable(self) -> bool:
        """Whether the interval leaves out zero."""
        return abs(self.mean) > self.margin  # NaN: no


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, spread and interval of independent values."""
    if len(values) < 2:
        return Estimate(*(values or [math.nan]), math.nan, math.nan)
    sd = statistics.stdev(values)
    return Estimate(statistics.fmean(values), sd, t_quantile(len(values) - 1) * sd / math.sqrt(len(values)))


def t_quantile(freedom: int, probability: float = 0.975) -> float:
    """Where Student's t with so many degrees of freedom leaves `probability` (0.5 to 0.9999) below; by bisection."""
    low, high = 0.0, 1e4
    while high - low > 1e-7 * max(high, 1.0):
        middle = (low + high) / 2
        low, high = (middle, high) if t_share(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def t_share(t: float, freedom: int) -> float:
    """The share of Student's distribution below t >= 0: with t = sqrt(freedom) tan(angle) its density is a constant
    times cos(angle)^(freedom - 1), which the trapezoid rule integrates."""
    angles = np.linspace(0, math.atan(t / math.sqrt(freedom)), STEPS)
    constant = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    heights = np.cos(angles) ** (freedom - 1)
    return 0.5 + constant * float(np.sum((heights[1:] + heights[:-1]) / 2 * np.diff(angles)))
