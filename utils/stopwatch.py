"""How long the stages of inference take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the time of named stages; a GPU's work is waited for, so that it counts where it was asked for."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.seconds: dict[str, float] = {}
        self.last: dict[str, float] = {}  # seconds of the latest pass of each stage
        self.pictures = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        start = self._now()
        yield
        self.last[name] = self._now() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + self.last[name]

    def count(self, pictures: int) -> None:
        """These many pictures went through all stages."""
        self.pictures += pictures

    def milliseconds(self) -> dict[str, float]:
        """Per stage and picture; empty before the first picture."""
        return {name: seconds * 1e3 / self.pictures for name, seconds in self.seconds.items()} if self.pictures else {}

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
