"""From a checkpoint to a network."""

import re
from pathlib import Path

import torch

from models.config import read_config
from models.model import DetectionModel
from utils.checkpoint import Weights, read_weights
from utils.errors import ROOT, UserError

RELEASED = re.compile(r"yolov5[nsmlx]6?\.pt")


def load_model(path: str | Path, device: str | torch.device = "cpu") -> DetectionModel:
    """Build the network that one of our checkpoints or a released YOLOv5 file holds: eval mode, float32, not fused.

    Nothing in the file is executed. It is looked for as `find_weights` says.
    """
    found = find_weights(path)
    weights = read_weights(found)
    try:
        config = read_config(weights.yaml)
        model = DetectionModel(config, weights.yaml.get("ch", 3), weights.names)
    except UserError as error:
        raise UserError(f"{found}: the model YAML in it cannot be built ({error})") from None
    _load_state(found, model, weights)
    return model.to(device).eval()


def find_weights(name: str | Path) -> Path:
    """Return the file: as given, else in the repository root, else in its folder weights/."""
    path = Path(name).expanduser()
    for candidate in (path, ROOT / path, ROOT / "weights" / path):
        if candidate.is_file():
            return candidate
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give the .pt file in it")
    if RELEASED.fullmatch(path.name):
        raise UserError(f"{path}: no such file; fetch the released weights with: python -m tools.fetch {path.name}")
    raise UserError(f"{path}: no such file, nor in {ROOT} or its folder weights")


def _load_state(path: Path, model: DetectionModel, weights: Weights) -> None:
    """Every tensor of the model must be in the file with its shape, and none besides."""
    wanted, given = model.state_dict(), weights.state_dict
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    different = [name for name in wanted if name in given and given[name].shape != wanted[name].shape]
    if missing or unknown or different:
        first = (missing or unknown or different)[0]
        raise UserError(
            f"{path}: weights and model YAML in it disagree: {len(missing)} tensors missing, {len(unknown)} unknown, "
            f"{len(different)} of another shape, first {first}; it was written by other code or changed since"
        )
    model.load_state_dict(given)
