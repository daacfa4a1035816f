"""What a detector found in one picture."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """n objects in one picture, by falling confidence.

    xyxy (n, 4) float32 in original pixels; confidence (n,) float32 in 0..1; class_id (n,) int64; names maps every
    class number to its name.
    """

    xyxy: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    names: Mapping[int, str]

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        if self.xyxy.shape != (n, 4) or self.confidence.shape != (n,) or self.class_id.shape != (n,):
            shapes = self.xyxy.shape, self.confidence.shape, self.class_id.shape
            raise ValueError(f"shapes (n, 4), (n,), (n,) are expected, not {shapes}")

    def __len__(self) -> int:
        return len(self.xyxy)

    @classmethod
    def from_rows(cls, rows: np.ndarray, names: Mapping[int, str]) -> "Detections":
        """From (n, 6) rows of x1, y1, x2, y2, confidence, class: what non-maximum suppression returns."""
        rows = np.asarray(rows, dtype=np.float32).reshape(-1, 6)
        return cls(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), names)

    def summary(self) -> str:
        """'3 cars, 1 bus', in class order; '(no detections)' when empty."""
        if not len(self):
            return "(no detections)"
        counts = zip(*np.unique(self.class_id, return_counts=True))
        return ", ".join(f"{n} {self.names[int(c)]}{'s' if n > 1 else ''}" for c, n in counts)
