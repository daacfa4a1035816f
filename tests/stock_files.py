"""Small imitations of the files that stock YOLOv5 writes: whole pickled modules of models.yolo and models.common."""

import copy
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PosixPath
from types import ModuleType

import numpy as np
import torch
from torch import nn

from models import DetectionModel, build_model
from utils.errors import ROOT
from utils.files import read_yaml


def tiny_model(name: str = "yolov5n.yaml", nc: int = 3, seed: int = 0, **changes) -> DetectionModel:
    """A model of a shipped YAML at an eighth of its width, all weights and statistics random."""
    content = read_yaml(next(ROOT.glob(f"models/**/{name}"))) | {"width_multiple": 0.125, "nc": nc} | changes
    model = build_model(content, names={index: f"kind {index}" for index in range(nc)}).eval()
    generator = torch.Generator().manual_seed(seed)
    for key, value in model.state_dict().items():
        if value.is_floating_point() and not key.endswith("anchors"):
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(noise + 0.5 if value.ndim == 1 and "bias" not in key else (noise - 0.5) * 0.4)
    return model


@contextmanager
def foreign_modules(*names: str) -> Iterator[dict[str, ModuleType]]:
    """Empty modules of these names in place of any real ones, while a file is written."""
    modules = {name: ModuleType(name) for name in names}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(modules)
    try:
        yield modules
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def foreign_class(modules: dict[str, ModuleType], module: str, name: str) -> type[nn.Module]:
    """The class `name` of a module made by `foreign_modules`, made on first use."""
    if not hasattr(modules[module], name):
        setattr(modules[module], name, type(name, (nn.Module,), {"__module__": module}))
    return getattr(modules[module], name)


def write_stock(path: Path, model: DetectionModel, legacy: bool = False, **changes) -> Path:
    """Save `model` as stock does: half precision, the module itself, options and figures around it.

    changes replace entries of the file; a DetectionModel among them is saved as a module too.
    """
    with foreign_modules("models.yolo", "models.common") as modules, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Couldn't retrieve source code")  # the legacy format wants it
        content = {
            "epoch": -1,
            "best_fitness": np.float64(0.25),
            "model": model,
            "ema": None,
            "updates": None,
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.01}]},
            "opt": {"save_dir": PosixPath("/runs/é/exp"), "freeze": [0]},
            "git": {"remote": None},
            "date": "2022-11-22T10:21:06",
        } | changes
        content = {
            key: _twin(copy.deepcopy(value).half(), modules) if isinstance(value, DetectionModel) else value
            for key, value in content.items()
        }
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def _twin(module: nn.Module, modules: dict[str, ModuleType]) -> nn.Module:
    """The same tree, our own classes replaced by stock's names for them."""
    cls, name = type(module), type(module).__name__
    if not cls.__module__.startswith("torch."):
        home = "models.yolo" if name in ("DetectionModel", "Detect") else "models.common"
        cls = foreign_class(modules, home, name)
    twin = cls.__new__(cls)
    twin.__dict__ = dict(module.__dict__)
    twin._modules = {key: _twin(child, modules) for key, child in module._modules.items()}
    if name == "Detect":
        twin.stride = torch.tensor(module.strides, dtype=torch.float16)
        twin.register_buffer("anchor_grid", torch.ones(3, 1, 3, 1, 1, 2))  # as files up to v5 have it
    return twin
