"""Looking at large pictures in slices, so that small objects keep their pixels."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.detect_options import DetectOptions
from utils.detector import Detector
from utils.errors import LOG
from utils.letterbox import Letterbox, fit
from utils.merging import merge
from utils.slicing import Slicing, cut_boxes, cut_out, plan_slices, read_slicing

BATCH_PIXELS = 8 * 640 * 640  # of the slices that are in the network at once: bounds memory whatever the picture
MANY_SLICES = 1000  # of one picture, from which on it is said; 8000 x 6000 pixels have 192 slices of 640


def make_detector(model: Any, options: DetectOptions, multi_label: bool = False) -> Detector:
    """A `Detector`, or the one for slices if the options ask for them."""
    slicing = read_slicing(options)
    if slicing is None:
        return Detector(model, options, multi_label)
    return SlicedDetector(model, options, slicing, multi_label)


class SlicedDetector(Detector):
    """A `Detector` that looks at slices of every picture, pixel for pixel, and (if `slicing.full`) at the whole picture
    fitted to --imgsz. A picture no larger than a slice is only looked at whole.

    Slices are views; only a batch of them (`BATCH_PIXELS`) is ever there as floating point.
    """

    def __init__(self, model: Any, options: DetectOptions, slicing: Slicing, multi_label: bool = False) -> None:
        super().__init__(model, options, multi_label)
        self.slicing = slicing
        self.slice_size = _slice_input(model, slicing.size)
        batch = model.fixed_shape[0] if model.fixed_shape else 1
        self.batch = max(BATCH_PIXELS // math.prod(self.slice_size) // batch, 1) * batch
        self._told: set[str] = set()

    def find(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As in `Detector`."""
        before = dict(self.watch.seconds)
        found = [self._find_in(image) for image in images]
        self.watch.last = {stage: time - before.get(stage, 0.0) for stage, time in self.watch.seconds.items()}
        return found

    def is_sliced(self, shape: Sequence[int]) -> bool:
        """Whether a (height, width) picture is larger than one slice; the first that is not is mentioned in the log."""
        size = self.slicing.size
        if max(shape[:2]) > size:
            return True
        self._tell("--slice %d: pictures no larger are looked at whole, as one of %d x %d", size, *shape[:2])
        return False

    def add_slices(self, image: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """What is in the (H, W, 3) uint8 BGR picture: (n, 6) rows in its pixels, from its slices and from `whole`, the
        (m, 6) rows of those found in all of it."""
        slices = plan_slices(image.shape, self.slicing.size, self.slicing.overlap)
        if len(slices) > MANY_SLICES:
            asked = f"--slice {self.slicing.size} --slice-overlap {self.slicing.overlap:g}"
            self._tell(asked + ": a picture of %d x %d takes %d slices", *image.shape[:2], len(slices))
        parts, cuts = [whole], [np.zeros(len(whole), dtype=bool)]
        for start in range(0, len(slices), self.batch):
            batch = slices[start : start + self.batch]
            views = [cut_out(image, part) for part in batch]
            for rows, part in zip(self.look(views, [self._plan(view) for view in views]), batch):
                rows[:, :4] += np.array(part[:2] * 2, dtype=np.float32)
                parts.append(rows)
                cuts.append(cut_boxes(rows, part, image.shape))
        with self.watch.stage("NMS"):
            return self._merge(np.concatenate(parts), np.concatenate(cuts))

    def _find_in(self, image: np.ndarray) -> np.ndarray:
        if not self.is_sliced(image.shape):
            return super().find([image])[0]
        whole = super().find([image])[0] if self.slicing.full else np.empty((0, 6), np.float32)
        return self.add_slices(image, whole)

    def _plan(self, view: np.ndarray) -> Letterbox:
        """Grey borders only: small slices are not enlarged, large ones shrink where a frozen file leaves no choice."""
        frozen = self.model.fixed_shape is not None
        return fit(view.shape[:2], self.slice_size, stride=self.model.max_stride, auto=not frozen, scaleup=False)

    def _tell(self, message: str, *values: int) -> None:
        """Log a message for the first picture that it is true of."""
        if message not in self._told:
            self._told.add(message)
            LOG.info(message, *values)

    def _merge(self, rows: np.ndarray, cut: np.ndarray) -> np.ndarray:
        slicing, options = self.slicing, self.options
        by_border = slicing.match == "border"
        merged = merge(
            rows,
            slicing.merge,
            options.iou_thres,
            metric="iou" if by_border else slicing.match,
            cut=cut if by_border else None,
            agnostic=options.agnostic_nms,
        )
        return merged[: options.max_det]


class BatchSlicer:
    """Sliced inference for validation: adds to what was found in a batch what the slices of its files show.

    read: gives a file's picture, (H, W, 3) uint8 BGR; single_cls: all classes are one.
    """

    def __init__(self, detector: SlicedDetector, read: Callable[[Path], np.ndarray], single_cls: bool = False) -> None:
        self.detector, self.read, self.single_cls = detector, read, single_cls
        self.watch = detector.watch

    def look_whole(self, batch: Any) -> list[int]:
        """Numbers of the batch's pictures whose rows `__call__` wants: all, or without `slicing.full` the unsliced."""
        full, plans = self.detector.slicing.full, batch.letterboxes
        return [index for index, plan in enumerate(plans) if full or not self.detector.is_sliced(plan.original)]

    def __call__(self, batch: Any, found: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """batch: as the loader yields it; found: per picture its (n, 6) rows in original pixels. Returns such rows of
        whole pictures and slices together, and the same in pixels of the batch's pictures."""
        rows = [self._add(path, *rest) for path, *rest in zip(batch.paths, batch.letterboxes, found)]
        return rows, [_to_batch(table, plan) for table, plan in zip(rows, batch.letterboxes)]

    def _add(self, path: Path, plan: Letterbox, whole: np.ndarray) -> np.ndarray:
        if not self.detector.is_sliced(plan.original):
            return whole
        with self.watch.stage("pre-process"):
            image = self.read(path)
        rows = self.detector.add_slices(image, whole if self.detector.slicing.full else whole[:0])
        if self.single_cls:
            rows[:, 5] = 0
        return rows


def make_batch_slicer(model: Any, options: Any, max_det: int, read: Callable[[Path], np.ndarray]) -> BatchSlicer | None:
    """The `BatchSlicer` that the flags of val.py ask for, or None."""
    slicing = read_slicing(options)
    if slicing is None:
        return None
    shape = model.fixed_shape[1:] if model.fixed_shape else (_round_up(options.imgsz, model.max_stride),) * 2
    finding = DetectOptions(
        imgsz=tuple(shape),
        conf_thres=options.conf_thres,
        iou_thres=options.iou_thres,
        max_det=max_det,
        agnostic_nms=options.single_cls,
        augment=options.augment,
        ensemble=options.ensemble,
    )
    return BatchSlicer(SlicedDetector(model, finding, slicing, multi_label=True), read, options.single_cls)


def _to_batch(rows: np.ndarray, plan: Letterbox) -> np.ndarray:
    boxes = rows[:, :4] * np.array(plan.ratio * 2) + np.array(plan.pad * 2)
    return np.concatenate((boxes, rows[:, 4:]), 1).astype(np.float32)


def _slice_input(model: Any, size: int) -> tuple[int, int]:
    """(height, width) of the network's input for a slice; says so where it is not the slice's own."""
    if model.fixed_shape:
        height, width = model.fixed_shape[1:]
        if size > min(height, width):
            LOG.warning(
                "--slice %d: slices shrink to the %d x %d that the exported file is frozen to", size, height, width
            )
        elif size != height or size != width:
            LOG.info("--slice %d: slices are padded to the exported file's %d x %d", size, height, width)
        return height, width
    side = _round_up(size, model.max_stride)
    if side != size:
        stride = model.max_stride
        LOG.warning("--slice %d: is no multiple of the stride %d; slices are padded to %d pixels", size, stride, side)
    return side, side


def _round_up(size: int, stride: int) -> int:
    return math.ceil(size / stride) * stride
