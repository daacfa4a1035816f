"""Where a training run stands between two epochs."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

Row = list[float]


@dataclass
class TrainState:
    """The loop's own state; everything else is a function of it, of the options or stands in the learner's tensors.

    epoch: epochs finished, so also the number of the next one; history: the rows of results.csv, one per epoch;
    class_map: mAP50-95 per class of the last validation, for --image-weights.
    """

    epoch: int = 0
    best_fitness: float = 0.0
    best_epoch: int = 0
    history: list[Row] = field(default_factory=list)
    class_map: list[float] = field(default_factory=list)

    def finish_epoch(self, row: Row, fitness: float | None) -> bool:
        """Record an epoch (fitness None: not validated) and return whether it is the best so far; a tie counts, so
        that the first epochs, all at 0, give way to later ones."""
        best = fitness is not None and fitness >= self.best_fitness
        if best:
            self.best_fitness, self.best_epoch = fitness, self.epoch
        self.history.append(row)
        self.epoch += 1
        return best

    def is_stale(self, patience: int) -> bool:
        """Whether the last `patience` epochs brought no better fitness (patience 0: never)."""
        return bool(patience) and self.epoch - 1 - self.best_epoch >= patience

    def pack(self) -> dict[str, Any]:
        """The state as plain data; `utils.plain.from_plain` is the way back."""
        return dataclasses.asdict(self)
