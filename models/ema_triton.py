"""The fused evaluation of the EMA attention: Triton kernels as a custom operator `torch.ops.yolov5_ema.attend`.

Imported on first use, never at start: it needs Triton. For backward it keeps x and two vectors per group. Results are
the same from run to run: no atomics, and torch sums the groups' parts of the parameter gradients.
"""

import functools
import os
from math import gcd

import torch
from torch import Tensor

from models.ema_folded import folded
from models.ema_triton_kernels import VECTORS, Partial, forward_kernel, input_kernel, maps_kernel
from models.ema_triton_parts import Plan, Shape, Weights
from utils.errors import LOG, UserError

CHUNK = 2048  # values that a program works on at a time, at least one row: with 8 warps the registers suffice
WARPS = 8


@torch.library.custom_op("yolov5_ema::attend", mutates_args=())
def attend(
    x: Tensor, gamma: Tensor, beta: Tensor, w1: Tensor, b1: Tensor, w3: Tensor, b3: Tensor, groups: int
) -> tuple[Tensor, Tensor]:
    """x (B, C, H, W) -> y like x, and mean and 1 / standard deviation of the gated values (B * groups, 2, n)."""
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise UserError(f"EMA: the fused evaluation needs a CUDA device, not {x.device}; use folded")
    x = _dense(x)
    y, norm = torch.empty_like(x), _norm(x, groups)
    if x.numel():
        shape, plan = _describe(x, groups)
        weights = Weights(*(p.contiguous() for p in (gamma, beta, w1, b1, w3, b3)))
        with _on(x):
            forward_kernel[(len(norm),)](x, y, norm, weights, shape, plan, num_warps=WARPS)
    return y, norm


@torch.library.custom_op("yolov5_ema::attend_backward", mutates_args=())
def attend_backward(dy: Tensor, x: Tensor, norm: Tensor, weights: list[Tensor], groups: int) -> list[Tensor]:
    """Gradients of x and the six parameters, given those of y."""
    if not x.numel():
        return [torch.zeros_like(x), *(torch.zeros_like(p) for p in weights)]
    x = _dense(x)
    dy = dy.contiguous(memory_format=_layout(x))
    dx = torch.empty_like(x)
    shape, plan = _describe(x, groups)
    parts = _partial(norm, shape)
    packed = Weights(*(p.contiguous() for p in weights))
    with _on(x):
        maps_kernel[(len(norm),)](x, dy, norm, parts, packed, shape, plan, num_warps=WARPS)
        input_kernel[(len(norm),)](x, dy, dx, norm, parts, packed, shape, plan, num_warps=WARPS)
    with torch.autocast(x.device.type, enabled=False):  # a caller may go back inside of its autocast
        return [dx, *_parameter_gradients(parts, weights, shape)]


def _parameter_gradients(parts: Partial, weights: list[Tensor], shape: Shape) -> list[Tensor]:
    """The six parameters' gradients from what each group left."""
    n = shape.n
    gamma, beta, w1, b1, w3, b3 = (p.to(parts.vectors.dtype) for p in weights)
    summed = parts.vectors.sum(0)
    dmean = summed[18]
    total = parts.vectors[:, 23, 0].sum()
    q1 = beta.softmax(0)
    kernel = summed[9:18].t().reshape(-1)  # (n * 9): of the one-channel kernel
    dq1 = w3.view(n, -1) @ kernel + b3 * total
    dbeta = summed[21] + q1 * (dq1 - q1 @ dq1)
    seen = parts.vectors[:, :9].transpose(1, 2).reshape(-1, 9 * n)
    dw3 = torch.outer(q1, kernel) + parts.vectors[:, 18].t() @ seen
    dw1 = (parts.slopes @ parts.strip.transpose(1, 2)).sum(0)
    found = summed[20], dbeta, dw1.view_as(w1), parts.slopes.sum((0, 2)), dw3.view_as(w3), dmean + q1 * total
    return [gradient.to(p.dtype) for gradient, p in zip(found, weights)]


def _partial(norm: Tensor, shape: Shape) -> Partial:
    count, length = len(norm), shape.h + shape.w
    return Partial(
        norm.new_empty(count, 2, shape.h, shape.w),
        norm.new_empty(count, VECTORS.value, shape.n),
        norm.new_empty(count, shape.n, length),
        norm.new_empty(count, shape.n, length),
    )


def _describe(x: Tensor, groups: int) -> tuple[Shape, Plan]:
    _, c, h, w = x.shape
    n = c // groups
    across = _power(n) * _power(w)
    rows = min(_power(h), max(1, CHUNK // across))
    return Shape(groups, n, h, w), Plan(_power(n), rows, _power(w), not x.is_contiguous(), gcd(w, 16))


def _norm(x: Tensor, groups: int) -> Tensor:
    precise = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.new_empty(x.shape[0] * groups, 2, x.shape[1] // groups, dtype=precise)


def _layout(x: Tensor) -> torch.memory_format:
    return torch.contiguous_format if x.is_contiguous() else torch.channels_last


def _dense(x: Tensor) -> Tensor:
    """x itself if it fills its memory in one of the two layouts, else a contiguous copy."""
    dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
    return x if dense else x.contiguous()


def _power(value: int) -> int:
    """The power of two at or above."""
    return 1 << (value - 1).bit_length()


def _on(x: Tensor) -> torch.cuda.device:
    """Makes x's device the one that kernels start on; nothing without a GPU."""
    return torch.cuda.device(x.device if x.is_cuda else -1)


@attend.register_fake
def _attend_shapes(x, gamma, beta, w1, b1, w3, b3, groups):
    return torch.empty_like(_dense(x)), _norm(x, groups)


@attend_backward.register_fake
def _backward_shapes(dy, x, norm, weights, groups):
    return [torch.empty_like(_dense(x)), *(torch.empty_like(p) for p in weights)]


def _keep(ctx, inputs, output):
    x, *weights, groups = inputs
    ctx.save_for_backward(x, output[1], *weights)
    ctx.groups = groups
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx, dy, _):
    x, norm, *weights = ctx.saved_tensors
    try:
        return (*torch.ops.yolov5_ema.attend_backward(dy, x, norm, weights, ctx.groups), None)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler or driver raises
        if torch.compiler.is_compiling():
            raise
        _say_once(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return (*_folded_gradients(dy, x, weights, ctx.groups), None)


@functools.cache
def _say_once(reason: str) -> None:
    LOG.info("EMA: the fused kernels cannot run here, gradients are taken by the folded evaluation: %s", reason)


@torch.enable_grad()
def _folded_gradients(dy: Tensor, x: Tensor, weights: list[Tensor], groups: int) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().requires_grad_() for tensor in (x, *weights)]
    return torch.autograd.grad(folded(leaves[0], Weights(*leaves[1:]), groups), leaves, dy)


attend.register_autograd(_differentiate, setup_context=_keep)
