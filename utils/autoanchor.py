"""Autoanchor: check how well a detection head's anchors fit a data set and replace them where they do not."""

import numpy as np
import torch
from torch import nn

from utils.anchors import GOOD_RECALL, fit_anchors, possible_recall
from utils.errors import LOG

PLAIN_SIDES = (1.5, 5.0)  # cells: smallest and largest square of a level where nothing can be fitted


def adapt_anchors(head: nn.Module, sizes: np.ndarray, anchor_t: float, seed: int = 0) -> float:
    """Return the best possible recall of `head` over objects of `sizes` (n, 2; pixels of the input), after replacing
    its anchors where the recall is below 0.98 and better ones are found. Says in one line what was done.

    `head` has `anchors` (nl, na, 2) in cells and `strides`; the anchors are changed in place, smallest on the level
    with the smallest stride. Placeholders (`anchors: N` in the YAML; one has no width) are always replaced: with too
    few objects to fit any, by squares of 1.5 to 5 cells on each level.
    """
    strides = torch.tensor(head.strides, dtype=torch.float32).view(-1, 1, 1)
    current = (head.anchors.detach().cpu().float() * strides).view(-1, 2).double().numpy()
    placeholders = bool((current <= 0).any())
    recall, per_object = possible_recall(sizes, current, anchor_t)
    words = f"autoanchor: best possible recall {recall:.4f} ({per_object:.2f} anchors per object)"
    if recall > GOOD_RECALL and not placeholders:
        LOG.info(f"{words}: the anchors fit")
        return recall
    fitted = fit_anchors(sizes, len(current), anchor_t, seed=seed)
    if fitted is None and placeholders:
        fitted = _plain_anchors(sorted(head.strides), head.anchors.shape[1])
    better = possible_recall(sizes, fitted, anchor_t)[0] if fitted is not None else 0.0
    if fitted is None or (better <= recall and not placeholders):
        LOG.info(f"{words}: no better anchors were found, the old ones are kept")
        return recall
    levels = torch.from_numpy(fitted).float().view(head.anchors.shape)
    rank = torch.argsort(torch.argsort(strides.flatten()))  # the level's place when sorted by stride
    with torch.no_grad():
        head.anchors.copy_((levels[rank] / strides).to(head.anchors))
    pixels = ", ".join(f"{width:.0f}x{height:.0f}" for width, height in fitted)
    LOG.info(f"{words}: replaced by {pixels}, with which it is {better:.4f}")
    return better


def _plain_anchors(strides: list[int], count: int) -> np.ndarray:
    """(levels * count, 2) squares in pixels, level by level."""
    sides = np.geomspace(*PLAIN_SIDES, count) if count > 1 else np.array([np.prod(PLAIN_SIDES) ** 0.5])
    return np.repeat((np.array(strides)[:, None] * sides).reshape(-1, 1), 2, axis=1)
