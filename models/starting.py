"""The network that a training run starts with: from a model YAML, from weights, or from both."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.config import read_config
from models.loading import find_weights
from models.model import DetectionModel
from models.transfer import transfer
from utils.checkpoint import read_weights
from utils.errors import LOG, UserError

DEFAULT_WEIGHTS = "yolov5s.pt"
CHANNELS = 3  # red, green, blue


def start_model(
    cfg: str | Path,
    weights: str | Path | None,
    names: Mapping[int, str],
    anchors: float = 0,
    allow_partial: bool = False,
) -> DetectionModel:
    """Build the network that --cfg and --weights mean, for the classes in `names`.

    weights: None = none with a cfg, else yolov5s.pt; '' = none. Without a cfg the weights' own YAML is built and their
    anchors are taken, too. anchors: a number of anchors per level, which replaces those of the YAML (0 keeps them).
    Says in one line what arrived; see `transfer` for `allow_partial`. The random start follows torch's seed.
    """
    if weights is None:
        weights = "" if cfg else DEFAULT_WEIGHTS
    if not weights:
        if not cfg:
            raise UserError("--weights '': training from scratch needs a model; give one, e.g. --cfg yolov5n-ema.yaml")
        return _build(cfg, names, anchors)
    path = find_weights(weights)
    found = read_weights(path)
    model = _build(cfg or found.yaml, names, anchors)
    try:
        report = transfer(found.state_dict, found.yaml, model, allow_partial, anchors=not cfg and not anchors)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    LOG.info(f"{path}: {report}")
    return model


def _build(cfg: str | Path | Mapping[str, Any], names: Mapping[int, str], anchors: float) -> DetectionModel:
    config = read_config(cfg)
    if config.content.get("ch", CHANNELS) != CHANNELS:
        raise UserError(f"{config.name}: ch is {config.content['ch']}, but pictures have {CHANNELS} channels; drop it")
    if config.content["nc"] != len(names):
        LOG.info(f"{config.name}: nc {config.content['nc']} is replaced by the data set's {len(names)}")
    config = read_config(cfg, len(names))
    if anchors:
        config = read_config(config.content | {"anchors": round(anchors), "yaml_file": config.name})
    return DetectionModel(config, CHANNELS, names)
