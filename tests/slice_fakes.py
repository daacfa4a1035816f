"""A detector for slices: it sees every painted area of a picture, parts of areas too."""

import cv2
import numpy as np
import torch

from tests.detect_fakes import BLUE, RED, WHITE, PaintModel, paint
from tests.stock_files import tiny_model

COLOURS = (WHITE, RED, BLUE)


class BlobModel(PaintModel):
    """As PaintModel, but one box for each separate area; the larger an area, the more confident."""

    def __init__(self, fixed_shape=None, stride=32):
        super().__init__(fixed_shape)
        self.max_stride = stride

    def _boxes(self, image):
        red, green, blue = (image > 0.7).numpy()
        rows = torch.zeros(100, 5 + self.nc)
        count = 0
        for kind, mask in enumerate((red & green & blue, red & ~green & ~blue, blue & ~green & ~red)):
            _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            for left, top, width, height, area in stats[1:].tolist():
                confidence = 0.5 + 0.4 * area / (area + 500)
                row = [left + width / 2, top + height / 2, width, height, confidence]
                rows[count, :5] = torch.tensor(row)
                rows[count, 5 + kind] = 1.0
                count += 1
        return rows


def scatter(shape, count=40, largest=60, seed=0):
    """A picture with painted areas that do not touch, and their rows x1, y1, x2, y2, class."""
    rng = np.random.default_rng(seed)
    free, areas = np.ones(shape, bool), []
    while len(areas) < count:
        width, height = rng.integers(6, largest, 2)
        x, y = rng.integers(0, shape[1] - width), rng.integers(0, shape[0] - height)
        if free[max(y - 3, 0) : y + height + 3, max(x - 3, 0) : x + width + 3].all():
            free[y : y + height, x : x + width] = False
            areas.append((int(x), int(y), int(x + width), int(y + height), int(rng.integers(3))))
    image = paint(shape, *((*area[:4], COLOURS[area[4]]) for area in areas))
    return image, np.array(areas)


def lively_network(name="yolov5n.yaml"):
    """A small random network that answers to what it sees, so that no two places have the same confidence."""
    model = tiny_model(name).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)))
    for level in model.head.m:
        level.weight.data.mul_(0.3)
        level.bias.data.fill_(-0.5)
    return model.eval().fuse().requires_grad_(False)
