"""The folded evaluation of the EMA attention: the definition's values with a fraction of its work.

Group normalisation subtracts exactly the mean that the cross-spatial step takes next, so that mean is beta, whatever
the input. Two things follow (docs/ema.md has the proof). q1 = softmax(beta) is a constant, and q1 . conv3x3(x) is one
convolution with a single output channel, K = sum_o q1_o W3[o]. And the mean of conv3x3(x) needs only what each tap sees
on average: the mean of x less a border row or column. The n maps of the 3x3 branch are never formed.

Shapes: N = B * groups, n channels per group; X (N, n, H, W). Everything is computed in float32, in float64 for float64.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

EPS = 1e-5  # of the group norm


class Weights(NamedTuple):
    """The parameters: gamma, beta (n), w1 (n, n, 1, 1), b1 (n), w3 (n, n, 3, 3), b3 (n)."""

    gamma: Tensor
    beta: Tensor
    w1: Tensor
    b1: Tensor
    w3: Tensor
    b3: Tensor


class Constants(NamedTuple):
    """What follows from the weights alone: the one-channel kernel (n, 9) and its bias ()."""

    kernel: Tensor
    bias: Tensor


class Terms(NamedTuple):
    """Row means (N, n, H), column means (N, n, W), and the map sigmoid(t) (N, 1, H, W)."""

    rows: Tensor
    columns: Tensor
    attention: Tensor


def folded(x: Tensor, weights: Weights, groups: int, constants: Constants | None = None) -> Tensor:
    """The attention of `models.ema.reference`; `constants` where they are known already, else they are computed."""
    with torch.autocast(x.device.type, enabled=False):
        if torch.jit.is_tracing() or torch.compiler.is_compiling():
            return weigh(x, _evaluate(*_precise(x, weights, groups), constants, traced=True).attention, groups)
        return _Folded.apply(x, groups, constants, *weights)


def weigh(x: Tensor, attention: Tensor, groups: int) -> Tensor:
    """x (B, C, H, W) times one map (N, 1, H, W) per group, in x's type and memory layout."""
    b, c, h, w = x.shape
    grouped = x.reshape(b, groups, c // groups, h, w)
    return (grouped * attention.to(x.dtype).reshape(b, groups, 1, h, w)).reshape(b, c, h, w)


def constants_of(weights: Weights) -> Constants:
    """q1 . W3 and q1 . b3."""
    q1, n = weights.beta.softmax(0), len(weights.beta)
    return Constants((q1 @ weights.w3.reshape(n, -1)).reshape(n, 9), q1 @ weights.b3)


def seen_by_taps(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, n, 3, 3): the mean over H x W of what each tap of a padded 3x3 convolution sees of X."""
    h, w = x.shape[2:]
    top, bottom = rows[:, :, 0] / h, rows[:, :, -1] / h
    left, right = columns[:, :, 0] / w, columns[:, :, -1] / w
    mean, zero = rows.mean(2), torch.zeros_like(top)
    missed = torch.stack((bottom, zero, top), 2).unsqueeze(3) + torch.stack((right, zero, left), 2).unsqueeze(2)
    corners = [x[:, :, i, j] / (h * w) for i, j in ((-1, -1), (-1, 0), (0, -1), (0, 0))]  # missed twice
    back = (corners[0], zero, corners[1], zero, zero, zero, corners[2], zero, corners[3])
    return mean[:, :, None, None] - missed + torch.stack(back, 2).reshape(missed.shape)


def _precise(x: Tensor, weights: Weights, groups: int) -> tuple[Tensor, Weights]:
    """X and the weights in the type to compute in."""
    b, c, h, w = x.shape
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return x.reshape(b * groups, c // groups, h, w).to(dtype), Weights(*(p.to(dtype) for p in weights))


def _evaluate(x: Tensor, weights: Weights, constants: Constants | None, traced: bool) -> Terms:
    """traced: only operations that autograd, compilers and exporters follow."""
    n = len(weights.beta)  # a number of Python also while tracing, which x's sizes are not
    rows, columns = x.mean(3), x.mean(2)
    normed = torch.group_norm(_gated(x, *_gates(rows, columns, weights), in_place=not traced), n, eps=EPS)
    kernel, bias = (v.to(x.dtype) for v in constants or constants_of(weights))
    means = seen_by_taps(x, rows, columns).flatten(1) @ weights.w3.reshape(n, -1).t() + weights.b3
    q2 = means.softmax(1)
    local = F.conv2d(x, kernel.reshape(1, n, 3, 3), padding=1) if traced else _one_channel(x, kernel)
    local = local.flatten(1) + (q2 @ weights.beta + bias).unsqueeze(1)
    t = torch.baddbmm(local.unsqueeze(1), (q2 * weights.gamma).unsqueeze(1), normed.flatten(2))
    return Terms(rows, columns, t.sigmoid().reshape(local.shape[0], 1, *x.shape[2:]))


def _gates(rows: Tensor, columns: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """sigmoid of the 1x1 convolution of the strip: row gates (N, n, H, 1), column gates (N, n, 1, W)."""
    n = len(weights.b1)
    row_gates, column_gates = (
        (weights.w1.reshape(n, n) @ strip + weights.b1.unsqueeze(1)).sigmoid() for strip in (rows, columns)
    )
    return row_gates.unsqueeze(3), column_gates.unsqueeze(2)


def _gated(x: Tensor, row_gates: Tensor, column_gates: Tensor, in_place: bool = True) -> Tensor:
    gated = x * row_gates
    return gated.mul_(column_gates) if in_place else gated * column_gates


def _one_channel(x: Tensor, kernel: Tensor) -> Tensor:
    """3x3 convolution to one channel, (N, H, W): a product per tap, then nine maps moved and added.

    Faster than a library's convolution, which computes 16 output channels where one is asked for.
    """
    count, n, h, w = x.shape
    maps = (kernel.t().expand(count, 9, n) @ x.flatten(2)).reshape(count, 3, 3, h, w)
    across = maps[:, :, 1]
    across[..., 1:] += maps[:, :, 0, :, :-1]
    across[..., :-1] += maps[:, :, 2, :, 1:]
    total = across[:, 1]
    total[:, 1:] += across[:, 0, :-1]
    total[:, :-1] += across[:, 2, 1:]
    return total


def _moved(dt: Tensor) -> Tensor:
    """(N, H, W) -> (N, 9, H * W): the map as each tap's input place finds it, zeros beyond the border."""
    h, w = dt.shape[1:]
    padded = F.pad(dt, (1, 1, 1, 1))
    return torch.stack(
        [padded[:, 2 - i : 2 - i + h, 2 - j : 2 - j + w] for i in range(3) for j in range(3)], 1
    ).flatten(2)


class _Folded(torch.autograd.Function):
    """Keeps x, its row and column means and the attention map and computes the rest again. Differentiable once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: int, constants: Constants | None, *weights: Tensor) -> Tensor:
        terms = _evaluate(*_precise(x, Weights(*weights), groups), constants, traced=False)
        ctx.save_for_backward(x, *terms, *weights)
        ctx.groups = groups
        return weigh(x, terms.attention, groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, rows, columns, attention, *weights = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            precise, exact = _precise(x, Weights(*weights), ctx.groups)
            dy = dy.reshape(precise.shape).to(precise.dtype)
            dx, *found = _gradients(dy, precise, Terms(rows, columns, attention), exact)
        layout = torch.empty_like(x)
        return layout.copy_(dx.reshape(x.shape)), None, None, *(d.to(p.dtype) for d, p in zip(found, weights))


def _gradients(dy: Tensor, x: Tensor, terms: Terms, weights: Weights) -> tuple[Tensor, ...]:
    """Gradients of X and the six weights. dt is the gradient of the map t before its sigmoid."""
    rows, columns, attention = terms
    count, n, h, w = x.shape
    gamma, beta, w1, _, w3, b3 = weights
    row_gates, column_gates = _gates(rows, columns, weights)
    gated = _gated(x, row_gates, column_gates)
    normed, _, scale = torch.native_group_norm(gated, None, None, count, n, h * w, n, EPS)
    seen = seen_by_taps(x, rows, columns).flatten(1)
    q1, q2 = beta.softmax(0), (seen @ w3.reshape(n, -1).t() + b3).softmax(1)

    dt = (dy * x).sum(1, keepdim=True).mul_(attention * (1 - attention))
    total, crossing = dt.flatten(1).sum(1, keepdim=True), (normed.flatten(2) @ dt.reshape(count, h * w, 1)).squeeze(2)
    moved = _moved(dt.squeeze(1))
    kernel = (moved @ x.flatten(2).transpose(1, 2)).sum(0).t().flatten()
    dq1, dq2 = w3.reshape(n, -1) @ kernel + b3 * total.sum(), gamma * crossing + beta * total
    dmeans = q2 * (dq2 - (q2 * dq2).sum(1, keepdim=True))

    share = 1 / max(h * w, 1)
    dz = torch.addcmul(dt - (total * share)[:, :, None, None], normed, (-crossing * share)[:, :, None, None])
    dz = dz.mul_(row_gates * (q2 * gamma * scale)[:, :, None, None]).mul_(column_gates)
    through = dz * x  # dz times the gated values: summed, a gate's gradient times the gate
    slopes = torch.cat((through.sum(3) * (1 - row_gates.squeeze(3)), through.sum(2) * (1 - column_gates.squeeze(2))), 2)
    strip = w1.reshape(n, n).t() @ slopes
    dx = dz.addcmul_(dy, attention).flatten(2)
    dx = torch.baddbmm(dx, constants_of(weights).kernel.expand(count, n, 9), moved).reshape(x.shape)
    _add_mean_gradients(dx, strip, (dmeans @ w3.reshape(n, -1)).reshape(count, n, 3, 3) * share)
    return (
        dx,
        (q2 * crossing).sum(0),
        (q2 * total).sum(0) + q1 * (dq1 - q1 @ dq1),
        (slopes @ torch.cat((rows, columns), 2).transpose(1, 2)).sum(0).reshape(w1.shape),
        slopes.sum((0, 2)),
        (torch.outer(q1, kernel) + dmeans.t() @ seen).reshape(w3.shape),
        dmeans.sum(0) + q1 * total.sum(),
    )


def _add_mean_gradients(dx: Tensor, strip: Tensor, dseen: Tensor) -> None:
    """Add to dx what reaches it through row and column means, strip (N, n, H + W), and through `seen_by_taps`."""
    h, w = dx.shape[2:]
    down, right = strip[:, :, :h] / max(w, 1) + dseen.sum((2, 3)).unsqueeze(2), strip[:, :, h:] / max(h, 1)
    down[:, :, -1] -= dseen[:, :, 0].sum(2)
    down[:, :, 0] -= dseen[:, :, 2].sum(2)
    right[:, :, -1] -= dseen[:, :, :, 0].sum(2)
    right[:, :, 0] -= dseen[:, :, :, 2].sum(2)
    dx.add_(down.unsqueeze(3)).add_(right.unsqueeze(2))
    for i, j in ((0, 0), (0, 2), (2, 0), (2, 2)):
        dx[:, :, -(i == 0), -(j == 0)] += dseen[:, :, i, j]
