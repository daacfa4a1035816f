"""The three Triton kernels of the EMA attention: forward, and two for backward.

The backward is cut in two where the map that the first half writes is read by its neighbours: a kernel's end is the one
certain barrier. What is summed over groups (parameter gradients) leaves as one row per group, and torch sums the rows.
"""

from typing import Any, NamedTuple

import triton
import triton.language as tl

from models.ema_triton_parts import (
    chunk,
    columns,
    crossed,
    gated,
    gates,
    load,
    local_weights,
    mix,
    neighbours,
    places,
    seen,
    sigmoid,
    softmax,
    statistics,
    tap_weights,
    tile,
)

VECTORS = tl.constexpr(24)
"""Rows of `Partial.vectors`: 9 means that the taps see, 9 gradients of the one-channel kernel, gradient of the 3x3
branch's means, q2, q2 * sum(dt * normalised), q2 * sum(dt), sum(dt * normalised), sum(dt)."""


class Partial(NamedTuple):
    """What backward keeps per group: maps (2, H, W) = sigmoid(t), dt; vectors (VECTORS, n); strip (n, H + W) = row
    means, column means; slopes (n, H + W) = gradient of the 1x1 convolution's outputs. The second half writes the row
    means and the slopes, the first half the rest."""

    maps: Any
    vectors: Any
    strip: Any
    slopes: Any


@triton.jit
def forward_kernel(x, y, norm, weights, shape, plan: tl.constexpr):
    """y = x * sigmoid(t); norm (groups, 2, n): mean and 1 / standard deviation of the gated values."""
    source, target = tile(x, shape, plan), tile(y, shape, plan)
    o = tl.arange(0, plan.n)
    means, sums = columns(source, shape, plan)
    q1 = softmax(load(weights.beta, o, shape.n), shape.n, plan)
    q2 = local_weights(sums, weights, shape, plan)
    column_gates = gates(means, plan.w, weights, shape, plan)
    mean, scale = statistics(source, column_gates, weights, shape, plan)
    saved = norm + tl.program_id(0).to(tl.int64) * 2 * shape.n
    tl.store(saved + o, mean, mask=o < shape.n)
    tl.store(saved + shape.n + o, scale, mask=o < shape.n)
    for row in range(0, shape.h, plan.r):
        v, _, _, z = gated(source, row, column_gates, weights, shape, plan)
        normed = (z - mean[:, None, None]) * scale[:, None, None]
        t = crossed(source, row, normed, q1, q2, weights, shape, plan)
        offsets, inside = places(row, shape, plan)
        tl.store(target + offsets, (v * sigmoid(t)[None, :, :]).to(y.dtype.element_ty), mask=inside)


@triton.jit
def map_places(row, shape, plan: tl.constexpr, down, right):
    """Offsets (R, W2) in a map (H, W), moved by so many places, and which of them exist."""
    y = row + tl.arange(0, plan.r)[:, None] + down
    x = tl.arange(0, plan.w)[None, :] + right
    return y * shape.w + x, (y >= 0) & (y < shape.h) & (x >= 0) & (x < shape.w)


@triton.jit
def kernel_gradient(source, row, dt, shape, plan: tl.constexpr):
    """A chunk's part of the gradient of the one-channel 3x3 kernel: (N, 16), nine columns used."""
    column = tl.arange(0, 16)[None, :]
    n: tl.constexpr = plan.n
    found = tl.zeros((n, 16), dt.dtype)
    for down in range(3):
        for right in tl.static_range(3):
            part = neighbours(source, row + down - 1, right - 1, shape, plan) * dt[None, :, :]
            found += tl.where(column == down * 3 + right, tl.sum(tl.sum(part, 2), 1)[:, None], 0)
    return found


