"""Ignored regions on their way through the augmentations: (m, 4, 2) float64 corners x, y of convex polygons, in order
around. Pure functions."""

import numpy as np

NO_REGIONS = np.zeros((0, 4, 2), np.float64)


def rectangles(edges: np.ndarray) -> np.ndarray:
    """(m, 4) x1, y1, x2, y2 -> the polygons of these rectangles, from the left top corner on, clockwise."""
    return edges[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def cut(edges: np.ndarray, area: tuple[float, float, float, float]) -> np.ndarray:
    """The parts of (m, 4) x1, y1, x2, y2 rectangles within one; those without any area there go."""
    low, high = np.array(area[:2], np.float64), np.array(area[2:], np.float64)
    inside = np.concatenate((edges[:, :2].clip(low, high), edges[:, 2:].clip(low, high)), 1)
    return inside[(inside[:, 2:] > inside[:, :2]).all(1)]


def move(polygons: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The polygons seen through a 3 x 3 matrix on a (height, width) picture.

    An upright matrix leaves rectangles, which are cut to the picture; a turned one leaves the turned polygons, whose
    corners may lie beyond the picture's edge. Polygons that do not reach the picture go, as do those of which a corner
    lies behind an extreme perspective's horizon.
    """
    if not len(polygons):
        return polygons
    moved = np.concatenate((polygons, np.ones((*polygons.shape[:2], 1))), 2) @ matrix.T
    moved = moved[(moved[..., 2] > 0).all(1)]
    points = moved[..., :2] / moved[..., 2:]
    limits = np.array(size[::-1], np.float64)
    if not (matrix[0, 1] or matrix[1, 0] or matrix[2, 0] or matrix[2, 1]):
        points = points.clip(0, limits)
    return points[((points.max(1) > 0) & (points.min(1) < limits) & (np.ptp(points, axis=1) > 0)).all(1)]


def flip(polygons: np.ndarray, flips: tuple[bool, bool], size: tuple[int, int]) -> np.ndarray:
    """The polygons of a (height, width) picture that is turned left to right, upside down, or both."""
    polygons = polygons.copy()
    for axis, (turn, length) in enumerate(zip(flips, size[::-1])):
        if turn:
            polygons[..., axis] = length - polygons[..., axis]
    return polygons
