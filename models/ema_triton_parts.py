"""Parts of the Triton kernels of the EMA attention: one program per group of one image.

A program walks its group's tile (n, H, W) in chunks of whole rows, several times. Where the tile fits the chip's caches
(12 to 51 KiB in YOLOv5s) only the first walk reads memory; a larger tile streams. A chunk is a block (N, R, W2): n and
W rounded up to powers of two, R rows. Every store belongs to one program and nothing is read back that the same kernel
wrote, so results do not depend on timing. All arithmetic is float32, float64 for float64 input.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

EPS = tl.constexpr(1e-5)  # of the group norm
WIDE = tl.constexpr(16384)  # values up to which a product is summed at once


class Weights(NamedTuple):
    """The parameters: gamma, beta (n), w1 (n, n), b1 (n), w3 (n, n, 3, 3), b3 (n)."""

    gamma: Any
    beta: Any
    w1: Any
    b1: Any
    w3: Any
    b3: Any


class Shape(NamedTuple):
    """Groups per image, channels per group, height, width."""

    groups: int
    n: int
    h: int
    w: int


class Plan(NamedTuple):
    """What a kernel is compiled for: N, R, W2 of its chunks, whether channels come last in memory, and a power of two
    that divides W, which lets neighbouring values be loaded together."""

    n: int
    r: int
    w: int
    last: bool
    step: int


@triton.jit
def sigmoid(v):
    return 1 / (1 + tl.exp(-v))


@triton.jit
def load(ptr, index, n):
    """Values at `index` below n as floats to count with, zeros elsewhere."""
    v = tl.load(ptr + index, mask=index < n, other=0)
    return v.to(tl.float64 if ptr.dtype.element_ty == tl.float64 else tl.float32)


@triton.jit
def tile(ptr, shape, plan: tl.constexpr):
    """The address of this program's group."""
    group = tl.program_id(0).to(tl.int64)
    if plan.last:
        image = group // shape.groups * (shape.groups * shape.n) * shape.h * shape.w
        start = image + group % shape.groups * shape.n
    else:
        start = group * shape.n * shape.h * shape.w
    return ptr + start


@triton.jit
def places(y, shape, plan: tl.constexpr):
    """Offsets (N, R, W2) of the chunk of rows from y on in its tile, and which of them exist."""
    step: tl.constexpr = plan.step
    width = shape.w
    if step > 1:
        width = tl.multiple_of(width, step)
    i = tl.arange(0, plan.n)[:, None, None]
    row = y + tl.arange(0, plan.r)[None, :, None]
    x = tl.arange(0, plan.w)[None, None, :]
    inside = (i < shape.n) & (row < shape.h) & (x < width)
    if plan.last:  # noqa: SIM108  Triton decides this one when it compiles
        offsets = (row * width + x) * (shape.groups * shape.n) + i
    else:
        offsets = (i * shape.h + row) * width + x
    return offsets, inside


@triton.jit
def chunk(tile, y, shape, plan: tl.constexpr):
    """Rows y to y + R - 1 of a tile, zeros where there are none."""
    offsets, inside = places(y, shape, plan)
    v = tl.load(tile + offsets, mask=inside, other=0)
    return v.to(tl.float64 if tile.dtype.element_ty == tl.float64 else tl.float32)


@triton.jit
def neighbours(tile, y, right: tl.constexpr, shape, plan: tl.constexpr):
    """The chunk from row y on, moved by -1, 0 or 1 columns: what a tap of a 3x3 kernel sees; zeros beyond borders."""
    offsets, inside = places(y, shape, plan)
    row = y + tl.arange(0, plan.r)[None, :, None]
    x = tl.arange(0, plan.w)[None, None, :] + right
    inside &= (row >= 0) & (x >= 0) & (x < shape.w)
    step = 1
    if plan.last:
        step = shape.groups * shape.n
    v = tl.load(tile + offsets + right * step, mask=inside, other=0)
    return v.to(tl.float64 if tile.dtype.element_ty == tl.float64 else tl.float32)


@triton.jit
def mix(w, v, length: tl.constexpr, n, step_out, step_in, plan: tl.constexpr):
    """An n x n matrix at w times v (N, length); step_out = n, step_in = 1, or the other way for its transpose."""
    size: tl.constexpr = plan.n
    o = tl.arange(0, size)
    if size * size * length <= WIDE:
        both = (o[:, None] < n) & (o[None, :] < n)
        matrix = tl.load(w + o[:, None] * step_out + o[None, :] * step_in, mask=both, other=0).to(v.dtype)
        out = tl.sum(matrix[:, :, None] * v[None, :, :], 1)
    else:
        out = v * 0
        for i in range(n):
            column = tl.load(w + o * step_out + i * step_in, mask=o < n, other=0).to(v.dtype)
            out += column[:, None] * tl.sum(tl.where(o[:, None] == i, v, 0), 0)[None, :]
    return out


@triton.jit
def tap_weights(w3, tap, n, plan: tl.constexpr):
    """One tap of the 3x3 weights: (N out, N in)."""
    o, i = tl.arange(0, plan.n)[:, None], tl.arange(0, plan.n)[None, :]
    v = tl.load(w3 + (o * n + i) * 9 + tap, mask=(o < n) & (i < n), other=0)
    return v.to(tl.float64 if w3.dtype.element_ty == tl.float64 else tl.float32)


@triton.jit
def softmax(v, n, plan: tl.constexpr):
    v = tl.where(tl.arange(0, plan.n) < n, v, -float("inf"))
    e = tl.exp(v - tl.max(v, 0))
    return e / tl.sum(e, 0)