@triton.jit
def maps_kernel(x, dy, norm, partial, weights, shape, plan: tl.constexpr):
    """First half of backward: everything in `Partial` but the row means."""
    n: tl.constexpr = plan.n
    source, gradient = tile(x, shape, plan), tile(dy, shape, plan)
    group = tl.program_id(0).to(tl.int64)
    o = tl.arange(0, plan.n)
    exists = o < shape.n
    means, sums = columns(source, shape, plan)
    q1 = softmax(load(weights.beta, o, shape.n), shape.n, plan)
    q2 = local_weights(sums, weights, shape, plan)
    column_gates = gates(means, plan.w, weights, shape, plan)
    mean = load(norm + group * 2 * shape.n, o, shape.n)
    scale = load(norm + (group * 2 + 1) * shape.n, o, shape.n)
    area = shape.h * shape.w
    maps = partial.maps + group * 2 * area
    crossing, total = mean * 0, tl.sum(mean * 0, 0)
    kernel = tl.zeros((n, 16), mean.dtype)
    for row in range(0, shape.h, plan.r):
        v, _, _, z = gated(source, row, column_gates, weights, shape, plan)
        normed = (z - mean[:, None, None]) * scale[:, None, None]
        s = sigmoid(crossed(source, row, normed, q1, q2, weights, shape, plan))
        offsets, inside = map_places(row, shape, plan, 0, 0)
        dt = tl.sum(chunk(gradient, row, shape, plan) * v, 0) * s * (1 - s)
        dt = tl.where(inside, dt, 0)
        tl.store(maps + offsets, s, mask=inside)
        tl.store(maps + area + offsets, dt, mask=inside)
        crossing += tl.sum(tl.sum(normed * dt[None, :, :], 2), 1)
        total += tl.sum(tl.sum(dt, 1), 0)
        kernel += kernel_gradient(source, row, dt, shape, plan)
    vectors = partial.vectors + group * VECTORS * shape.n
    column = tl.arange(0, 16)[None, :]
    for tap in range(9):
        tl.store(vectors + tap * shape.n + o, seen(sums, tap, shape), mask=exists)
    tl.store(vectors + (9 + column) * shape.n + o[:, None], kernel, mask=(column < 9) & exists[:, None])
    dq2 = load(weights.gamma, o, shape.n) * crossing + load(weights.beta, o, shape.n) * total
    tl.store(vectors + 18 * shape.n + o, q2 * (dq2 - tl.sum(q2 * dq2, 0)), mask=exists)
    tl.store(vectors + 19 * shape.n + o, q2, mask=exists)
    tl.store(vectors + 20 * shape.n + o, q2 * crossing, mask=exists)
    tl.store(vectors + 21 * shape.n + o, q2 * total, mask=exists)
    tl.store(vectors + 22 * shape.n + o, crossing, mask=exists)
    tl.store(vectors + 23 * shape.n + o, mean * 0 + total, mask=exists)
    wide = tl.arange(0, plan.w)[None, :]
    strip = partial.strip + group * shape.n * (shape.h + shape.w)
    inside = exists[:, None] & (wide < shape.w)
    tl.store(strip + o[:, None] * (shape.h + shape.w) + shape.h + wide, means, mask=inside)


@triton.jit
def gated_gradient(source, row, column_gates, norm, partial, weights, shape, plan: tl.constexpr):
    """Of a chunk: the gradient dz of its gated values (N, R, W2), dz * z, row gates and row means (N, R)."""
    group = tl.program_id(0).to(tl.int64)
    o = tl.arange(0, plan.n)
    _, rows, row_gates, z = gated(source, row, column_gates, weights, shape, plan)
    mean = load(norm + group * 2 * shape.n, o, shape.n)[:, None, None]
    scale = load(norm + (group * 2 + 1) * shape.n, o, shape.n)
    vectors = partial.vectors + group * VECTORS * shape.n
    area = shape.h * shape.w
    factor = load(vectors + 19 * shape.n, o, shape.n) * load(weights.gamma, o, shape.n) * scale
    crossing = load(vectors + 22 * shape.n, o, shape.n) / area
    total = load(vectors + 23 * shape.n, o, shape.n) / area
    offsets, inside = map_places(row, shape, plan, 0, 0)
    dt = tl.load(partial.maps + (group * 2 + 1) * area + offsets, mask=inside, other=0)
    normed = (z - mean) * scale[:, None, None]
    dz = (dt[None, :, :] - total[:, None, None] - normed * crossing[:, None, None]) * factor[:, None, None]
    dz = tl.where(inside[None, :, :], dz, 0)
    return dz, dz * z, rows, row_gates


