"""Which pictures come in which order, and how often."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from data.dataset import Pick
from data.pipelines import PARTNERS


class EpochBatches:
    """Batches of `Pick`s for one epoch after another; the last one may be smaller.

    The order comes from (seed, epoch) alone. Without shuffle it is `order` (default 0, 1, 2, ...). With weights,
    pictures and their mosaic partners are drawn with replacement in proportion to them.
    """

    def __init__(
        self, count: int, batch_size: int, *, shuffle: bool, seed: int = 0, order: np.ndarray | None = None
    ) -> None:
        self.count, self.batch_size, self.shuffle, self.seed = count, batch_size, shuffle, seed
        self.order = np.arange(count) if order is None else order
        self.epoch = 0
        self.weights: np.ndarray | None = None

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[Pick]]:
        picks = self._picks()
        for start in range(0, self.count, self.batch_size):
            yield picks[start : start + self.batch_size]

    def batches(self) -> list[np.ndarray]:
        """The indices of each batch where nothing is shuffled."""
        return [self.order[i : i + self.batch_size] for i in range(0, self.count, self.batch_size)]

    def set_weights(self, weights: np.ndarray) -> None:
        """Draw by these (count,) weights, which must be positive in sum, from the next epoch on."""
        weights = np.asarray(weights, np.float64)
        if weights.shape != (self.count,) or not np.isfinite(weights).all() or weights.sum() <= 0:
            raise ValueError(f"{self.count} finite weights, not all zero, are expected")
        self.weights = weights / weights.sum()

    def _picks(self) -> list[Pick]:
        rng = np.random.default_rng([self.seed, self.epoch, self.count])  # count: no sample's own numbers
        if self.weights is None:
            order = rng.permutation(self.order) if self.shuffle else self.order
            return [Pick(self.epoch, int(index)) for index in order]
        drawn = rng.choice(self.count, (self.count, 1 + PARTNERS), p=self.weights).tolist()
        seen: Counter[int] = Counter()
        picks = []
        for index, *partners in drawn:
            picks.append(Pick(self.epoch, index, seen[index], tuple(partners)))
            seen[index] += 1
        return picks


def by_aspect(shapes: np.ndarray) -> np.ndarray:
    """Indices by growing height / width, for rectangular batches."""
    return np.argsort(shapes[:, 0] / shapes[:, 1], kind="stable")


def class_weights(labels: Sequence[np.ndarray], nc: int) -> np.ndarray:
    """(nc,) weights in proportion to 1 / how often a class occurs, summing to 1; never counts as once."""
    counts = _counts(labels, nc).sum(0)
    weights = 1 / np.maximum(counts, 1)
    return weights / weights.sum()


def image_weights(labels: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """(N,) weight of each picture: the sum of its objects' class weights (nc,)."""
    return _counts(labels, len(weights)) @ weights


def _counts(labels: Sequence[np.ndarray], nc: int) -> np.ndarray:
    return np.array([np.bincount(rows[:, 0].astype(np.int64), minlength=nc) for rows in labels]).reshape(-1, nc)
