from pathlib import Path

import numpy as np
import pytest

from utils.metrics import IOU_THRESHOLDS, DetectionMetrics, average_precision, best_confidence, match, smooth

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = {0: "car", 1: "bus", 2: "van"}
NO_DETECTIONS, NO_LABELS = np.empty((0, 6)), np.empty((0, 5))


def test_no_pictures_no_labels_no_detections():
    metrics = DetectionMetrics(NAMES)
    for scores in (metrics.compute(), _compute([(NO_DETECTIONS, NO_LABELS)])):
        assert (scores.precision, scores.recall, scores.map50, scores.map, scores.fitness) == (0, 0, 0, 0, 0)
        assert scores.per_class == () and scores.instances == 0 and scores.curves.f1.shape == (0, 1000)
        assert scores.maps(3).tolist() == [0, 0, 0]
    assert metrics.compute().images == 0


def test_only_labels_and_only_detections():
    label, detection = np.array([[1, 0, 0, 10, 10.0]]), np.array([[0, 0, 10, 10, 0.9, 1.0]])
    missed = _compute([(NO_DETECTIONS, label)])
    assert (missed.map, missed.recall, missed.instances) == (0, 0, 1)
    invented = _compute([(detection, NO_LABELS)])
    assert (invented.map, invented.per_class) == (0, ())
    assert invented.confusion[1, 3] == 1


def test_perfect_detections_score_one():
    labels = np.array([[0, 0, 0, 10, 10], [2, 20, 20, 40, 50.0]])
    detections = np.array([[20, 20, 40, 50, 0.9, 2], [0, 0, 10, 10, 0.8, 0]])
    scores = _compute([(detections, labels), (NO_DETECTIONS, NO_LABELS)])
    # 101 points over an envelope that falls to (1, 0) only at its very end: the last trapezoid is half.
    assert [scores.map50, scores.map] == pytest.approx([0.995, 0.995])
    assert [scores.precision, scores.recall] == pytest.approx([1, 1])
    assert [(row.name, row.images, row.instances) for row in scores.per_class] == [("car", 1, 1), ("van", 1, 1)]
    assert scores.fitness == pytest.approx(0.995) and scores.images == 2
    assert scores.maps(3).tolist() == pytest.approx([0.995] * 3)  # the bus, never seen, has the mean
    assert scores.confusion.diagonal().tolist() == [1, 0, 1, 0]


def test_images_count_the_pictures_that_hold_a_class():
    label = np.array([[1, 0, 0, 10, 10], [1, 20, 20, 30, 30.0]])
    scores = _compute([(NO_DETECTIONS, label), (NO_DETECTIONS, label[:1]), (NO_DETECTIONS, NO_LABELS)])
    assert [(row.class_id, row.images, row.instances) for row in scores.per_class] == [(1, 2, 3)]


def test_average_precision_equals_the_reference():
    golden = np.load(GOLDEN / "ap.npz")
    ap, curves = average_precision(golden["tp"], golden["conf"], golden["pred_cls"], golden["target_cls"])
    point = best_confidence(curves.f1)
    np.testing.assert_allclose(ap, golden["ap"], atol=1e-12)
    for name, curve in (("p", curves.precision), ("r", curves.recall), ("f1", curves.f1)):
        np.testing.assert_allclose(curve[:, point], golden[name], atol=1e-12)


def test_matching_equals_the_reference():
    golden = np.load(GOLDEN / "matching.npz")
    np.testing.assert_array_equal(match(golden["detections"], golden["labels"]), golden["correct"])
    np.testing.assert_array_equal(IOU_THRESHOLDS.round(2), np.arange(50, 100, 5) / 100)


def test_compute_joins_what_match_and_average_precision_say():
    """The golden matching as one data set of two pictures."""
    golden = np.load(GOLDEN / "matching.npz")
    detections, labels = golden["detections"], golden["labels"]
    ap, _ = average_precision(
        np.concatenate((golden["correct"], np.zeros((5, 10), bool))),
        np.concatenate((detections[:, 4], detections[:5, 4])),
        np.concatenate((detections[:, 5], detections[:5, 5])).astype(int),
        labels[:, 0].astype(int),
    )
    scores = _compute([(detections, labels), (detections[:5], NO_LABELS)])
    np.testing.assert_allclose([row.ap for row in scores.per_class], ap)
    assert scores.map == pytest.approx(ap.mean()) and scores.map50 == pytest.approx(ap[:, 0].mean())


@pytest.mark.parametrize(
    ("detections", "expected"),
    [
        ([[0, 0, 10, 10, 0.9, 1]], [False]),  # another class
        ([[0, 0, 10, 10, 0.9, 0], [0, 0, 10, 10, 0.8, 0]], [True, False]),  # the first claim wins
        ([[0, 0, 10, 6, 0.9, 0], [0, 0, 10, 10, 0.8, 0]], [True, False]),  # even with the smaller overlap
        ([[0, 0, 10, 4, 0.9, 0], [0, 0, 10, 10, 0.8, 0]], [False, True]),  # unless that is below the threshold
        ([[50, 50, 60, 60, 0.9, 0]], [False]),
    ],
)
def test_match_at_half(detections, expected):
    labels = np.array([[0, 0, 0, 10, 10.0]])
    assert match(np.array(detections, dtype=np.float32), labels)[:, 0].tolist() == expected


def test_smoothing_keeps_the_length_and_a_constant():
    assert smooth(np.full(1000, 2.0), 0.1) == pytest.approx(np.full(1000, 2.0))
    assert len(smooth(np.arange(7.0), 0.5)) == 7


def _compute(pictures):
    metrics = DetectionMetrics(NAMES)
    for detections, labels in pictures:
        metrics.update(detections, labels)
    return metrics.compute()
