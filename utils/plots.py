"""Diagrams as picture files. Every figure is an object of its own; matplotlib's global state is not touched."""

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from utils.errors import UserError
from utils.files import atomic_path
from utils.metrics import CONFIDENCES, Scores, smooth

MANY_CLASSES = 20  # more get thin grey lines and no legend
ANNOTATED_CLASSES = 30  # a confusion matrix up to this size has its numbers written in

# results.csv column -> its place and title in results.png, as in stock.
PANELS = (
    "train/box_loss",
    "train/obj_loss",
    "train/cls_loss",
    "metrics/precision",
    "metrics/recall",
    "val/box_loss",
    "val/obj_loss",
    "val/cls_loss",
    "metrics/mAP_0.5",
    "metrics/mAP_0.5:0.95",
)


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, np.ndarray]:
    """A figure of so many inches and its (rows, columns) array of axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write the picture, whole or not at all; the suffix says in which format."""
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name that the font cannot write: boxes
        figure.savefig(temporary, dpi=dpi)


def plain(text: str) -> str:
    """Text that matplotlib does not read as a formula."""
    return text.replace("$", r"\$")


def plot_curves(scores: Scores, folder: Path) -> list[Path]:
    """Write PR_curve.png, F1_curve.png, P_curve.png and R_curve.png; returns their paths."""
    curves = scores.curves
    names = [row.name for row in scores.per_class]
    paths = [folder / f"{letters}_curve.png" for letters in ("PR", "F1", "P", "R")]
    labels = [f"{row.name} {row.map50:.3f}" for row in scores.per_class]
    total = f"all classes {scores.map50:.3f} mAP@0.5"
    _plot_lines(paths[0], curves.pr, labels, total, ("Recall", "Precision"))
    for path, values, axis in zip(paths[1:], (curves.f1, curves.precision, curves.recall), ("F1", *_AXES)):
        mean = smooth(values.mean(0), 0.05) if len(values) else np.zeros(len(CONFIDENCES))
        total = f"all classes {mean.max():.2f} at {CONFIDENCES[mean.argmax()]:.3f}"
        _plot_lines(path, values, names, total, ("Confidence", axis))
    return paths


_AXES = ("Precision", "Recall")


def _plot_lines(path: Path, values: np.ndarray, labels: Sequence[str], total: str, axes: tuple[str, str]) -> None:
    """values (classes, 1000) over 0..1: a line per class and a thick one for their mean."""
    figure, panels = new_figure(9, 6)
    panel: Axes = panels[0, 0]
    few = len(values) <= MANY_CLASSES
    for row, label in zip(values, labels):
        style = {"label": plain(label)} if few else {"color": "grey"}
        panel.plot(CONFIDENCES, row, linewidth=1, **style)
    if len(values):
        panel.plot(CONFIDENCES, values.mean(0), linewidth=3, color="blue", label=total)
        figure.legend(loc="outside right upper")
    panel.set(xlabel=axes[0], ylabel=axes[1], xlim=(0, 1), ylim=(0, 1), title=f"{axes[1]}-{axes[0]} curve")
    save_figure(figure, path)


def plot_confusion(matrix: np.ndarray, names: Mapping[int, str], path: Path) -> None:
    """Write a confusion matrix (see ConfusionMatrix), every column (true class) as shares of its sum."""
    shares = matrix / np.maximum(matrix.sum(0, keepdims=True), 1)
    ticks = [*(plain(names[number]) for number in sorted(names)), "background"]
    size = min(max(6.0, 0.35 * len(ticks) + 3), 20.0)
    figure, panels = new_figure(size + 1, size)
    panel: Axes = panels[0, 0]
    figure.colorbar(panel.imshow(shares, cmap="Blues", vmin=0, vmax=1), ax=panel, shrink=0.8)
    fontsize = 9 if len(ticks) <= ANNOTATED_CLASSES else 6
    panel.set_xticks(range(len(ticks)), ticks, rotation=90, fontsize=fontsize)
    panel.set_yticks(range(len(ticks)), ticks, fontsize=fontsize)
    panel.set(xlabel="True", ylabel="Predicted", title="Confusion matrix")
    if len(ticks) <= ANNOTATED_CLASSES:
        for row, column in np.argwhere(shares >= 0.005):
            ink = "white" if shares[row, column] > 0.5 else "black"
            panel.text(column, row, f"{shares[row, column]:.2f}", ha="center", va="center", fontsize=7, color=ink)
    save_figure(figure, path)


def plot_results(csv_path: Path, path: Path | None = None) -> Path:
    """Draw a run's results.csv (losses and scores over the epochs) as results.png beside it, or as `path`."""
    path = path or csv_path.with_suffix(".png")
    columns = _read_columns(csv_path)
    figure, panels = new_figure(12, 6, 2, 5)
    for panel, name in zip(panels.flat, PANELS):
        panel.plot(columns["epoch"], columns[name], marker=".", linewidth=2, markersize=6)
        panel.set_title(name, fontsize=11)
    save_figure(figure, path)
    return path


def _read_columns(path: Path) -> dict[str, np.ndarray]:
    """A CSV file of numbers, by column name; cells may be padded with spaces."""
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    names = [cell.strip() for cell in header]
    missing = [name for name in ("epoch", *PANELS) if name not in names]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]!r}; a results.csv that train.py wrote is expected")
    table = np.array([[float(cell) for cell in row] for row in rows if row]).reshape(-1, len(names))
    return dict(zip(names, table.T))
