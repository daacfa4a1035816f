"""Index -> Sample: the pictures and labels of one split, and the pipeline that turns them into samples."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from data.image_cache import Getter
from data.images import read_image, reduce_image, reduction
from utils.letterbox import Letterbox

Pipeline = Callable[["DetectionDataset", "Pick", np.random.Generator], "Sample"]


@dataclass(frozen=True)
class Pick:
    """What a sampler asks for: a picture in an epoch. repeat counts how often it was asked for in that epoch already;
    partners are the pictures to combine it with (None = any, evenly)."""

    epoch: int
    index: int
    repeat: int = 0
    partners: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Sample:
    """One picture on its way into a batch: image (H, W, 3) uint8 BGR; boxes (n, 5) float32 class, x1, y1, x2, y2 in its
    pixels; original (height, width) of the file; regions (m, 4, 2) corners of its ignored regions' polygons in its
    pixels, None where the data set has none. Where the picture was merely resized and padded also letterbox, and in
    original pixels labels: the boxes, ignored: the regions (m, 4) float64 x1, y1, x2, y2."""

    image: np.ndarray
    boxes: np.ndarray
    path: Path
    original: tuple[int, int]
    letterbox: Letterbox | None = None
    labels: np.ndarray | None = None
    regions: np.ndarray | None = None
    ignored: np.ndarray | None = None


class DetectionDataset(Dataset):
    """images[i], labels[i] (n, 5) float32 class, cx, cy, w, h in 0..1, shapes[i] height, width in original pixels,
    regions[i] (m, 4) float64 cx, cy, w, h in 0..1 of the ignored regions (None = no picture has any).

    A sample depends only on (seed, pick): never on the process that makes it or on what was made before.
    """

    def __init__(
        self,
        images: list[Path],
        labels: list[np.ndarray],
        shapes: np.ndarray,
        pipeline: Pipeline,
        seed: int = 0,
        cache: Getter | None = None,
        regions: list[np.ndarray] | None = None,
    ) -> None:
        self.images, self.labels, self.shapes = images, labels, shapes
        self.pipeline, self.seed, self.cache = pipeline, seed, cache
        self.regions = regions

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, pick: Pick | int) -> Sample:
        pick = pick if isinstance(pick, Pick) else Pick(0, int(pick))
        rng = np.random.default_rng([self.seed, pick.epoch, pick.index, pick.repeat])
        return self.pipeline(self, pick, rng)

    def read(self, index: int, magnification: float) -> tuple[np.ndarray, tuple[float, float]]:
        """A picture for showing at `magnification` (shown / original size) or less, decoded no larger than that needs,
        and the (x, y) size of one of its pixels in original ones."""
        height, width = self.shapes[index]
        if self.cache is None:
            reduce = reduction((height, width), magnification)
            return read_image(self.images[index], reduce), (reduce, reduce)
        image = self.cache(index)
        step = width / image.shape[1], height / image.shape[0]
        reduce = reduction(image.shape[:2], magnification * max(step))
        return reduce_image(image, reduce), (step[0] * reduce, step[1] * reduce)

    def original(self, index: int) -> tuple[int, int]:
        """(height, width) of a picture's file."""
        return int(self.shapes[index][0]), int(self.shapes[index][1])
