"""A detector that can be checked by eye, and pictures for it."""

from pathlib import Path

import cv2
import numpy as np
import torch

WHITE, RED, BLUE = (255, 255, 255), (0, 0, 255), (255, 0, 0)  # BGR


class PaintModel:
    """A predictor whose objects are the white (class 0), red (1) and blue (2) areas of a picture: one box each."""

    names = {0: "white", 1: "red", 2: "blue"}
    nc = 3
    max_stride = 32
    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, fixed_shape=None):
        self.fixed_shape = fixed_shape
        self.inputs = []
        self.augment = None

    def predict(self, images, augment=False):
        self.inputs.append(tuple(images.shape))
        self.augment = augment
        return torch.stack([self._boxes(image) for image in images])

    def _boxes(self, image):
        red, green, blue = image > 0.7
        rows = torch.zeros(3, 5 + self.nc)
        for kind, mask in enumerate((red & green & blue, red & ~green & ~blue, blue & ~green & ~red)):
            y, x = mask.nonzero(as_tuple=True)
            if len(x):
                left, top, right, bottom = x.min(), y.min(), x.max() + 1, y.max() + 1
                box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
                rows[kind, :5] = torch.tensor([*map(float, box), 0.9 - 0.1 * kind])
                rows[kind, 5 + kind] = 1.0
        return rows


def paint(shape, *areas):
    """A black (height, width) picture with areas (x1, y1, x2, y2, colour)."""
    image = np.zeros((*shape, 3), np.uint8)
    for x1, y1, x2, y2, colour in areas:
        image[y1:y2, x1:x2] = colour
    return image


def save(path, image):
    """Write through imencode: names may hold any letters."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(cv2.imencode(Path(path).suffix, image)[1].tobytes())
    return Path(path)


def save_video(path, images, fps=10.0, fourcc="MJPG"):
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, (width, height))
    assert writer.isOpened()
    for image in images:
        writer.write(image)
    writer.release()
    return Path(path)


def counting_video(path, frames, shape=(48, 64), **options):
    """A video in which frame n (from 1) is grey of value 8 n."""
    return save_video(path, [np.full((*shape, 3), 8 * n % 256, np.uint8) for n in range(1, frames + 1)], **options)


def number_of(image):
    """Which frame of a counting video this is."""
    return round(float(image.mean()) / 8)


def read_frames(path):
    """All pictures of a video file."""
    capture = cv2.VideoCapture(str(path))
    assert capture.isOpened(), f"{path} cannot be played"
    images = []
    while True:
        good, image = capture.read()
        if not good:
            capture.release()
            return images
        images.append(image)
