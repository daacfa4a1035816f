from pathlib import Path

import numpy as np

from utils.confusion import ConfusionMatrix

GOLDEN = Path(__file__).parents[1] / "golden"
BOX, OTHER = [0, 0, 10, 10], [50, 50, 60, 60]


def counted(detections, labels, nc=2):
    matrix = ConfusionMatrix(nc)
    matrix.update(np.array(detections, dtype=float).reshape(-1, 6), np.array(labels, dtype=float).reshape(-1, 5))
    return matrix.matrix.tolist()


def test_nothing():
    assert counted([], []) == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_a_miss_a_phantom_and_a_mistaken_class():
    assert counted([], [[1, *BOX]]) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert counted([[*BOX, 0.9, 1]], []) == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert counted([[*BOX, 0.9, 0]], [[1, *BOX]]) == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert counted([[*BOX, 0.25, 0]], [[0, *BOX]]) == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]  # not confident enough


def test_the_larger_overlap_wins_and_the_loser_is_a_phantom():
    loose = [0, 0, 10, 6]
    assert counted([[*loose, 0.9, 0], [*BOX, 0.5, 1]], [[1, *BOX]]) == [[0, 0, 1], [0, 1, 0], [0, 0, 0]]


def test_phantoms_count_in_pictures_without_any_match():
    assert counted([[*OTHER, 0.9, 0]], [[1, *BOX]]) == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]


def test_equals_the_reference():
    golden = np.load(GOLDEN / "matching.npz")
    np.testing.assert_array_equal(counted(golden["detections"], golden["labels"], nc=3), golden["confusion"])


def test_pictures_add_up():
    golden = np.load(GOLDEN / "matching.npz")
    matrix = ConfusionMatrix(3)
    for _ in range(2):
        matrix.update(golden["detections"].astype(np.float32), golden["labels"])
    np.testing.assert_array_equal(matrix.matrix, 2 * golden["confusion"])
