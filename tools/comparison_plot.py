"""The figure of a comparison: every run as a dot, and the differences from the base with their intervals."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from tools.comparison_table import Row
from utils.paired import Estimate
from utils.plots import new_figure, plain, save_figure


def plot_comparison(rows: Sequence[Row], path: Path) -> None:
    """Two rows of panels (mAP50, mAP50-95): on the left the seeds' scores and their mean, on the right each model's
    difference from the base with its 95 % interval, in percent; grey intervals hold zero."""
    figure, panels = new_figure(11, 2.4 + 0.7 * len(rows), 2, 2)
    for (left, right), name, values, differences in zip(
        panels,
        ("mAP50", "mAP50-95"),
        ([row.map50 for row in rows], [row.map for row in rows]),
        ([row.difference50 for row in rows], [row.difference for row in rows]),
    ):
        _draw_scores(left, values, f"{name} of each seed (%)")
        _draw_differences(right, differences[1:], f"{name}, difference from {plain(rows[0].model)} (points)")
        left.set_yticks(range(len(rows)), [plain(row.model) for row in rows])
        right.set_yticks(range(1, len(rows)), [])
        for panel in (left, right):
            panel.set_ylim(len(rows) - 0.5, -0.5)
            panel.grid(axis="x", alpha=0.3)
    save_figure(figure, path)


def _draw_scores(panel: Axes, values: Sequence[Sequence[float]], title: str) -> None:
    for place, scores in enumerate(values):
        panel.plot([100 * score for score in scores], [place] * len(scores), "o", color="tab:blue", alpha=0.6)
        if scores:
            panel.plot([100 * sum(scores) / len(scores)], [place], "|", color="black", markersize=18)
    panel.set_title(title, fontsize=10)


def _draw_differences(panel: Axes, differences: Sequence[Estimate], title: str) -> None:
    panel.axvline(0, color="black", linewidth=1)
    for place, found in enumerate(differences, start=1):
        if math.isnan(found.mean):
            continue
        colour = "tab:green" if found.mean > 0 else "tab:red"
        colour = colour if found.is_distinguishable else "grey"
        margin = 0.0 if math.isnan(found.margin) else 100 * found.margin
        panel.errorbar([100 * found.mean], [place], xerr=[margin], fmt="o", color=colour, capsize=4)
    panel.set_title(title, fontsize=10)
