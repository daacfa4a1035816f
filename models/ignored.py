"""Which cells of a map have their centre in an ignored region. Pure; on a GPU nothing waits for it."""

import torch


def ignored_cells(regions: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """(B, H, W) bool for shape = (B, H, W): True where a cell's centre lies in a region of its image, edges included.

    regions (M, 9): image number, then x, y in 0..1 of four corners of a convex polygon, in order around (either way).
    A convex polygon covers one interval of every row of centres. +1 at its first cell, -1 behind its last, and the
    running sum counts the regions over each cell: the work grows with M x H + B x H x W, not with M x H x W.
    """
    batch, height, width = shape
    corners = regions[:, 1:].reshape(-1, 4, 2)
    rows = torch.arange(height, device=regions.device)
    first, last = _intervals(corners, (rows + 0.5).to(regions.dtype) / height)
    start = (first * width - 0.5).ceil().clamp(0, width).long()
    stop = ((last * width - 0.5).floor() + 1).clamp(0, width).long().maximum(start)
    line = (regions[:, :1].long() * height + rows) * (width + 1)
    counts = torch.zeros(batch * height * (width + 1), dtype=torch.int32, device=regions.device)
    ones = torch.ones(start.numel(), dtype=torch.int32, device=regions.device)
    counts.scatter_add_(0, (line + start).flatten(), ones).scatter_add_(0, (line + stop).flatten(), -ones)
    return counts.view(batch, height, width + 1).cumsum(2, dtype=torch.int32)[..., :-1] > 0


def _intervals(corners: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last x (M, H) of (M, 4, 2) convex polygons on the lines `y` (H); infinity and its negative where a line
    misses the polygon."""
    a, b = corners[..., None, :], corners.roll(-1, 1)[..., None, :]  # an edge's ends, (M, 4, 1, 2)
    low, high = torch.minimum(a[..., 1], b[..., 1]), torch.maximum(a[..., 1], b[..., 1])
    crosses = (low <= y) & (y <= high) & (low < high)  # a level edge ends where its neighbours do
    x = a[..., 0] + (b[..., 0] - a[..., 0]) * ((y - a[..., 1]) / (b[..., 1] - a[..., 1]))
    return x.where(crosses, torch.inf).amin(1), x.where(crosses, -torch.inf).amax(1)
