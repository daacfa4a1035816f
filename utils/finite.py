"""Where a number first stopped being finite: the failing batch is run again with an eye on every module."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from utils.errors import UserError


class NonFiniteError(UserError):
    """Training met an infinity or a NaN; the message says where."""


@torch.no_grad()
def find_nonfinite(model: nn.Module, forward: Callable[[], Any]) -> str | None:
    """Run `forward()` and return, in words, the first module (in order of execution, the innermost one) whose output
    is not finite, e.g. "model.3.conv (Conv2d), whose weight holds 2 such values"; None where every output is finite.

    `forward` must call `model`; buffers such as running means are changed by it as by any forward pass.
    """
    names = {module: name for name, module in model.named_modules()}
    found: list[str] = []

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        if not found and not all(torch.isfinite(value).all() for value in _tensors(output)):
            found.append(_describe(names[module], module))

    handles = [module.register_forward_hook(look) for module in names]
    try:
        forward()
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def find_nonfinite_gradient(model: nn.Module) -> str | None:
    """Return the name of the first parameter (from the output backwards) whose gradient is not finite."""
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return name
    return None


def nonfinite_error(model: nn.Module, forward: Callable[[], Any], place: str, images: Iterable[Path]) -> NonFiniteError:
    """Return the error that names the first module, or else the first gradient, that is not finite, and the batch's
    image files. `place` says where in the run, e.g. "epoch 3, batch 17"; `forward` is as for `find_nonfinite`."""
    module = find_nonfinite(model, forward)
    if module:
        cause = f"the loss is not finite: infinity or NaN first comes out of {module}"
    else:
        gradient = find_nonfinite_gradient(model)
        cause = f"the gradient of {gradient} is not finite" if gradient else "the loss itself is not finite"
    files = ", ".join(map(str, images))
    return NonFiniteError(f"{place}: {cause}; images of the batch: {files}")


def _describe(name: str, module: nn.Module) -> str:
    words = f"{name or 'the model'} ({type(module).__name__})"
    for key, value in module.named_parameters(recurse=False):
        count = int((~torch.isfinite(value)).sum())
        if count:
            return f"{words}, whose {key} holds {count} such {'value' if count == 1 else 'values'}"
    return words


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
