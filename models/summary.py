"""Numbers about a network, found without computing: shapes run through it on the meta device."""

import math
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from utils.errors import UserError

PROBE = 256  # pixels; a multiple of every stride in use (8 to 128)


def measure_strides(model: nn.Module, ch: int) -> list[int]:
    """Input pixels per cell of each level the head puts out.

    Raises `UserError` "layer N (WORD): ..." for the layer that cannot take what it is given.
    """
    entered: list[nn.Module] = []
    hooks = [layer.register_forward_pre_hook(lambda layer, _: entered.append(layer)) for layer in model.model]
    try:
        strides = [PROBE / raw.shape[2] for raw in _run_shapes(model, ch, PROBE)]
        if not all(stride.is_integer() for stride in strides):
            raise ValueError(f"the strides {', '.join(f'{stride:g}' for stride in strides)} are no whole numbers")
        return [int(stride) for stride in strides]
    except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        reason, last = str(error).partition("\n")[0], entered[-1]
        raise UserError(f"layer {last.index} ({last.word}): the layers do not fit together here: {reason}") from None
    finally:
        for hook in hooks:
            hook.remove()


def count_gflops(model: nn.Module, size: int = 640) -> float:
    """Multiply-adds x 2 of one picture of size x size, in 1e9: convolutions, matrix products and batch norms."""
    # the counter looks for the overload before it takes an operator apart, and for the packet when it counts
    norm = torch.ops.aten.native_batch_norm
    with FlopCounterMode(display=False, custom_mapping={norm: _norm_flops, norm.default: _norm_flops}) as counter:
        _run_shapes(model, model.yaml["ch"], size)
    return counter.get_total_flops() / 1e9


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in model.parameters())


def layer_table(model: nn.Module, size: int = 640) -> str:
    """One line per layer (number, from, repeats, parameters, block, arguments), then the totals."""
    lines = [f"{'':>3}{'from':>16}  {'n':>3}{'params':>10}  {'module':<20}{'arguments'}"]
    for layer in model.model:
        source = ", ".join(str(i if i != layer.index - 1 else -1) for i in layer.source)
        repeats = len(layer) if type(layer) is nn.Sequential else 1
        params = count_parameters(layer)
        lines.append(
            f"{layer.index:>3}{source:>16}  {repeats:>3}{params:>10,}  {layer.word:<20}{_short(layer.arguments)}"
        )
    total, gflops = count_parameters(model), count_gflops(model, size)
    modules = sum(1 for _ in model.modules())
    lines.append(f"{len(model.model)} layers, {modules} modules, {total:,} parameters, {gflops:.1f} GFLOPs at {size}")
    return "\n".join(lines)


def _norm_flops(shape: tuple[int, ...], *_: Any, **__: Any) -> int:
    return 2 * math.prod(shape)


def _short(arguments: list[Any]) -> str:
    text = str(arguments)
    return text if len(text) <= 60 else text[:57] + "..."


@torch.no_grad()
def _run_shapes(model: nn.Module, ch: int, size: int) -> list[torch.Tensor]:
    training = model.training
    model.eval()
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    meta = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    dtype = next(model.parameters()).dtype
    try:
        return functional_call(model, meta, (torch.zeros(1, ch, size, size, device="meta", dtype=dtype),))
    finally:
        model.train(training)
