"""Slices, boxes and merging agree with the sahi package (github.com/obss/sahi), where that is installed."""

from dataclasses import replace

import numpy as np
import pytest

from tests.slice_fakes import BlobModel, lively_network, scatter
from tests.utils.test_merging import random_rows
from utils.detect_options import DetectOptions
from utils.detector import Detector
from utils.merging import merge
from utils.sliced_detector import make_detector
from utils.slicing import plan_slices

pytest.importorskip("sahi")
combine = pytest.importorskip("sahi.postprocess.combine")
prediction = pytest.importorskip("sahi.prediction")
predict = pytest.importorskip("sahi.predict")
slicing = pytest.importorskip("sahi.slicing")
base = pytest.importorskip("sahi.models.base")

METRICS = pytest.mark.parametrize("metric", ["iou", "ios"])


class SahiModel(base.DetectionModel):
    """Our detector as one of sahi's models."""

    def set_model(self, model, **kwargs):
        self.model = model

    def perform_inference(self, image):
        (self._original_predictions,) = self.model.find([np.ascontiguousarray(image[..., ::-1])])

    def _create_object_prediction_list_from_original_predictions(self, shift_amount_list=None, full_shape_list=None):
        shift, shape = shift_amount_list, full_shape_list
        shift = shift[0] if shift and isinstance(shift[0], list) else shift
        shape = shape[0] if shape and isinstance(shape[0], list) else shape
        found = [_prediction(row, shift, shape) for row in self._original_predictions.tolist()]
        self._object_prediction_list_per_image = [found]


def _prediction(row, shift=(0, 0), shape=(1000, 1000)):
    return prediction.ObjectPrediction(
        bbox=row[:4], category_id=int(row[5]), category_name=str(int(row[5])), score=row[4],
        shift_amount=list(shift), full_shape=list(shape),
    )  # fmt: skip


def _rows(predictions):
    table = [[*p.bbox.to_xyxy(), p.score.value, p.category.id] for p in predictions]
    return np.array(table, np.float64).reshape(-1, 6)


def assert_same(given, expected, columns=6):
    """The same rows in any order: boxes to a thousandth of a pixel."""
    assert len(given) == len(expected)
    apart = np.abs(given[:, None, :columns] - expected[None, :, :columns]).max(2)
    assert apart.min(1).max() < 1e-3 and apart.min(0).max() < 1e-3


@pytest.mark.parametrize("shape", [(100, 100), (640, 641), (765, 1360), (1078, 1916), (300, 2000), (3000, 2000)])
@pytest.mark.parametrize(("size", "overlap"), [(640, 0.2), (333, 0.15), (256, 0.0), (128, 0.77)])
def test_the_same_slices(shape, size, overlap):
    expected = slicing.get_slice_bboxes(*shape, size, size, False, overlap, overlap)
    assert plan_slices(shape, size, overlap) == [tuple(box) for box in expected]


@METRICS
@pytest.mark.parametrize(("method", "kind"), [("nms", "NMSPostprocess"), ("nmm", "GreedyNMMPostprocess")])
@pytest.mark.parametrize("agnostic", [False, True])
def test_the_same_merging(metric, method, kind, agnostic):
    for seed in range(3):
        rows = random_rows(250, seed)
        post = getattr(combine, kind)(match_threshold=0.5, match_metric=metric.upper(), class_agnostic=agnostic)
        expected = _rows(post([_prediction(row) for row in rows.tolist()]))
        given = merge(rows, method, 0.5, metric=metric, agnostic=agnostic)
        assert 10 < len(given) < 240
        assert_same(given, expected, columns=5 if method == "nmm" else 6)


def network():
    """Exact enough to see the same in a slice whatever else is in the batch."""
    return lively_network().double()


@pytest.mark.parametrize("make_model", [BlobModel, network])
@pytest.mark.parametrize(("merging", "metric"), [("none", "iou"), ("nms", "iou"), ("nms", "ios"), ("nmm", "iou")])
@pytest.mark.parametrize("full", [True, False])
def test_the_same_detections(make_model, merging, metric, full):
    model = make_model()
    image, _ = scatter((230, 420), 50, 40)
    image ^= np.random.default_rng(0).integers(0, 40, image.shape, np.uint8)  # flat areas would give a network ties
    plain = DetectOptions(imgsz=(128,), conf_thres=0.55, iou_thres=0.5, max_det=9999)
    options = replace(plain, slice=128, slice_merge=merging, slice_match=metric, no_full=not full)
    (ours,) = make_detector(model, options).find([image])
    result = predict.get_sliced_prediction(
        np.ascontiguousarray(image[..., ::-1]),
        SahiModel(model=Detector(model, plain)),
        slice_height=128,
        slice_width=128,
        perform_standard_pred=full,
        postprocess_type={"none": "NMS", "nms": "NMS", "nmm": "GREEDYNMM"}[merging],
        postprocess_match_metric=metric.upper(),
        postprocess_match_threshold=2.0 if merging == "none" else 0.5,
        verbose=0,
    )
    theirs = _rows(result.object_prediction_list)
    assert len(ours) > 30
    assert_same(ours, theirs)
