"""A data set's labels in diagrams: how many, where, how large."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes

from utils.boxes import xywh_to_xyxy
from utils.draw import colour
from utils.plots import MANY_CLASSES, new_figure, plain, save_figure

SHOWN_BOXES = 1000
SIDE = 1000  # pixels of the square on which the boxes are overlaid
BINS = 50
VARIABLES = ("x", "y", "width", "height")


def plot_labels(labels: np.ndarray, names: Mapping[int, str], folder: Path) -> None:
    """Write labels.jpg (classes, boxes, places, sizes) and labels_correlogram.jpg (place and size against each other).

    labels (n, 5): class, cx, cy, w, h in 0..1, of the whole data set.
    """
    labels = np.asarray(labels, dtype=np.float64).reshape(-1, 5)
    figure, panels = new_figure(8, 8, 2, 2)
    _plot_counts(panels[0, 0], labels[:, 0].astype(int), names)
    panels[0, 1].imshow(overlay(labels), extent=(0, 1, 1, 0))
    panels[0, 1].set_axis_off()
    _plot_density(panels[1, 0], labels[:, 1], labels[:, 2], "x", "y")
    _plot_density(panels[1, 1], labels[:, 3], labels[:, 4], "width", "height")
    save_figure(figure, folder / "labels.jpg")
    plot_correlogram(labels[:, 1:], folder / "labels_correlogram.jpg")


def plot_correlogram(boxes: np.ndarray, path: Path) -> None:
    """Every pair of cx, cy, w, h ((n, 4), 0..1) as a density, each alone as a histogram on the diagonal."""
    figure, panels = new_figure(9, 9, 4, 4)
    for row, column in np.ndindex(4, 4):
        panel: Axes = panels[row, column]
        if column > row:
            panel.set_axis_off()
        elif column == row:
            panel.hist(boxes[:, row], bins=BINS, range=(0, _reach(boxes[:, row])))
            panel.set_xlabel(VARIABLES[row])
        else:
            _plot_density(panel, boxes[:, column], boxes[:, row], VARIABLES[column], VARIABLES[row])
    save_figure(figure, path)


def overlay(labels: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE, 3) RGB: the first boxes of the data set, all moved to the centre, to show shapes and sizes."""
    image = np.full((SIDE, SIDE, 3), 255, np.uint8)
    shown = labels[:SHOWN_BOXES].copy()
    shown[:, 1:3] = 0.5
    corners = (xywh_to_xyxy(shown[:, 1:]) * SIDE).round().astype(int).tolist()
    for class_id, (left, top, right, bottom) in zip(shown[:, 0].astype(int).tolist(), corners):
        cv2.rectangle(image, (left, top), (right, bottom), colour(class_id)[::-1], 1)
    return image


def _plot_counts(panel: Axes, classes: np.ndarray, names: Mapping[int, str]) -> None:
    counts = np.bincount(classes, minlength=len(names))
    panel.bar(range(len(counts)), counts, color=[np.array(colour(c)[::-1]) / 255 for c in range(len(counts))])
    panel.set_ylabel("instances")
    if len(names) <= MANY_CLASSES + 10:
        panel.set_xticks(range(len(names)), [plain(names[c]) for c in sorted(names)], rotation=90, fontsize=9)
    else:
        panel.set_xlabel("classes")


def _plot_density(panel: Axes, x: np.ndarray, y: np.ndarray, x_name: str, y_name: str) -> None:
    """A two-dimensional histogram from 0 to the largest values."""
    reach = _reach(x), _reach(y)
    counts = np.histogram2d(y, x, bins=BINS, range=((0, reach[1]), (0, reach[0])))[0]
    panel.imshow(np.log1p(counts), cmap="Blues", origin="lower", extent=(0, reach[0], 0, reach[1]), aspect="auto")
    panel.set(xlabel=x_name, ylabel=y_name)


def _reach(values: np.ndarray) -> float:
    return max(float(values.max(initial=0)), 0.01)
