"""Fixtures for all tests: few threads, since tests run beside each other, and a tiny made-up data set."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from utils.files import write_yaml

cv2.setNumThreads(0)
torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before the kernels are imported: they run without a GPU

SHAPES = ((96, 128), (128, 96), (100, 140), (64, 160))
NAMES = ("box", "disc", "bar")


def smooth_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A (height, width, 3) uint8 BGR picture without edges, so that resampling it changes little."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = [np.sin(x * rng.uniform(0.02, 0.06) + y * rng.uniform(0.02, 0.06) + rng.uniform(0, 6)) for _ in range(3)]
    return np.round(np.stack(waves, -1) * 90 + 128).astype(np.uint8)


def write_image(path: Path, image: np.ndarray) -> Path:
    """Write a picture in the format of its suffix; the name may hold any letters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(path.suffix, image)[1].tofile(path)
    return path


def write_dataset(folder: Path, train: int = 8, val: int = 4, names: tuple[str, ...] = NAMES) -> Path:
    """Write images/{train,val}/N.jpg of four shapes, each with three labelled objects, and return the data YAML."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            image = smooth_image(*SHAPES[number % len(SHAPES)], seed=number)
            write_image(folder / "images" / split / f"{number}.jpg", image)
            rows = [
                (int(rng.integers(len(names))), *rng.uniform(0.3, 0.7, 2), *rng.uniform(0.1, 0.5, 2)) for _ in "abc"
            ]
            label = folder / "labels" / split / f"{number}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("".join(f"{c} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for c, x, y, w, h in rows))
    content = {"path": str(folder), "train": "images/train", "val": "images/val", "names": list(names)}
    write_yaml(folder / "tiny.yaml", content)
    return folder / "tiny.yaml"


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """The YAML of a data set of 8 + 4 small JPEGs and three classes in tmp_path."""
    return write_dataset(tmp_path)
