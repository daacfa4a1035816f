"""A data set, a model and hyper-parameters that train in seconds."""

import cv2
import numpy as np

from utils.files import write_yaml
from utils.hyp import load_hyp

SIDE = 64
NAMES = {0: "blue", 1: "green", 2: "red"}
MODEL = {
    "nc": 80,
    "depth_multiple": 0.33,
    "width_multiple": 0.125,
    "anchors": [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119]],
    "backbone": [
        [-1, 1, "Conv", [64, 6, 2, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "C3", [128]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 1, "EMA", [128, 8]],
        [-1, 1, "SPPF", [128, 5]],
    ],
    "head": [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 3], 1, "Concat", [1]],
        [-1, 1, "C3", [128, False]],
        [[9, 6], 1, "Detect", ["nc", "anchors"]],
    ],
}


def write_tiny(folder, train=12, val=6):
    """Write images of coloured rectangles, their labels, tiny.yaml (the data set), model.yaml and hyp.yaml (fit for a
    few epochs of AdamW); returns the flags that train on them."""
    for number, (split, count) in enumerate({"train": train, "val": val}.items()):
        write_split(folder / "set", split, count, np.random.default_rng(number))
    data = {"path": str(folder / "set"), "train": "images/train", "val": "images/val", "names": NAMES}
    write_yaml(folder / "tiny.yaml", data)
    write_yaml(folder / "model.yaml", MODEL)
    changes = {"lr0": 0.01, "lrf": 0.01, "warmup_bias_lr": 0.05, "nbs": 4.0, "mosaic": 0.3}
    write_yaml(folder / "hyp.yaml", load_hyp("hyp.scratch-low.yaml") | changes)
    return {
        "cfg": str(folder / "model.yaml"),
        "data": str(folder / "tiny.yaml"),
        "hyp": str(folder / "hyp.yaml"),
        "imgsz": SIDE,
        "batch_size": 4,
        "optimizer": "AdamW",
        "workers": 0,
        "device": "cpu",
        "project": str(folder / "runs"),
    }


def write_split(root, split, count, rng):
    """Images of three rectangles each; a class is a colour."""
    images, labels = root / "images" / split, root / "labels" / split
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number in range(count):
        image, rows = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8), []
        for _ in range(3):
            kind, (width, height) = int(rng.integers(3)), rng.integers(8, 28, 2)
            left, top = rng.integers(0, SIDE - width), rng.integers(0, SIDE - height)
            image[top : top + height, left : left + width] = 40
            image[top : top + height, left : left + width, kind] = 255
            box = ((left + width / 2) / SIDE, (top + height / 2) / SIDE, width / SIDE, height / SIDE)
            rows.append(" ".join(map(str, (kind, *box))))
        cv2.imwrite(str(images / f"{number}.png"), image)
        (labels / f"{number}.txt").write_text("\n".join(rows))
