"""Which cells and anchors answer for which objects: YOLOv5's assignment, level by level."""

from typing import NamedTuple

import torch

NEIGHBOURS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5))  # itself, left, above, right, below


class Positives(NamedTuple):
    """The n positives of one level.

    image, anchor, row, column (n,) int64 index a raw map (B, na, H, W, no); boxes (n, 4) = centre relative to the
    cell's corner and size, in cells; anchors (n, 2) in cells; classes (n,) int64.
    """

    image: torch.Tensor
    anchor: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor
    boxes: torch.Tensor
    anchors: torch.Tensor
    classes: torch.Tensor


def assign(targets: torch.Tensor, anchors: torch.Tensor, size: tuple[int, int], anchor_t: float) -> Positives:
    """Find the positives of one level.

    targets (N, 6): image, class, cx, cy, w, h in 0..1; anchors (na, 2) in cells; size = (H, W) of the map. An object
    goes to every anchor whose width and height differ from its own by less than the factor `anchor_t`, in its cell and
    in up to two neighbours: those on whose side of the cell its centre lies, not beyond the map.
    """
    height, width = size
    scale = targets.new_tensor([width, height, width, height])
    boxes = targets[:, 2:] * scale
    ratio = boxes[None, :, 2:] / anchors[:, None]
    fits = torch.maximum(ratio, 1 / ratio).amax(2) < anchor_t  # (na, N)
    anchor, number = fits.nonzero(as_tuple=True)
    shift, chosen = _spread(boxes[number, :2], scale[:2])
    anchor, number = anchor[chosen], number[chosen]
    centre = boxes[number, :2]
    cell = (centre - shift).long()
    return Positives(
        image=targets[number, 0].long(),
        anchor=anchor,
        row=cell[:, 1].clamp(0, height - 1),
        column=cell[:, 0].clamp(0, width - 1),
        boxes=torch.cat((centre - cell, boxes[number, 2:]), 1),
        anchors=anchors[anchor],
        classes=targets[number, 1].long(),
    )


def _spread(centre: torch.Tensor, limit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Repeat each of n centres for the cells that take it -> shift (m, 2) towards the cell, index (m,) into the n."""
    from_end = limit - centre
    near_start = (centre % 1 < 0.5) & (centre > 1)
    near_end = (from_end % 1 < 0.5) & (from_end > 1)
    own = torch.ones_like(near_start[:, :1])
    taken = torch.cat((own, near_start, near_end), 1).T  # (5, n) in the order of NEIGHBOURS
    side, chosen = taken.nonzero(as_tuple=True)
    return centre.new_tensor(NEIGHBOURS)[side], chosen
