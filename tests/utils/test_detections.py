import numpy as np
import pytest

from utils.detections import Detections

NAMES = {0: "car", 1: "bus"}


def test_nothing_found():
    empty = Detections.from_rows(np.empty((0, 6)), NAMES)
    assert len(empty) == 0 and empty.xyxy.shape == (0, 4)
    assert empty.summary() == "(no detections)"


def test_rows_are_taken_apart():
    found = Detections.from_rows(np.array([[1, 2, 3, 4, 0.9, 1], [5, 6, 7, 8, 0.8, 0], [5, 6, 7, 8, 0.7, 0]]), NAMES)
    assert len(found) == 3 and found.class_id.tolist() == [1, 0, 0]
    assert found.xyxy.dtype == found.confidence.dtype == np.float32 and found.class_id.dtype == np.int64
    assert found.summary() == "2 cars, 1 bus"


@pytest.mark.parametrize("shapes", [((2, 5), 2, 2), ((2, 4), 1, 2), ((2, 4), 2, (2, 1))])
def test_shapes_that_disagree_are_refused(shapes):
    with pytest.raises(ValueError, match=r"\(n, 4\)"):
        Detections(*(np.zeros(shape) for shape in shapes), NAMES)
