"""From a picture to what a network's layers say of it, by hooks on the layers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models import DetectionModel
from tools import cam
from tools.heatmap_layers import Spot
from utils.detector import Detector, plan_letterboxes
from utils.errors import UserError
from utils.letterbox import Letterbox, apply

WEIGHTED = {"gradcam": cam.gradcam, "gradcam++": cam.gradcam_plus_plus}  # methods that ask for a score's gradient
METHODS = (*WEIGHTED, "eigencam", "gates")


@dataclass(frozen=True, eq=False)
class HeatMap:
    """What one layer says of one picture.

    values (h, w) in the layer's cells, which cover the letterboxed picture; found: predictions in the score, None for
    methods without one; is_gate: values are factors in 0..1, not a class activation map.
    """

    label: str
    values: np.ndarray
    letterbox: Letterbox
    found: int | None = None
    is_gate: bool = False


def look(
    detector: Detector, image: np.ndarray, spots: Sequence[Spot], method: str, class_id: int | None = None
) -> list[HeatMap]:
    """One map for each layer, of a (H, W, 3) uint8 BGR picture by one of METHODS, at the detector's image size.

    The detector's confidence threshold and `class_id` decide which predictions are in the score of gradcam and
    gradcam++; without any their map is 0.
    """
    letterbox = plan_letterboxes([image.shape[:2]], detector.size, detector.model)[0]
    images = _to_input(detector.model, apply(image, letterbox))
    maps = []
    for spot in spots:
        found = None
        if method == "gates":
            values = _gates(detector.model, spot, images)
        elif method == "eigencam":
            with torch.no_grad(), _watch(spot.module) as seen:
                detector.model.predict(images)
            values = cam.eigencam(_map_of(spot, seen))
        else:
            values, found = _weighted(detector, spot, images, method, class_id)
        maps.append(HeatMap(spot.label, values.float().cpu().numpy(), letterbox, found, method == "gates"))
    return maps


def _to_input(model: DetectionModel, picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 BGR -> (1, 3, H, W) in 0..1, RGB."""
    planes = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(planes)[None].to(model.device).to(model.dtype) / 255


def _weighted(detector: Detector, spot: Spot, images: Tensor, method: str, class_id: int | None) -> tuple[Tensor, int]:
    """The map of a method that needs gradients, and the number of predictions in its score."""
    with torch.enable_grad(), _watch(spot.module, cut=True) as seen:
        predictions = detector.model.predict(images)[0]
        score, found = cam.target_score(predictions, class_id, detector.options.conf_thres)
    activations = _map_of(spot, seen)
    gradients = torch.autograd.grad(score, seen[-1], allow_unused=True)[0] if score.requires_grad else None
    if gradients is None:
        raise UserError(f"layer {spot.label} has no part in the predictions; choose another")
    return WEIGHTED[method](activations, gradients[0]), found


def _gates(model: DetectionModel, spot: Spot, images: Tensor) -> Tensor:
    """The mean over the groups of an EMA block's factors."""
    seen: list[tuple[Tensor, Tensor]] = []
    handle = spot.module.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0], output)))
    try:
        with torch.no_grad():
            model.predict(images)
    finally:
        handle.remove()
    return cam.gates(*seen[-1], spot.module.groups)[0].mean(0)


@contextmanager
def _watch(module: nn.Module, cut: bool = False) -> Iterator[list[Tensor]]:
    """A list that takes what the module gives, each time that it runs.

    cut: the network goes on with a copy of it from which gradients reach the tensor in the list and nothing before it.
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if not cut or not isinstance(output, Tensor):
            seen.append(output)
            return None
        seen.append(output.detach().requires_grad_())
        return seen[-1].clone()  # what follows may work in place

    handle = module.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def _map_of(spot: Spot, seen: list[Tensor]) -> Tensor:
    """The (C, H, W) map of the one picture; a `UserError` for layers that give something else."""
    if not seen:
        raise UserError(f"layer {spot.label} never runs by itself; choose the block that holds it")
    output = seen[-1]
    if not isinstance(output, Tensor) or output.ndim != 4 or len(output) != 1:
        raise UserError(f"layer {spot.label} gives no map of the picture; choose the block that holds it")
    if not output.isfinite().all():
        raise UserError(f"layer {spot.label} gives values that are not finite; were the weights trained to the end?")
    return output.detach()[0]
