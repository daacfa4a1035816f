"""The recipe of the reference figures in tests/golden/attention, and the errors of a block against them.

Each file holds what the authors' own module computed in float64: the i-th parameter (their order) is filled with a
sine, one higher in the weights of norms; buffers are at their start; the input is another sine; the loss is the sum of
the output times cos(0, 1, 2, ...). Outputs and input gradients are stored at every `A_stride`-th place.
"""

import json
import math

import numpy as np
import torch
from torch import Tensor, nn

from tests.models.reference import GOLDEN

SIZE = 20, 24


def golden_errors(file: str, module: nn.Module, modes: tuple[str, ...] = ("eval", "train")) -> dict[str, float]:
    """Largest error of each figure relative to the largest reference value, in each mode.

    The parameters have the authors' names, in any shape that holds as many values. The module ends up in float64.
    """
    reference = np.load(GOLDEN / "attention" / f"{file}.npz")
    module = module.double()
    assert sum(p.numel() for p in module.parameters()) == int(reference["n_params"])
    assert sorted(dict(module.named_parameters())) == sorted(map(str, reference["param_names"]))
    fresh = {name: buffer.clone() for name, buffer in module.named_buffers()}
    errors = {}
    for mode in modes:
        _fill(module, reference)
        for name, buffer in module.named_buffers():
            buffer.copy_(fresh[name])
        module.train(mode == "train")
        errors |= {f"{mode} {key}": error for key, error in _mode_errors(module, reference, mode).items()}
    return errors


def _fill(module: nn.Module, reference: np.lib.npyio.NpzFile) -> None:
    parameters = dict(module.named_parameters())
    for index, name in enumerate(map(str, reference["param_names"])):
        count = math.prod(json.loads(str(reference["param_shapes"][index])))
        values = 0.5 * torch.sin(1.7 * _count(count) + index + 1) + float(reference["param_is_norm_weight"][index])
        parameters[name].data.copy_(values.reshape(parameters[name].shape))


def _mode_errors(module: nn.Module, reference: np.lib.npyio.NpzFile, mode: str) -> dict[str, float]:
    channels = int(reference["c"])
    x = 1.5 * torch.sin(0.013 * _count(2 * channels * math.prod(SIZE)) + 0.3)
    x = x.reshape(2, channels, *SIZE).requires_grad_()
    module.zero_grad()
    y = module(x)
    (y.flatten() * _count(y.numel()).cos()).sum().backward()
    out_step, grad_step = reference["A_stride"]
    stored = "A_eval" if reference[f"A_{mode}_same_as_eval"] else f"A_{mode}"
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    sums = [_sums(parameters[str(name)]) for name in reference["param_names"]]
    errors = {
        "out": _relative(y.detach().flatten()[::out_step], reference[f"{stored}_out"]),
        "grad_x": _relative(x.grad.flatten()[::grad_step], reference[f"{stored}_gradx"]),
        "grad_parameters": _relative(sums, reference[f"A_{mode}_paramgrad"][:, :3]),
    }
    if mode == "train":
        for name in map(str, reference["buffer_names"]):
            wanted = reference[f"A_train_buffer/{name}"].flatten()
            errors[name] = _relative(buffers[name].flatten().double(), wanted)
    return errors


def _sums(parameter: nn.Parameter) -> list[float]:
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    gradient = gradient.flatten()
    wave = torch.sin(_count(gradient.numel()) + 1)
    return [float(gradient.sum()), float(gradient.norm()), float((gradient * wave).sum())]


def _count(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float64)


def _relative(got: object, wanted: np.ndarray) -> float:
    return float(np.abs(np.asarray(got) - wanted).max() / max(np.abs(wanted).max(), 1e-300))
