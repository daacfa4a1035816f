"""WeightAverage: the exponential moving average of a model's weights that is validated and shipped.

(Stock calls it EMA; here EMA is the attention block.)
"""

import copy
import math

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

DECAY = 0.9999
TAU = 2000.0


def decay_at(updates: int, decay: float = DECAY, tau: float = TAU) -> float:
    """The part of the average that is kept at update number `updates` (from 1): decay * (1 - exp(-updates / tau)),
    small at first so that the random start is soon forgotten."""
    return decay * (1 - math.exp(-updates / tau))


class WeightAverage:
    """A running average of every floating-point entry of a model's state dict, buffers included; others are copied.

    `model` is the averaged network, in evaluation mode and without gradients. The source model must keep its tensors
    (no `.to(...)` that makes new ones) from the first update on.
    """

    def __init__(self, model: nn.Module, decay: float = DECAY, tau: float = TAU, updates: int = 0) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay, self.tau, self.updates = decay, tau, updates
        self._pairs: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards `model` by one step."""
        self.updates += 1
        averaged, current = self._floating(model)
        get_ema_multi_avg_fn(decay_at(self.updates, self.decay, self.tau))(averaged, current, self.updates)

    @torch.no_grad()
    def copy_counters(self, model: nn.Module) -> None:
        """Copy the entries that cannot be averaged (batch counters); wanted once an epoch, before saving."""
        source = model.state_dict()
        for name, value in self.model.state_dict().items():
            if not value.is_floating_point():
                value.copy_(source[name])

    def _floating(self, model: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        if self._pairs is None:  # walking a state dict costs as much as the update itself
            source = model.state_dict()
            names = [name for name, value in self.model.state_dict().items() if value.is_floating_point()]
            mine = self.model.state_dict()
            self._pairs = [mine[name] for name in names], [source[name] for name in names]
        return self._pairs
