"""Batches from a data set: wiring, collating, workers."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from data.dataset import DetectionDataset, Sample
from data.image_cache import copies_in_memory, make_cache
from data.labels import label_path, read_labels
from data.pipelines import TrainPipeline, ValPipeline, batch_sizes
from data.samplers import EpochBatches, by_aspect
from data.spec import DatasetSpec
from utils.boxes import xyxy_to_xywh
from utils.errors import UserError
from utils.letterbox import Letterbox
from utils.memory import keep_freed_memory

EDGE = 1e-3  # pixels by which boxes stay inside the picture, as in stock
ERROR_MARK = f"{UserError.__name__}: "


@dataclass(frozen=True)
class Batch:
    """images (B, 3, H, W) uint8 RGB; targets (N, 6) float32 image number, class, cx, cy, w, h in 0..1 of the batch
    image; paths (B). In validation also letterboxes (B) and labels (B): (n, 5) class, x1, y1, x2, y2 in original
    pixels.

    Ignored regions, where objects may be that have no label: regions (M, 9) float32 image number, then x, y of four
    corners of a convex polygon in 0..1 of the batch image (a turned one may stick out); in validation also ignored (B):
    (k, 4) float64 x1, y1, x2, y2 in original pixels, exact where the data set's own were integers."""

    images: torch.Tensor
    targets: torch.Tensor
    paths: tuple[Path, ...]
    letterboxes: tuple[Letterbox, ...] = ()
    labels: tuple[np.ndarray, ...] = ()
    regions: torch.Tensor = field(default_factory=partial(torch.zeros, 0, 9))
    ignored: tuple[np.ndarray, ...] = ()

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory (PyTorch's loader calls this)."""
        pinned = {name: getattr(self, name).pin_memory() for name in ("images", "targets", "regions")}
        return replace(self, **pinned)


@dataclass(frozen=True)
class LoaderOptions:
    """How to make batches.

    image_size: the longer side; stride: batch sides are multiples of it; train: augment by `hyp` and shuffle; rect:
    batches of pictures of like shape, in fixed order; pad: spare strides of rectangular batches, None = stock's 0 in
    training, 0.5 in validation; cache: None, 'ram' or 'disk'; workers: processes, 0 = none (never more than
    processors or batches); seed: not negative; start_method: of the workers, None = the system's.
    """

    image_size: int = 640
    batch_size: int = 16
    stride: int = 32
    train: bool = False
    hyp: Mapping[str, float] = field(default_factory=dict)
    rect: bool = False
    pad: float | None = None
    cache: str | None = None
    workers: int = 0
    seed: int = 0
    single_cls: bool = False
    start_method: str | None = None


class Loader:
    """Iterating yields an epoch's `Batch`es; len() is their number. Call `set_epoch` before each epoch of training."""

    def __init__(
        self, dataset: DetectionDataset, order: EpochBatches, workers: int = 0, start_method: str | None = None
    ) -> None:
        self.dataset, self.order = dataset, order
        self.batch_size = order.batch_size
        workers = max(min(workers, os.cpu_count() or 1, len(order)), 0)
        self._batches = DataLoader(
            dataset,
            batch_sampler=order,
            num_workers=workers,
            collate_fn=collate,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=start_worker,
            persistent_workers=workers > 0,
            multiprocessing_context=start_method if workers else None,
        )

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        try:
            yield from self._batches
        except UserError as error:  # from a worker it comes wrapped in that process's traceback
            raise UserError(str(error).strip().rpartition(ERROR_MARK)[2]) from None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.order.epoch = epoch

    def set_image_weights(self, weights: np.ndarray) -> None:
        """From the next iteration on draw pictures in proportion to these (N,) weights."""
        self.order.set_weights(weights)


def build_loader(spec: DatasetSpec, split: str, options: LoaderOptions) -> Loader:
    """Read a split's labels and return its loader. `UserError` where there is nothing to work on."""
    found = read_labels(spec, split, options.single_cls)
    if options.train and not any(map(len, found.labels)):
        where = label_path(found.images[0])
        raise UserError(f"{spec.yaml_file}: '{split}:' has no labelled object; looked in {where} and so on")
    order = EpochBatches(
        len(found.images),
        options.batch_size,
        shuffle=options.train and not options.rect,
        seed=options.seed,
        order=by_aspect(found.shapes) if options.rect else None,
    )
    sizes = None
    if options.rect:
        pad = options.pad if options.pad is not None else (0.0 if options.train else 0.5)
        sizes = batch_sizes(found.shapes, order.batches(), options.image_size, options.stride, pad)
    if options.train:
        pipeline = TrainPipeline(options.image_size, options.hyp, sizes)
    else:
        pipeline = ValPipeline(options.image_size, sizes)
    copies = copies_in_memory(options.workers, options.start_method)
    cache = make_cache(options.cache, found.images, found.shapes, options.image_size, copies)
    dataset = DetectionDataset(found.images, found.labels, found.shapes, pipeline, options.seed, cache, found.regions)
    return Loader(dataset, order, options.workers, options.start_method)


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples of one size as a `Batch`."""
    height, width = samples[0].image.shape[:2]
    images = np.empty((len(samples), 3, height, width), np.uint8)
    targets = []
    for i, sample in enumerate(samples):
        to_planes(sample.image, images[i])
        boxes = sample.boxes[:, 1:5].clip(0, np.array([width, height] * 2) - EDGE)
        numbers = np.full((len(boxes), 1), i)
        parts = xyxy_to_xywh(boxes) / ([width, height] * 2)
        targets.append(np.concatenate((numbers, sample.boxes[:, :1], parts), 1).astype(np.float32))
    letterboxes = tuple(sample.letterbox for sample in samples if sample.letterbox is not None)
    return Batch(
        torch.from_numpy(images),
        torch.from_numpy(np.concatenate(targets)),
        tuple(sample.path for sample in samples),
        letterboxes,
        tuple(sample.labels for sample in samples if sample.labels is not None),
        _region_rows(samples, (width, height)),
        tuple(sample.ignored for sample in samples if sample.ignored is not None),
    )


def _region_rows(samples: Sequence[Sample], size: tuple[int, int]) -> torch.Tensor:
    """The samples' ignored regions as a batch's, size = (width, height)."""
    found = [(i, sample.regions) for i, sample in enumerate(samples) if sample.regions is not None]
    rows = [np.insert((corners / size).reshape(-1, 8), 0, i, axis=1) for i, corners in found if len(corners)]
    return torch.from_numpy(np.concatenate(rows).astype(np.float32)) if rows else torch.zeros(0, 9)


def to_planes(image: np.ndarray, planes: np.ndarray) -> None:
    """Write a (H, W, 3) BGR picture into (3, H, W) RGB planes."""
    for channel in range(3):
        cv2.extractChannel(image, 2 - channel, dst=planes[channel])


def start_worker(number: int) -> None:
    """One thread per process and no memory given back; stopping is the main process's business."""
    keep_freed_memory()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
