"""A batch as one picture: its images side by side with their boxes, to be looked at."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from utils.boxes import xywh_to_xyxy
from utils.draw import draw_boxes, draw_label
from utils.files import atomic_path

MAX_IMAGES = 16
MAX_SIDE = 1920
MIN_CONFIDENCE = 0.25  # less certain boxes are left out
BORDER = 255
PLATE = (60, 60, 60)
REGION = (160, 160, 160)  # outlines of ignored regions


def save_mosaic(
    path: Path,
    images: torch.Tensor,
    rows: Sequence[np.ndarray],
    titles: Sequence[str],
    names: Mapping[int, str],
    regions: torch.Tensor | None = None,
) -> None:
    """Write up to 16 pictures of a batch as one.

    images (B, 3, H, W) uint8 RGB; rows: per image (n, 6) x1, y1, x2, y2, confidence, class in the batch's pixels
    (confidence NaN = a label: drawn without a number); titles: a line per image, such as its file name; regions
    (M, 9): image number and four corners x, y in 0..1 of its ignored regions, drawn as grey outlines below the boxes.
    """
    count = min(len(images), MAX_IMAGES)
    columns = math.ceil(math.sqrt(count))
    height, width = images.shape[2:]
    scale = min(MAX_SIDE / columns / max(height, width), 1.0)
    tile = max(round(height * scale), 1), max(round(width * scale), 1)
    canvas = np.full((math.ceil(count / columns) * tile[0], columns * tile[1], 3), BORDER, np.uint8)
    for number in range(count):
        image = np.ascontiguousarray(images[number].cpu().numpy().transpose(1, 2, 0)[..., ::-1])
        if image.shape[:2] != tile:
            image = cv2.resize(image, (tile[1], tile[0]), interpolation=cv2.INTER_AREA)
        if regions is not None and len(regions):
            _draw_regions(image, regions[regions[:, 0] == number, 1:])
        _draw_rows(image, rows[number], tile[0] / height, tile[1] / width, names)
        _draw_frame(image, titles[number])
        top, left = (number // columns) * tile[0], (number % columns) * tile[1]
        canvas[top : top + tile[0], left : left + tile[1]] = image
    write_image(path, canvas)


def target_rows(targets: torch.Tensor, batch: int, height: int, width: int) -> list[np.ndarray]:
    """A batch's targets (N, 6) image, class, cx, cy, w, h in 0..1 as `save_mosaic` wants them."""
    targets = targets.cpu().double().numpy()
    boxes = xywh_to_xyxy(targets[:, 2:6]) * (width, height, width, height)
    rows = np.concatenate((boxes, np.full((len(targets), 1), np.nan), targets[:, 1:2]), 1)
    return [rows[targets[:, 0] == number] for number in range(batch)]


def save_targets(
    path: Path,
    images: torch.Tensor,
    targets: torch.Tensor,
    titles: Sequence[str],
    names: Mapping[int, str],
    regions: torch.Tensor | None = None,
) -> None:
    """A mosaic of a batch with its targets, and its ignored regions: train_batch0.jpg, val_batch0_labels.jpg."""
    save_mosaic(path, images, target_rows(targets, len(images), *images.shape[2:]), titles, names, regions)


def write_image(path: Path, image: np.ndarray) -> None:
    """Write a BGR picture, whole or not at all; the suffix says in which format. Any file name works."""
    done, data = cv2.imencode(path.suffix, image)
    if not done:
        raise ValueError(f"{path}: OpenCV cannot write this picture as {path.suffix}")
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _draw_regions(image: np.ndarray, corners: torch.Tensor) -> None:
    """Outline (m, 8) polygons, corners x, y in parts of the picture."""
    points = corners.cpu().double().numpy().reshape(-1, 4, 2) * image.shape[1::-1]
    cv2.polylines(image, list(np.round(points).astype(np.int32)), isClosed=True, color=REGION, thickness=2)


def _draw_rows(image: np.ndarray, rows: np.ndarray, y_scale: float, x_scale: float, names: Mapping[int, str]) -> None:
    rows = rows[~(rows[:, 4] < MIN_CONFIDENCE)][::-1]  # the most confident on top
    kinds = rows[:, 5].astype(int).tolist()
    labels = [
        names[kind] if math.isnan(confidence) else f"{names[kind]} {confidence:.1f}"
        for kind, confidence in zip(kinds, rows[:, 4].tolist())
    ]
    draw_boxes(image, rows[:, :4] * (x_scale, y_scale, x_scale, y_scale), labels, kinds, thickness=1)


def _draw_frame(image: np.ndarray, title: str) -> None:
    height, width = image.shape[:2]
    cv2.rectangle(image, (0, 0), (width - 1, height - 1), (BORDER,) * 3, 2)
    draw_label(image, title[:40], (0, 0), PLATE, thickness=1)
