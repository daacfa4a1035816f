"""A data set's figures as one picture: classes, sizes, crowding, places."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from utils.draw import colour
from utils.plots import MANY_CLASSES, new_figure, plain, save_figure

EDGES = (8, 16, 32, 64)  # pixels, drawn as lines
PLACES = 64  # bins along each side of the heat map


def plot_statistics(
    path: Path,
    classes: Mapping[str, int],
    sizes: Mapping[str, np.ndarray],
    per_image: np.ndarray,
    places: np.ndarray | None,
) -> None:
    """Write the picture. classes: name -> objects; sizes: title -> (n,) pixels, one curve each; per_image (images,)
    objects in each; places (n, 2) centres in 0..1 of their image, None where image sizes are not known."""
    figure, panels = new_figure(10, 8, 2, 2)
    _plot_classes(panels[0, 0], classes)
    _plot_sizes(panels[0, 1], sizes)
    panels[1, 0].hist(per_image, bins=50)
    panels[1, 0].set(xlabel="objects in an image", ylabel="images")
    _plot_places(panels[1, 1], places)
    save_figure(figure, path, dpi=110)


def _plot_classes(panel: Axes, classes: Mapping[str, int]) -> None:
    numbers = range(len(classes))
    panel.bar(numbers, list(classes.values()), color=[np.array(colour(c)[::-1]) / 255 for c in numbers])
    panel.set_ylabel("objects")
    if len(classes) <= MANY_CLASSES + 10:
        panel.set_xticks(numbers, [plain(name) for name in classes], rotation=90, fontsize=9)


def _plot_sizes(panel: Axes, sizes: Mapping[str, np.ndarray]) -> None:
    bins = np.geomspace(1, 1024, 61)
    for title, values in sizes.items():
        panel.hist(values.clip(bins[0], bins[-1]), bins=bins, histtype="step", label=title)
    for edge in EDGES:
        panel.axvline(edge, color="0.7", linewidth=0.8)
    panel.set_xscale("log", base=2)
    panel.set_xticks([1, 2, 4, *EDGES, 128, 256, 512, 1024], [1, 2, 4, *EDGES, 128, 256, 512, 1024])
    panel.set(xlabel="size: square root of the area, pixels", ylabel="objects")
    panel.legend(fontsize=9)


def _plot_places(panel: Axes, places: np.ndarray | None) -> None:
    if places is None:
        panel.set_axis_off()
        return
    counts = np.histogram2d(places[:, 1], places[:, 0], bins=PLACES, range=((0, 1), (0, 1)))[0]
    panel.imshow(counts, cmap="magma", extent=(0, 1, 1, 0), aspect="auto")
    panel.set(xlabel="centres: x", ylabel="y")
