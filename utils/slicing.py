"""Where a large picture is cut into overlapping slices, and which boxes those cuts went through. Pure geometry."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.errors import UserError
from utils.options import option

Slice = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the picture

SMALLEST = 32  # pixels, a side of a slice
DEFAULT_OVERLAP = 0.2
MERGES = ("nms", "nmm", "wbf", "none")
MATCHES = ("border", "iou", "ios")
CUT_MARGIN = 4  # pixels: a box that ends this near to a cut is taken to be cut


@dataclass(frozen=True)
class SliceFlags:
    """The flags of every command that looks at slices."""

    slice: int | None = option(
        None, "side in pixels of overlapping slices, seen one by one at full size besides the whole picture"
    )
    slice_overlap: float = option(DEFAULT_OVERLAP, "what neighbouring slices share, as a part of their side")
    slice_merge: str = option(
        "nms",
        "of boxes that match: the best stays (nms), their hull (nmm), their weighted mean (wbf), all stay (none)",
        choices=MERGES,
    )
    slice_match: str = option(
        "border",
        "boxes match by IoU, those that a slice cuts by intersection over smaller (border); or all by one of them",
        choices=MATCHES,
    )
    no_full: bool = option(False, "with --slice: do not look at the whole picture, too")


@dataclass(frozen=True)
class Slicing:
    """size: pixels of a slice's side; overlap: of neighbours, as a share of the size; merge and match: how boxes of
    several slices become one, see `utils.merging.merge` ('border' stands for its `cut`); full: look at the whole
    picture, too."""

    size: int
    overlap: float = DEFAULT_OVERLAP
    merge: str = "nms"
    match: str = "border"
    full: bool = True


def read_slicing(options: SliceFlags) -> Slicing | None:
    """What the flags ask for; None = no slices. Raises `UserError` for what cannot be."""
    size, overlap = options.slice, options.slice_overlap
    if not 0 <= overlap < 1:
        raise UserError(
            f"--slice-overlap {overlap:g}: a share of the slice lies in 0..1, below 1; give for example 0.2"
        )
    for flag, value, known in (("merge", options.slice_merge, MERGES), ("match", options.slice_match, MATCHES)):
        if value not in known:
            raise UserError(f"--slice-{flag} {value}: is not known; give {', '.join(known[:-1])} or {known[-1]}")
    if size is None:
        if options.no_full:
            raise UserError("--no-full: leaves out the whole picture, so it needs slices; add for example --slice 640")
        for flag in ("slice_overlap", "slice_merge", "slice_match"):
            if getattr(options, flag) != getattr(SliceFlags, flag):
                name = flag.replace("_", "-")
                raise UserError(f"--{name}: says how slices are made or merged; add for example --slice 640")
        return None
    if size < SMALLEST:
        raise UserError(f"--slice {size}: give the side of a slice in pixels, {SMALLEST} or more; usual is 640")
    return Slicing(size, overlap, options.slice_merge, options.slice_match, not options.no_full)


def plan_slices(shape: Sequence[int], size: int, overlap: float = DEFAULT_OVERLAP) -> list[Slice]:
    """Cover a (height, width) picture with slices of `size` x `size` pixels, row by row from the top left.

    Neighbours share int(overlap * size) pixels. The last slice of a row or column is shifted inwards, so that all have
    one size: `size`, or the picture's side where that is smaller. A picture no larger than a slice is one slice. The
    plan is that of the sahi package (github.com/obss/sahi), for results that compare.
    """
    rows, columns = (_cover(side, size, overlap) for side in shape[:2])
    return [(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def cut_out(image: np.ndarray, part: Slice) -> np.ndarray:
    """The slice of an (H, W, 3) picture, as a view: nothing is copied."""
    left, top, right, bottom = part
    return image[top:bottom, left:right]


def cut_boxes(boxes: np.ndarray, part: Slice, shape: Sequence[int], margin: float = CUT_MARGIN) -> np.ndarray:
    """Which (n, 4) xyxy boxes, in pixels of the whole (height, width) picture, end where the slice was cut: (n,) bool.

    The picture's own edges are no cuts.
    """
    left, top, right, bottom = part
    cut = np.zeros(len(boxes), dtype=bool)
    for column, limit, is_cut in ((0, left, left > 0), (1, top, top > 0)):
        if is_cut:
            cut |= boxes[:, column] <= limit + margin
    for column, limit, is_cut in ((2, right, right < shape[1]), (3, bottom, bottom < shape[0])):
        if is_cut:
            cut |= boxes[:, column] >= limit - margin
    return cut


def _cover(length: int, size: int, overlap: float) -> list[tuple[int, int]]:
    """Start and end of the pieces along one side."""
    step = size - int(overlap * size)
    pieces, start = [], 0
    while start + size < length:
        pieces.append((start, start + size))
        start += step
    return [*pieces, (max(length - size, 0), length)]
