"""Two steps of VisDrone's detection score: which boxes lie in ignored regions, and which detections are right.

Written from the rules of VisDrone/VisDrone2018-DET-toolkit (MATLAB). Everything is float64 and pure; boxes are rows
left, top, width, height in pixels.
"""

import numpy as np

HIT, MISS, NEUTRAL = 1, 0, -1


def inside_ignored(boxes: np.ndarray, regions: np.ndarray, height: int, width: int) -> np.ndarray:
    """(n,) bool: which of the (n, 4) boxes lie at least half in the (k, 4) regions of a picture of this size.

    The toolkit's integer arithmetic, kept with its oddities: a region covers one column and one row more than its size
    says; a box is rounded (halves up), each of its numbers raised to 1, leaves out its first column and row, and its
    share is taken of its whole area, also of what lies outside the picture. Overlapping regions count once.
    """
    if not len(boxes) or not len(regions):
        return np.zeros(len(boxes), bool)
    limit = np.array([width, height], np.float64)
    low = np.maximum(regions[:, :2], 1)
    high = np.floor(np.minimum(low + np.maximum(regions[:, 2:4], 1), limit))
    low = np.ceil(low) - 1  # pixels low + 1 .. high
    marking = (high > low).all(1)
    low, high = low[marking], high[marking]
    numbers = np.maximum(np.floor(boxes[:, :4] + 0.5), 1)
    starts, size = numbers[:, :2], numbers[:, 2:]
    first, last = np.minimum(starts, limit), np.minimum(starts + size, limit)  # pixels first + 1 .. last
    edges = [np.unique(np.concatenate((low[:, axis], high[:, axis]))) for axis in (0, 1)]
    covered = _covered(low, high, edges)
    across, down = (_lengths(first[:, axis], last[:, axis], edges[axis]) for axis in (0, 1))
    marked = ((down @ covered) * across).sum(1)
    return marked / size.prod(1) >= 0.5


def _covered(low: np.ndarray, high: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """The grid that the regions' edges make, (rows, columns): 1 where a region lies. It stands for the picture's mask
    and needs no memory of the picture's size."""
    grid = np.zeros((max(len(edges[1]) - 1, 0), max(len(edges[0]) - 1, 0)))
    left, right = (np.searchsorted(edges[0], side[:, 0]) for side in (low, high))
    top, bottom = (np.searchsorted(edges[1], side[:, 1]) for side in (low, high))
    for x0, x1, y0, y1 in zip(left, right, top, bottom):
        grid[y0:y1, x0:x1] = 1
    return grid


def _lengths(first: np.ndarray, last: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(n, cells): how many pixels of each span first + 1 .. last lie in each cell between two edges."""
    shared = np.minimum(last[:, None], edges[None, 1:]) - np.maximum(first[:, None], edges[None, :-1])
    return np.maximum(shared, 0)


def match(detections: np.ndarray, real: np.ndarray, flagged: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """What each detection of one class in one picture is at each threshold: (n, t) HIT, MISS or NEUTRAL.

    detections (n, 4) by falling score; real (m, 4) scored objects; flagged (k, 4) ignore-flagged objects. In turn each
    detection takes the free real object that it overlaps most (of equal ones the last), if the overlap (intersection
    over union) reaches the threshold; else it is neutral if it covers a flagged object (intersection over the
    detection's area), which may happen to any number of detections; else a miss.
    """
    outcome = np.zeros((len(detections), len(thresholds)), np.int8)
    if not len(detections):
        return outcome
    if len(flagged):
        shared, own, _ = _areas(detections, flagged)
        best = _ratio(shared, np.broadcast_to(own, shared.shape)).max(1)
        outcome[best[:, None] >= thresholds] = NEUTRAL
    if len(real):
        shared, own, other = _areas(detections, real[::-1])  # so that the first of equal ones is the last in order
        _claim(_ratio(shared, own + other - shared), thresholds, outcome)
    return outcome


def _claim(overlap: np.ndarray, thresholds: np.ndarray, outcome: np.ndarray) -> None:
    """Write the hits into `outcome`; overlap (n, m) by falling score."""
    reaching = np.flatnonzero(overlap.max(1) >= thresholds.min())
    free = np.ones((len(thresholds), overlap.shape[1]))
    levels = np.arange(len(thresholds))
    for row in reaching.tolist():
        open_ones = free * overlap[row]
        choice = open_ones.argmax(1)
        hit = open_ones[levels, choice] >= thresholds
        outcome[row, hit] = HIT
        free[levels[hit], choice[hit]] = 0


def _areas(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shared areas (n, m), the boxes' areas (n, 1) and the others' (1, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:4])[:, None], (others[:, :2] + others[:, 2:4])[None])
    sides = high - low
    shared = np.where((sides > 0).all(2), sides[..., 0] * sides[..., 1], 0.0)
    return shared, (boxes[:, 2] * boxes[:, 3])[:, None], (others[:, 2] * others[:, 3])[None]


def _ratio(shared: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """shared / whole, 0 where nothing is shared."""
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)
