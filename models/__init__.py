"""The YOLOv5 family with attention: `build_model` and `load_model` are the ways a YAML or a file becomes a network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.config import read_config
from models.loading import load_model
from models.model import DetectionModel

__all__ = ["DetectionModel", "build_model", "load_model"]


def build_model(
    cfg: str | Path | Mapping[str, Any], nc: int | None = None, ch: int = 3, names: Mapping[int, str] | None = None
) -> DetectionModel:
    """Build a network from a model YAML.

    cfg: a path, a bare file name found in models/ and below, or the YAML's content. nc replaces the YAML's number of
    classes; ch is the number of picture channels; names maps class numbers to names.
    """
    return DetectionModel(read_config(cfg, nc), ch, names)
