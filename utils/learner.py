"""What learns: a network, the average of its weights, and the optimizer with its gradient scaler."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils.averaging import WeightAverage
from utils.finite import nonfinite_error
from utils.optim import MAX_GRADIENT_NORM

Loss = Callable[..., tuple[torch.Tensor, torch.Tensor]]  # of raw maps, targets and, where there are any, regions


def autocast_dtype(device: torch.device) -> torch.dtype:
    """The type that layers compute in: bfloat16 where the device has units for it (newer CUDA GPUs, CPUs with AMX),
    float16 on other CUDA GPUs, else float32."""
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # older PyTorch cannot tell
        return torch.bfloat16 if capabilities.get("amx_bf16") else torch.float32
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


@dataclass
class Learner:
    """The tensors that change in training; a checkpoint holds them all."""

    model: nn.Module
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    dtype: torch.dtype = torch.float32

    @classmethod
    def start(cls, model: nn.Module, optimizer: torch.optim.Optimizer) -> "Learner":
        """A learner at its first step: the average equals the model, the precision is what its device is good at."""
        device = next(model.parameters()).device
        dtype = autocast_dtype(device)
        scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        return cls(model, WeightAverage(model), optimizer, scaler, dtype)

    def autocast(self) -> AbstractContextManager:
        """Where forward passes run: in `dtype` where layers allow it."""
        device = next(self.model.parameters()).device
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(device.type, self.dtype)

    def train_step(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        loss: Loss,
        update: bool,
        regions: torch.Tensor | None = None,
    ) -> list[float] | None:
        """Forward and backward; where `update`, also clip the gradients, step and forget them. `regions` (M, 9), if
        there are any, are the loss's third argument.

        Returns the loss terms, or None, the weights untouched, where a term or the gradient's norm is not finite
        (with float16 a norm may be: the scaler skips such a step by itself).
        """
        with self.autocast():
            raw = self.model(images)
        total, terms = loss(raw, targets) if regions is None or not len(regions) else loss(raw, targets, regions)
        self.scaler.scale(total).backward()
        checked = [terms]
        if update:
            self.scaler.unscale_(self.optimizer)
            parameters = [p for p in self.model.parameters() if p.grad is not None]
            norm = nn.utils.get_total_norm([p.grad for p in parameters])
            checked += [] if self.scaler.is_enabled() else [norm.reshape(1)]
        values = torch.cat(checked).tolist()  # the one wait for the device in a step
        if not all(map(math.isfinite, values)):
            return None
        if update:
            nn.utils.clip_grads_with_norm_(parameters, MAX_GRADIENT_NORM, norm)  # a NaN would reach them all
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad()
            self.average.update(self.model)
        return values[: len(terms)]

    def explain(self, images: torch.Tensor, place: str, files: Iterable[Path]) -> Exception:
        """The error for a batch of which `train_step` returned None; see `nonfinite_error`."""

        def forward() -> None:
            with self.autocast():
                self.model(images)

        return nonfinite_error(self.model, forward, place, files)

    def pack(self) -> dict[str, Any]:
        """Everything that resuming needs beside the averaged weights, as plain data and tensors."""
        return {
            "model": dict(self.model.state_dict()),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, packed: dict[str, Any], averaged: dict[str, torch.Tensor]) -> None:
        """Take over what `pack` gave; `averaged` is the checkpoint's state_dict. Where they do not fit: KeyError,
        TypeError, ValueError, AttributeError or RuntimeError."""
        self.model.load_state_dict(packed["model"])
        self.average.model.load_state_dict(averaged)
        self.average.updates = packed["updates"]
        self.optimizer.load_state_dict(packed["optimizer"])
        for parameter, buffers in self.optimizer.state.items():  # which PyTorch itself does not look at
            for name, buffer in buffers.items():
                if isinstance(buffer, torch.Tensor) and buffer.shape not in ((), parameter.shape):
                    raise ValueError(f"{name} of {tuple(buffer.shape)} for weights of {tuple(parameter.shape)}")
        if packed["scaler"] and self.scaler.is_enabled():
            self.scaler.load_state_dict(packed["scaler"])
