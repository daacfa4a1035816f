"""Recipes behind the reference figures in tests/golden."""

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def fill_by_name(model: nn.Module) -> nn.Module:
    """Give every tensor values that follow from its name, rounded to float32; returns the model in float64."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not name.endswith("anchors"):
            tensor.copy_(torch.from_numpy(_values(name, tuple(tensor.shape))))
    return model.double()


def _values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    z = np.asarray(np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape))
    if name.endswith("running_var"):
        return 1 + 0.2 * np.abs(z)
    if name.endswith(("running_mean", "bias")):
        return 0.1 * z
    if len(shape) == 1:
        return 1 + 0.1 * z
    return z * np.sqrt(2 / np.prod(shape[1:]))


def attention_errors(file: str, module: nn.Module) -> dict[str, float]:
    """Largest errors of an attention module against its authors' own, relative to the largest reference value."""
    reference = np.load(GOLDEN / "attention" / file)
    module = module.double()
    parameters = dict(module.named_parameters())
    assert sum(p.numel() for p in parameters.values()) == int(reference["n_params"])
    names = [str(name) for name in reference["param_names"]]
    for index, (name, shape) in enumerate(zip(names, reference["param_shapes"])):
        is_norm = float(reference["param_is_norm_weight"][index])
        wave = torch.arange(int(np.prod(json.loads(str(shape)))), dtype=torch.float64)
        values = 0.5 * torch.sin(1.7 * wave + index + 1) + is_norm
        parameters[name].data = values.reshape(parameters[name].shape)
    c = int(reference["c"])
    x = 1.5 * torch.sin(0.013 * torch.arange(2 * c * 20 * 24, dtype=torch.float64) + 0.3)
    x = x.reshape(2, c, 20, 24).requires_grad_()
    y = module(x)
    (y.flatten() * torch.arange(y.numel(), dtype=torch.float64).cos()).sum().backward()
    out_step, grad_step = reference["A_stride"]
    sums = [_sums(parameters[name].grad.flatten()) for name in names]
    return {
        "out": _relative(y.detach().flatten()[::out_step], reference["A_eval_out"]),
        "grad_x": _relative(x.grad.flatten()[::grad_step], reference["A_eval_gradx"]),
        "grad_parameters": _relative(sums, reference["A_eval_paramgrad"][:, :3]),
    }


def _sums(gradient: torch.Tensor) -> list[float]:
    wave = torch.sin(torch.arange(gradient.numel(), dtype=torch.float64) + 1)
    return [float(gradient.sum()), float(gradient.norm()), float((gradient * wave).sum())]


def _relative(got: object, wanted: np.ndarray) -> float:
    return float(np.abs(np.asarray(got) - wanted).max() / np.abs(wanted).max())
