"""Learning rate, momentum, accumulation and image size as pure functions of the training step.

A step is one batch, counted from 0 over the whole run: step = epoch * batches + batch. Nothing here has memory, so a
resumed run gets the values that it would have had.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

MIN_WARMUP_STEPS = 100
MIN_SIZE, MAX_SIZE = 0.5, 1.5  # --multi-scale, as parts of the image size


@dataclass(frozen=True)
class Schedule:
    """The plan of one run.

    `batches` is the number of batches in an epoch; `nominal_batch` the number of images that one optimizer step is
    meant to see (several batches are accumulated where the batch is smaller).
    """

    epochs: int
    batches: int
    batch_size: int
    nominal_batch: float
    lr0: float
    lrf: float
    momentum: float
    warmup_epochs: float
    warmup_momentum: float
    warmup_bias_lr: float
    cosine: bool = False

    @classmethod
    def from_hyp(cls, hyp: Mapping[str, float], epochs: int, batches: int, batch_size: int, cosine: bool) -> "Schedule":
        """Read the fields that the schedule needs from a hyper-parameter file's content."""
        names = ("lr0", "lrf", "momentum", "warmup_epochs", "warmup_momentum", "warmup_bias_lr")
        fields = {name: hyp[name] for name in names}
        return cls(epochs, batches, batch_size, hyp["nbs"], cosine=cosine, **fields)

    @property
    def warmup_steps(self) -> int:
        """`warmup_epochs` epochs, at least 100 steps."""
        return max(round(self.warmup_epochs * self.batches), MIN_WARMUP_STEPS)

    @property
    def full_accumulation(self) -> int:
        """Batches per optimizer step after the warm-up."""
        return max(round(self.nominal_batch / self.batch_size), 1)

    def decay_scale(self) -> float:
        """What the weight decay is multiplied by: images per optimizer step / nominal batch."""
        return self.batch_size * self.full_accumulation / self.nominal_batch

    def factor(self, epoch: int) -> float:
        """The learning rate of an epoch as a part of lr0: from 1 down to lrf, linearly or along a cosine."""
        if self.cosine:
            return (1 - math.cos(epoch * math.pi / self.epochs)) / 2 * (self.lrf - 1) + 1
        return (1 - epoch / self.epochs) * (1 - self.lrf) + self.lrf

    def learning_rates(self, step: int) -> tuple[float, float, float]:
        """The learning rates of (biases, decayed weights, norm weights). In the warm-up the biases come down from
        `warmup_bias_lr`, the others rise from 0."""
        target = self.lr0 * self.factor(step // self.batches)
        rising = self._warm(step, 0.0, target)
        return self._warm(step, self.warmup_bias_lr, target), rising, rising

    def momentum_at(self, step: int) -> float:
        """SGD's momentum; it rises from `warmup_momentum` in the warm-up."""
        return self._warm(step, self.warmup_momentum, self.momentum)

    def accumulation(self, step: int) -> int:
        """Batches per optimizer step; it grows from 1 in the warm-up."""
        return max(round(self._warm(step, 1.0, self.nominal_batch / self.batch_size)), 1)

    def is_update(self, step: int) -> bool:
        """Whether the optimizer steps after this batch: every `accumulation` batches of an epoch, and after its last
        batch, so that no gradient is dropped or carried into the next epoch (stock drops it)."""
        done = step % self.batches + 1
        return done == self.batches or done % self.accumulation(step) == 0

    def apply(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Set the optimizer's learning rates (groups in the order of `learning_rates`) and, for SGD, its momentum."""
        for group, rate in zip(optimizer.param_groups, self.learning_rates(step), strict=True):
            group["lr"] = rate
            if "momentum" in group:
                group["momentum"] = self.momentum_at(step)

    def _warm(self, step: int, start: float, end: float) -> float:
        part = min(step / self.warmup_steps, 1.0)
        return start + (end - start) * part if part < 1.0 else end


def random_size(image_size: int, stride: int, seed: int, epoch: int, batch: int) -> int:
    """The image size of one batch under --multi-scale: a multiple of `stride` within +/-50 % of `image_size`, the same
    for the same (seed, epoch, batch)."""
    generator = np.random.default_rng([seed, epoch, batch])
    drawn = int(generator.integers(int(image_size * MIN_SIZE), int(image_size * MAX_SIZE) + stride))
    return max(drawn // stride, 1) * stride


def resize_batch(images: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """Scale images (B, 3, H, W) so that the longer side is about `size`; both sides become multiples of `stride`."""
    height, width = images.shape[2:]
    scale = size / max(height, width)
    if scale == 1:
        return images
    shape = [math.ceil(side * scale / stride) * stride for side in (height, width)]
    return torch.nn.functional.interpolate(images, size=shape, mode="bilinear", align_corners=False)
