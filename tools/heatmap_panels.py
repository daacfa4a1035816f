"""Pictures side by side, each under a plate with its title, heatmaps in colours over them."""

from collections.abc import Sequence

import cv2
import numpy as np

from tools.heatmap_maps import HeatMap
from utils.draw import FONT, ascii_text

LONGEST = 480  # pixels of a panel's longer side at most
ACROSS = 4  # panels in a row at most
BAR = 22  # pixels of the plate above each panel
PLATE, TEXT = (40, 40, 40), (255, 255, 255)
SCALE, MARGIN = 0.42, 6  # of the title
SHARE = 0.55  # of the colours in the mixture
TINY = 1e-12


def shrink(image: np.ndarray) -> np.ndarray:
    """The picture at the size of a panel; small ones stay as they are."""
    ratio = min(LONGEST / max(image.shape[:2]), 1.0)
    size = [max(round(side * ratio), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) if ratio < 1 else image


def lay_back(heatmap: HeatMap, size: tuple[int, int]) -> np.ndarray:
    """The map's values at every pixel of the picture that was letterboxed, shown at `size` = (height, width)."""
    whole = cv2.resize(heatmap.values, heatmap.letterbox.size[::-1], interpolation=cv2.INTER_LINEAR)
    inner = np.ascontiguousarray(heatmap.letterbox.crop(whole))
    return cv2.resize(inner, size[::-1], interpolation=cv2.INTER_LINEAR)


def overlay(image: np.ndarray, values: np.ndarray, low: float, high: float) -> np.ndarray:
    """The (H, W, 3) uint8 picture with values (H, W) as colours over it: blue at `low`, red at `high`."""
    shown = np.clip((values - low) / max(high - low, TINY), 0, 1)
    colours = cv2.applyColorMap((shown * 255).round().astype(np.uint8), cv2.COLORMAP_JET)
    return cv2.addWeighted(image, 1 - SHARE, colours, SHARE, 0)


def panel(image: np.ndarray, title: str) -> np.ndarray:
    """The picture under a plate with its title, wide enough for it."""
    title = ascii_text(title)
    (width, _), _ = cv2.getTextSize(title, FONT, SCALE, 1)
    missing = max(width + 2 * MARGIN - image.shape[1], 0)
    image = cv2.copyMakeBorder(image, BAR, 0, 0, missing, cv2.BORDER_CONSTANT, value=PLATE)
    return cv2.putText(image, title, (MARGIN, BAR - 7), FONT, SCALE, TEXT, 1, cv2.LINE_AA)


def heat_panel(image: np.ndarray, heatmap: HeatMap, title: str) -> np.ndarray:
    """One map over the (shrunk) picture. Maps of a score go from 0 to their largest value, others from their smallest;
    a gate's smallest and largest are written down."""
    values = lay_back(heatmap, image.shape[:2])
    low, high = float(values.min()) if heatmap.found is None else 0.0, float(values.max())
    title = f"{title}, {heatmap.label}"
    if heatmap.is_gate:
        title += f": {low:.2f} to {high:.2f}"
    elif heatmap.found is not None:
        title += f": {heatmap.found} predictions" if heatmap.found else ": nothing found"
        title += ", map is 0" if heatmap.found and high <= 0 else ""
    return panel(overlay(image, values, low, high), title)


def side_by_side(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Panels of one height as one picture, ACROSS of them in a row."""
    rows = [np.hstack(panels[first : first + ACROSS]) for first in range(0, len(panels), ACROSS)]
    width = max(row.shape[1] for row in rows)
    missing = [width - row.shape[1] for row in rows]
    return np.vstack(
        [cv2.copyMakeBorder(r, 0, 0, 0, m, cv2.BORDER_CONSTANT, value=PLATE) for r, m in zip(rows, missing)]
    )
