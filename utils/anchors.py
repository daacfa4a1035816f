"""Anchors for a data set: how well given ones fit, and better ones by k-means and mutation. Pure: sizes in, sizes out.

All sizes are (n, 2) widths and heights in pixels of the network's input.
"""

from collections.abc import Sequence

import numpy as np

GOOD_RECALL = 0.98  # best possible recall above which anchors are left alone
MIN_SIDE = 2.0  # objects with both sides below this are not fitted, and no anchor is smaller
MAX_OBJECTS = 10_000  # a random part of this size stands for larger data sets while anchors evolve
KMEANS_ROUNDS = 30


def object_sizes(
    shapes: np.ndarray, labels: Sequence[np.ndarray], image_size: int, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Return the widths and heights (n, 2) that the objects have once each image's longer side is `image_size`.

    `shapes` (images, 2) are the images' heights and widths, `labels` the rows (class, cx, cy, w, h) normalised. With
    `rng` each image is scaled by a factor from 0.9 to 1.1, as augmentation would.
    """
    if not any(len(rows) for rows in labels):
        return np.zeros((0, 2))
    sides = np.asarray(shapes, dtype=np.float64)[:, ::-1]
    sides = image_size * sides / sides.max(axis=1, keepdims=True)
    if rng is not None:
        sides = sides * rng.uniform(0.9, 1.1, size=(len(sides), 1))
    return np.concatenate([rows[:, 3:5] * side for side, rows in zip(sides, labels, strict=True)])


def best_ratio(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return (n, k): the worse of the width and height ratios between each object and each anchor, in 0..1."""
    return np.exp(-_log_distance(sizes, anchors))


def possible_recall(sizes: np.ndarray, anchors: np.ndarray, anchor_t: float) -> tuple[float, float]:
    """Return (best possible recall, anchors above the threshold per object). An object can be found when some anchor
    is within a factor `anchor_t` of it, both ways; no objects at all count as 1."""
    if not len(sizes):
        return 1.0, 0.0
    fits = best_ratio(sizes, anchors) > 1 / anchor_t
    return float(fits.any(axis=1).mean()), float(fits.sum(axis=1).mean())


def anchor_fitness(sizes: np.ndarray, anchors: np.ndarray, anchor_t: float) -> float:
    """Mean over the objects of the best anchor's ratio, counted 0 where it misses the threshold."""
    return _fitness(_logs(sizes), anchors, anchor_t)


def fit_anchors(
    sizes: np.ndarray, count: int, anchor_t: float = 4.0, generations: int = 1000, seed: int = 0
) -> np.ndarray | None:
    """Return `count` anchors (count, 2) by rising area: k-means on the sizes, then random mutations kept where they
    raise `anchor_fitness`. The same seed gives the same anchors; None where there are fewer objects than anchors."""
    rng = np.random.default_rng(seed)
    sizes = sizes[(sizes >= MIN_SIDE).any(axis=1)]
    if len(sizes) > MAX_OBJECTS:
        sizes = sizes[rng.choice(len(sizes), MAX_OBJECTS, replace=False)]
    if len(np.unique(sizes, axis=0)) < count:
        return None
    anchors = _by_area(np.maximum(_kmeans(sizes, count, rng), MIN_SIDE))
    objects = _logs(sizes)
    best = _fitness(objects, anchors, anchor_t)
    for _ in range(generations):
        mutant = np.maximum(anchors * _mutation(anchors.shape, rng), MIN_SIDE)
        fitness = _fitness(objects, mutant, anchor_t)
        if fitness > best:
            best, anchors = fitness, mutant
    return _by_area(anchors)


def _log_distance(sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return (n, k): the larger of |log width ratio| and |log height ratio|."""
    width, height = (np.abs(ours[:, None] - theirs[None]) for ours, theirs in zip(_logs(sizes), _logs(anchors)))
    return np.maximum(width, height)


def _fitness(objects: np.ndarray, anchors: np.ndarray, anchor_t: float) -> float:
    """`anchor_fitness` of objects given by `_logs`. One anchor at a time: an (n, k) table would not stay in the
    processor's cache, and this runs a thousand times."""
    nearest = np.full(objects.shape[1], np.inf)
    for width, height in _logs(anchors).T:
        np.minimum(nearest, np.maximum(np.abs(objects[0] - width), np.abs(objects[1] - height)), out=nearest)
    best = np.exp(-nearest)
    return float((best * (best > 1 / anchor_t)).mean())


def _logs(sizes: np.ndarray) -> np.ndarray:
    """(n, 2) widths and heights -> (2, n) logarithms, each row in one piece."""
    return np.log(np.maximum(np.asarray(sizes, np.float64).T, 1e-9), order="C")


def _mutation(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Factors in 0.3..3; nine in ten values change, by a common random strength."""
    factors = np.ones(shape)
    while (factors == 1).all():
        chosen = rng.random(shape) < 0.9
        factors = (1 + chosen * rng.random() * rng.standard_normal(shape) * 0.1).clip(0.3, 3.0)
    return factors


def _kmeans(sizes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Lloyd's rounds from a k-means++ start, on sizes scaled to unit deviation."""
    spread = np.maximum(sizes.std(axis=0), 1e-9)
    points = sizes / spread
    centres = points[rng.integers(len(points))][None]
    while len(centres) < count:
        distance = _squared_distance(points, centres).min(axis=1)
        centres = np.vstack([centres, points[rng.choice(len(points), p=distance / distance.sum())]])
    for _ in range(KMEANS_ROUNDS):
        nearest = _squared_distance(points, centres).argmin(axis=1)
        members = [points[nearest == index] for index in range(count)]
        centres = np.stack([group.mean(axis=0) if len(group) else old for group, old in zip(members, centres)])
    return centres * spread


def _squared_distance(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((points[:, None] - centres[None]) ** 2).sum(axis=2)


def _by_area(anchors: np.ndarray) -> np.ndarray:
    return anchors[np.argsort(anchors.prod(axis=1), kind="stable")]
