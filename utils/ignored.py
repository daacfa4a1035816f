"""Leaving out of the scores what lies in ignored regions."""

from typing import Any

import numpy as np

from utils.visdrone_match import inside_ignored


def drop_ignored(batch: Any, found: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The detections (n, 6) and labels (m, 5) of a validation batch, per image, without those that lie at least half
    in ignored regions by VisDrone's rule (`inside_ignored`). A batch whose images have none comes back as it is.

    batch.ignored: per image the regions (k, 4) x1, y1, x2, y2 in original pixels; it may be missing or empty.
    """
    labels = list(batch.labels)
    regions = getattr(batch, "ignored", ())
    if not any(map(len, regions)):
        return list(found), labels
    kept = []
    for rows, truth, corners, letterbox in zip(found, labels, regions, batch.letterboxes):
        place = _to_sides(corners), *letterbox.original
        keep = [~inside_ignored(_to_sides(boxes), *place) for boxes in (rows[:, :4], truth[:, 1:5])]
        kept.append((rows[keep[0]], truth[keep[1]]))
    return [rows for rows, _ in kept], [truth for _, truth in kept]


def _to_sides(corners: np.ndarray) -> np.ndarray:
    """(n, 4) x1, y1, x2, y2 -> left, top, width, height in float64."""
    corners = np.asarray(corners, np.float64).reshape(-1, 4)
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
