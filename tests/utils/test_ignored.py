from types import SimpleNamespace

import numpy as np

from utils.ignored import drop_ignored
from utils.letterbox import fit

BOX = [10, 10, 30, 30]
FOUND = np.array([[*BOX, 0.9, 0], [60, 60, 80, 80, 0.8, 1]], np.float32)
LABELS = np.array([[0, *BOX], [1, 60, 60, 80, 80]], np.float32)
NONE = np.empty((0, 4))


def batch(*ignored, labels=LABELS):
    return SimpleNamespace(labels=(labels,) * 2, letterboxes=(fit((100, 100), 64),) * 2, ignored=ignored)


def test_without_regions_all_stays_as_it_is():
    without = SimpleNamespace(labels=(LABELS, LABELS))
    for given in (without, batch(), batch(NONE, NONE)):
        found, labels = drop_ignored(given, [FOUND, FOUND])
        assert all(rows is FOUND for rows in found) and all(rows is LABELS for rows in labels)


def test_boxes_half_inside_go():
    found, labels = drop_ignored(batch(np.array([[5.0, 5, 40, 40]]), NONE), [FOUND, FOUND])
    assert [len(rows) for rows in (*found, *labels)] == [1, 2, 1, 2]
    assert found[0][0, 5] == labels[0][0, 0] == 1 and found[0].dtype == np.float32


def test_a_region_over_the_whole_picture_takes_all():
    whole = np.array([[0.0, 0, 100, 100]])
    found, labels = drop_ignored(batch(whole, whole), [FOUND, np.empty((0, 6), np.float32)])
    assert [rows.shape for rows in (*found, *labels)] == [(0, 6), (0, 6), (0, 5), (0, 5)]
