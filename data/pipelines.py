"""What happens to a picture between file and batch: in training, and in validation."""

from dataclasses import dataclass

import cv2
import numpy as np

from data.augment import (
    Hyp,
    View,
    flip_boxes,
    flip_matrix,
    mixup,
    move_boxes,
    random_flips,
    random_hsv,
    random_view,
)
from data.dataset import DetectionDataset, Pick, Sample
from data.images import resized_shape
from data.mosaic import Tile, draw, plan_mosaic, plan_single, tile_boxes, tile_regions
from data.region_files import NONE, to_pixels
from utils.boxes import xywh_to_xyxy
from utils.letterbox import Letterbox, apply, fit
from utils.regions import flip, move, rectangles

Scene = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # picture, boxes, ignored regions
Flips = tuple[bool, bool]  # left to right, upside down
PARTNERS = 7  # three for the mosaic, four for the one that is mixed in


@dataclass(frozen=True)
class TrainPipeline:
    """Mosaic (hyp["mosaic"] of the samples, a mixed-in second one in hyp["mixup"] of those) or a letterboxed picture;
    random perspective; flips; hue, saturation and value.

    sizes (N, 2): each picture's (height, width) in rectangular training, which has no mosaic; None = squares of
    image_size. hyp["copy_paste"] is accepted and changes nothing: as in stock it moves outlines, and here are only
    boxes.
    """

    image_size: int
    hyp: Hyp
    sizes: np.ndarray | None = None

    def __call__(self, data: DetectionDataset, pick: Pick, rng: np.random.Generator) -> Sample:
        flips = random_flips(rng, self.hyp)
        if self.sizes is None and rng.random() < self.hyp.get("mosaic", 0.0):
            partners = pick.partners or tuple(rng.integers(len(data), size=PARTNERS).tolist())
            image, boxes, regions = self._mosaic(data, (pick.index, *partners[:3]), rng, flips)
            if rng.random() < self.hyp.get("mixup", 0.0):
                *second, more = self._mosaic(data, partners[3:PARTNERS], rng, flips)
                image, boxes = mixup((image, boxes), tuple(second), rng)
                regions = None if regions is None else np.concatenate((regions, more))
        else:
            image, boxes, regions = self._single(data, pick.index, rng, flips)
        image, original = random_hsv(image, rng, self.hyp), data.original(pick.index)
        return Sample(image, boxes, data.images[pick.index], original, regions=regions)

    def _mosaic(
        self, data: DetectionDataset, indices: tuple[int, ...], rng: np.random.Generator, flips: Flips
    ) -> Scene:
        tiles = plan_mosaic(rng.permutation(indices), data.shapes, self.image_size, rng)
        canvas, size = (2 * self.image_size,) * 2, (self.image_size,) * 2
        return _render(data, tiles, random_view(rng, self.hyp, canvas, size), flips)

    def _single(self, data: DetectionDataset, index: int, rng: np.random.Generator, flips: Flips) -> Scene:
        size = _size(self, index)
        tile = plan_single(index, data.shapes, self.image_size, size)
        return _render(data, [tile], random_view(rng, self.hyp, size, size), flips)


@dataclass(frozen=True)
class ValPipeline:
    """The longer side brought to image_size (area averages when shrinking), then grey borders up to sizes[i] (height,
    width), or up to the square."""

    image_size: int
    sizes: np.ndarray | None = None

    def __call__(self, data: DetectionDataset, pick: Pick, rng: np.random.Generator) -> Sample:
        index = pick.index
        height, width = original = data.original(index)
        inner = resized_shape(original, self.image_size)
        plan = fit(inner, _size(self, index), auto=False, scaleup=False)
        image = apply(_resize(data.read(index, 1.0)[0], inner), plan)
        ratio = plan.ratio[0] * inner[1] / width, plan.ratio[1] * inner[0] / height
        labels, boxes = data.labels[index].copy(), data.labels[index].copy()
        labels[:, 1:] = xywh_to_xyxy(labels[:, 1:]) * ([width, height] * 2)
        boxes[:, 1:] = labels[:, 1:] * (ratio * 2) + plan.pad * 2
        letterbox = Letterbox(original, plan.size, ratio, plan.pad)
        ignored = to_pixels(data.regions[index] if data.regions else NONE, original)
        regions = rectangles(ignored * (ratio * 2) + plan.pad * 2)
        return Sample(image, boxes, data.images[index], original, letterbox, labels, regions, ignored)


def _render(data: DetectionDataset, tiles: list[Tile], view: View, flips: Flips) -> Scene:
    """What lies on the canvas, seen through `view` and flipped."""
    boxes = np.concatenate([tile_boxes(tile, data.labels[tile.index], view.canvas) for tile in tiles])
    boxes = flip_boxes(move_boxes(boxes, view), flips, view.size)
    regions = None
    if data.regions is not None:
        regions = np.concatenate([tile_regions(tile, data.regions[tile.index]) for tile in tiles])
        regions = flip(move(rectangles(regions), view.matrix, view.size), flips, view.size)
    image = draw(tiles, flip_matrix(flips, view.size) @ view.matrix, view.size, data.shapes, data.read)
    return image, boxes, regions


def _size(pipeline: TrainPipeline | ValPipeline, index: int) -> tuple[int, int]:
    if pipeline.sizes is None:
        return pipeline.image_size, pipeline.image_size
    return tuple(pipeline.sizes[index].tolist())


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == shape:
        return image
    shrinks = max(image.shape[:2]) > max(shape)
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def batch_sizes(shapes: np.ndarray, batches: list[np.ndarray], image_size: int, stride: int, pad: float) -> np.ndarray:
    """(N, 2) height, width: for every picture the smallest rectangle (sides multiples of stride, pad strides spare)
    that holds all of its batch with the longer side at image_size."""
    sizes = np.zeros((len(shapes), 2), np.int64)
    for batch in batches:
        aspects = shapes[batch, 0] / shapes[batch, 1]
        part = np.ones(2)
        if aspects.max() < 1:
            part[0] = aspects.max()
        elif aspects.min() > 1:
            part[1] = 1 / aspects.min()
        sizes[batch] = np.ceil(part * image_size / stride + pad).astype(np.int64) * stride
    return sizes