@triton.jit
def _edge_row(tile, y, shape, plan: tl.constexpr):
    """Row y of a tile: its sum and its two ends, (N) each."""
    i, x = tl.arange(0, plan.n)[:, None], tl.arange(0, plan.w)[None, :]
    if plan.last:  # noqa: SIM108  Triton decides this one when it compiles
        offsets = (y * shape.w + x) * (shape.groups * shape.n) + i
    else:
        offsets = (i * shape.h + y) * shape.w + x
    v = tl.load(tile + offsets, mask=(i < shape.n) & (x < shape.w), other=0)
    v = v.to(tl.float64 if tile.dtype.element_ty == tl.float64 else tl.float32)
    return tl.sum(v, 1), tl.sum(tl.where(x == 0, v, 0), 1), tl.sum(tl.where(x == shape.w - 1, v, 0), 1)


@triton.jit
def columns(tile, shape, plan: tl.constexpr):
    """Column means (N, W2), and the sums that say what each tap sees: all, first and last row, first and last column,
    then the corners from the top left by rows."""
    total = tl.sum(chunk(tile, 0, shape, plan), 1)
    for y in range(plan.r, shape.h, plan.r):
        total += tl.sum(chunk(tile, y, shape, plan), 1)
    x = tl.arange(0, plan.w)[None, :]
    left = tl.sum(tl.where(x == 0, total, 0), 1)
    right = tl.sum(tl.where(x == shape.w - 1, total, 0), 1)
    top, top_left, top_right = _edge_row(tile, 0, shape, plan)
    bottom, bottom_left, bottom_right = _edge_row(tile, shape.h - 1, shape, plan)
    every = tl.sum(total, 1)
    sums = (every, top, bottom, left, right, top_left, top_right, bottom_left, bottom_right)
    return total / shape.h, sums


@triton.jit
def seen(sums, tap, shape):
    """Mean over H x W of what a tap of the 3x3 convolution sees (N): everything but a border row and column."""
    every, top, bottom, left, right, top_left, top_right, bottom_left, bottom_right = sums
    v = every - tl.where(tap < 3, bottom, 0) - tl.where(tap > 5, top, 0)
    v -= tl.where(tap % 3 == 0, right, 0) + tl.where(tap % 3 == 2, left, 0)
    v += tl.where(tap == 0, bottom_right, 0) + tl.where(tap == 2, bottom_left, 0)
    v += tl.where(tap == 6, top_right, 0) + tl.where(tap == 8, top_left, 0)
    return v / (shape.h * shape.w)


@triton.jit
def local_weights(sums, weights, shape, plan: tl.constexpr):
    """q2: softmax of the 3x3 branch's means, from what its taps see (N)."""
    o = tl.arange(0, plan.n)
    mean = load(weights.b3, o, shape.n).to(sums[0].dtype)
    for tap in range(9):
        mean += tl.sum(tap_weights(weights.w3, tap, shape.n, plan) * seen(sums, tap, shape)[None, :], 1).to(mean.dtype)
    return softmax(mean, shape.n, plan)


@triton.jit
def gates(v, length: tl.constexpr, weights, shape, plan: tl.constexpr):
    """sigmoid of the 1x1 convolution of strip values v (N, length), zero for channels that do not exist."""
    o = tl.arange(0, plan.n)
    bias = load(weights.b1, o, shape.n).to(v.dtype)
    gate = sigmoid(mix(weights.w1, v, length, shape.n, shape.n, 1, plan) + bias[:, None])
    return tl.where(o[:, None] < shape.n, gate, 0)


@triton.jit
def gated(tile, y, column_gates, weights, shape, plan: tl.constexpr):
    """A chunk (N, R, W2), its row means and row gates (N, R), and its values times both gates."""
    v = chunk(tile, y, shape, plan)
    rows = tl.sum(v, 2) / shape.w
    row_gates = gates(rows, plan.r, weights, shape, plan)
    return v, rows, row_gates, v * row_gates[:, :, None] * column_gates[:, None, :]


@triton.jit
def statistics(tile, column_gates, weights, shape, plan: tl.constexpr):
    """Mean and 1 / standard deviation of the gated values (N): centred in each chunk, then chunks joined."""
    mean = tl.sum(column_gates, 1) * 0
    spread = mean * 0
    count = tl.sum(mean, 0)
    for y in range(0, shape.h, plan.r):
        z = gated(tile, y, column_gates, weights, shape, plan)[3]
        inside = places(y, shape, plan)[1]
        here = (tl.minimum(plan.r, shape.h - y) * shape.w).to(count.dtype)
        middle = tl.sum(tl.sum(z, 2), 1) / here
        d = tl.where(inside, z - middle[:, None, None], 0)
        step = middle - mean
        mean += step * (here / (count + here))
        spread += tl.sum(tl.sum(d * d, 2), 1) + step * step * (count * here / (count + here))
        count += here
    return mean, 1 / tl.sqrt(spread / count + EPS)


@triton.jit
def crossed(tile, y, normed, q1, q2, weights, shape, plan: tl.constexpr):
    """The map t (R, W2) of a chunk: q1 . conv3x3(x) + q2 . group norm, given the normalised chunk."""
    o = tl.arange(0, plan.n)
    gamma, beta = load(weights.gamma, o, shape.n), load(weights.beta, o, shape.n)
    b3 = load(weights.b3, o, shape.n)
    total = normed * (q2 * gamma)[:, None, None]
    for down in range(3):
        for right in tl.static_range(3):
            kernel = tl.sum(tap_weights(weights.w3, down * 3 + right, shape.n, plan) * q1[:, None], 0)
            total += neighbours(tile, y + down - 1, right - 1, shape, plan) * kernel[:, None, None]
    return tl.sum(total, 0) + tl.sum(q2 * beta + q1 * b3, 0)