@triton.jit
def local_gradient(row, partial, weights, shape, plan: tl.constexpr):
    """What the 3x3 branch gives a chunk of dx (N, R, W2): through the one-channel convolution and through its means."""
    n: tl.constexpr = plan.n
    r: tl.constexpr = plan.r
    w: tl.constexpr = plan.w
    group = tl.program_id(0).to(tl.int64)
    area = shape.h * shape.w
    o = tl.arange(0, plan.n)
    q1 = softmax(load(weights.beta, o, shape.n), shape.n, plan)
    dmean = load(partial.vectors + (group * VECTORS + 18) * shape.n, o, shape.n) / area
    total = tl.zeros((n, r, w), dmean.dtype)
    for tap in range(9):
        matrix = tap_weights(weights.w3, tap, shape.n, plan)
        kernel = tl.sum(matrix * q1[:, None], 0)
        dseen = tl.sum(matrix * dmean[:, None], 0)
        offsets, inside = map_places(row, shape, plan, 1 - tap // 3, 1 - tap % 3)
        dt = tl.load(partial.maps + (group * 2 + 1) * area + offsets, mask=inside, other=0)
        total += kernel[:, None, None] * dt[None, :, :] + tl.where(inside[None, :, :], dseen[:, None, None], 0)
    return total


@triton.jit
def input_kernel(x, dy, dx, norm, partial, weights, shape, plan: tl.constexpr):
    """Second half of backward: dx, and the row means and slopes of `Partial`."""
    source, gradient, target = tile(x, shape, plan), tile(dy, shape, plan), tile(dx, shape, plan)
    group = tl.program_id(0).to(tl.int64)
    o = tl.arange(0, plan.n)[:, None]
    wide, high = tl.arange(0, plan.w)[None, :], tl.arange(0, plan.r)[None, :]
    length = shape.h + shape.w
    strip = partial.strip + group * shape.n * length + o * length
    slopes = partial.slopes + group * shape.n * length + o * length
    in_row = (o < shape.n) & (wide < shape.w)
    means = tl.load(strip + shape.h + wide, mask=in_row, other=0)
    column_gates = gates(means, plan.w, weights, shape, plan)
    column_slopes = means * 0
    for row in range(0, shape.h, plan.r):
        _, product, rows, row_gates = gated_gradient(source, row, column_gates, norm, partial, weights, shape, plan)
        column_slopes += tl.sum(product, 1)
        inside = (o < shape.n) & (row + high < shape.h)
        tl.store(strip + row + high, rows, mask=inside)
        tl.store(slopes + row + high, tl.sum(product, 2) * (1 - row_gates), mask=inside)
    column_slopes *= 1 - column_gates
    tl.store(slopes + shape.h + wide, column_slopes, mask=in_row)
    from_columns = mix(weights.w1, column_slopes, plan.w, shape.n, 1, shape.n, plan) / shape.h
    for row in range(0, shape.h, plan.r):
        dz, product, _, row_gates = gated_gradient(source, row, column_gates, norm, partial, weights, shape, plan)
        row_slopes = tl.sum(product, 2) * (1 - row_gates)
        from_rows = mix(weights.w1, row_slopes, plan.r, shape.n, 1, shape.n, plan) / shape.w
        total = dz * row_gates[:, :, None] * column_gates[:, None, :]
        total += from_rows[:, :, None] + from_columns[:, None, :]
        total += local_gradient(row, partial, weights, shape, plan)
        offsets, inside = map_places(row, shape, plan, 0, 0)
        s = tl.load(partial.maps + group * 2 * shape.h * shape.w + offsets, mask=inside, other=0)
        total += chunk(gradient, row, shape, plan) * s[None, :, :]
        offsets, inside = places(row, shape, plan)
        tl.store(target + offsets, total.to(dx.dtype.element_ty), mask=inside)
