"""A model as a function from pictures to detections in their own pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from utils.detect_options import DetectOptions
from utils.detections import Detections
from utils.ensemble import check_ensemble, predict_parts, suppress_parts
from utils.errors import LOG, UserError
from utils.frames import Frame
from utils.letterbox import Letterbox, apply, check_image_size, fit
from utils.stopwatch import Stopwatch


class Detector:
    """A model with its thresholds: frames in, `Detections` out. `watch` holds the time that each stage took.

    multi_label: see `non_max_suppression`.
    """

    def __init__(self, model: Any, options: DetectOptions, multi_label: bool = False) -> None:
        _check_thresholds(options)
        check_ensemble(model, options.ensemble)
        _check_classes(options.classes, model.names)
        self.model = model
        self.options = options
        self.multi_label = multi_label
        self.size = _input_size(model, options.imgsz)
        self.watch = Stopwatch(model.device)
        self.shape: tuple[int, ...] = (1, 3, *self.size)  # of the last batch

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        """Look at n frames together."""
        found = self.find([frame.image for frame in frames])
        self.watch.count(len(frames))
        return [Detections.from_rows(rows, self.model.names) for rows in found]

    def find(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """n pictures (H, W, 3) uint8 BGR -> for each its (m, 6) float32 rows x1, y1, x2, y2, confidence, class, in its
        own pixels, by falling confidence."""
        return self.look(images, plan_letterboxes([image.shape[:2] for image in images], self.size, self.model))

    @torch.inference_mode()
    def look(self, images: Sequence[np.ndarray], plans: Sequence[Letterbox]) -> list[np.ndarray]:
        """As `find`, with the letterboxes (all of one size) given."""
        options = self.options
        with self.watch.stage("pre-process"):
            batch = self._to_input(images, plans)
        with self.watch.stage("inference"):
            predictions = predict_parts(self.model, batch, options.augment, options.ensemble)
        with self.watch.stage("NMS"):
            found = suppress_parts(
                predictions,
                options.conf_thres,
                options.iou_thres,
                classes=options.classes,
                agnostic=options.agnostic_nms,
                multi_label=self.multi_label,
                max_det=options.max_det,
            )
            tables = [rows.cpu().numpy() for rows in found]
        for rows, plan in zip(tables, plans):
            rows[:, :4] = plan.invert(rows[:, :4])
        return tables

    def _to_input(self, images: Sequence[np.ndarray], plans: Sequence[Letterbox]) -> torch.Tensor:
        """n pictures -> (n, 3, H, W) in 0..1, RGB, where and as the model wants it."""
        pixels = np.stack([apply(image, plan)[..., ::-1] for image, plan in zip(images, plans)])
        batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        self.shape = tuple(batch.shape)
        return batch.to(self.model.device).to(self.model.dtype) / 255


def plan_letterboxes(shapes: Sequence[tuple[int, int]], size: tuple[int, int], model: Any) -> list[Letterbox]:
    """One letterbox per (height, width), all of one size: the smallest rectangle where the pictures agree on it and
    the model takes any shape, else the full `size`."""
    if not model.fixed_shape:
        plans = [fit(shape, size, stride=model.max_stride) for shape in shapes]
        if len({plan.size for plan in plans}) == 1:
            return plans
    return [fit(shape, size, auto=False) for shape in shapes]


def _check_thresholds(options: DetectOptions) -> None:
    for flag, value in (("--conf-thres", options.conf_thres), ("--iou-thres", options.iou_thres)):
        if not 0 <= value <= 1:
            raise UserError(f"{flag} {value:g}: lies outside 0..1; give for example 0.25")
    if options.max_det < 1:
        raise UserError(f"--max-det {options.max_det}: give 1 or more")


def _check_classes(classes: Sequence[int] | None, names: Mapping[int, str]) -> None:
    unknown = [number for number in classes or () if number not in names]
    if unknown:
        known = ", ".join(f"{number} {name}" for number, name in sorted(names.items())[:20])
        more = ", ..." if len(names) > 20 else ""
        raise UserError(f"--classes {unknown[0]}: the model's classes are 0..{max(names)} ({known}{more})")


def _input_size(model: Any, imgsz: Sequence[int]) -> tuple[int, int]:
    """(height, width) of the network's input."""
    if len(imgsz) > 2:
        raise UserError(f"--imgsz {' '.join(map(str, imgsz))}: give one size, or height and width")
    if model.fixed_shape:
        size = tuple(model.fixed_shape[1:])
        if size != (imgsz[0], imgsz[-1]):
            LOG.warning("the exported file is frozen to %d x %d: pictures are fitted to that, not to --imgsz", *size)
        return size
    return check_image_size(tuple(imgsz), model.max_stride)
