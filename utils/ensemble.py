"""One model or several together: candidates of each, and the objects that are left of them."""

from collections.abc import Sequence
from typing import Any

import torch

from utils.errors import UserError
from utils.merging import fuse_models
from utils.nms import non_max_suppression

ENSEMBLES = ("nms", "wbf")
ENSEMBLE_HELP = "several --weights: one NMS over all their boxes (nms), or weighted box fusion of their results (wbf)"


def check_ensemble(model: Any, ensemble: str) -> None:
    """Raise `UserError` for a way that is not known or a fusion of one model's boxes with nothing."""
    if ensemble not in ENSEMBLES:
        raise UserError(f"--ensemble {ensemble}: is not known; give {' or '.join(ENSEMBLES)}")
    if ensemble == "wbf" and not hasattr(model, "predict_each"):
        raise UserError("--ensemble wbf: fuses the boxes of several models; give two or more .pt files as --weights")


def predict_parts(model: Any, images: torch.Tensor, augment: bool = False, ensemble: str = "nms") -> list[torch.Tensor]:
    """(B, 3, H, W) in 0..1 -> decoded candidates (B, N, 5+nc), in lists that `suppress_parts` is to treat apart: one of
    all models together, or ('wbf') one per model."""
    if ensemble == "wbf":
        return model.predict_each(images, augment)
    return [model.predict(images, augment=augment)]


def suppress_parts(
    predictions: Sequence[torch.Tensor], conf_thres: float, iou_thres: float, *, max_det: int, **rules: Any
) -> list[torch.Tensor]:
    """What `non_max_suppression` gives, which takes the same rules. Several lists of candidates are suppressed each on
    its own and then fused per picture (boxes with an IoU above `iou_thres`); a box that only few models see has lost
    confidence by that, and goes if it is no longer above `conf_thres`."""
    found = [non_max_suppression(part, conf_thres, iou_thres, max_det=max_det, **rules) for part in predictions]
    if len(found) == 1:
        return found[0]
    fused = [fuse_models(parts, iou_thres, agnostic=rules.get("agnostic", False)) for parts in zip(*found)]
    return [rows[rows[:, 4] > conf_thres][:max_det] for rows in fused]
