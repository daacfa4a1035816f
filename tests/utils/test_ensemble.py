import numpy as np
import pytest
import torch

from detect import DetectOptions, Detector
from models.backends import EnsemblePredictor, load_predictor
from tests.models.test_loading import save
from tests.slice_fakes import lively_network
from tests.stock_files import tiny_model
from utils.ensemble import check_ensemble, predict_parts, suppress_parts
from utils.errors import UserError
from utils.nms import non_max_suppression
from utils.sliced_detector import make_detector

RULES = {"max_det": 300, "multi_label": True}


def candidates(*rows):
    """(1, n, 7): boxes of two classes by their corners, confidence and class."""
    table = torch.zeros(1, len(rows), 7)
    for i, (x1, y1, x2, y2, confidence, kind) in enumerate(rows):
        table[0, i, :5] = torch.tensor([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 1.0])
        table[0, i, 5 + kind] = confidence
    return table


BOTH = candidates((0, 0, 10, 10, 0.9, 0), (50, 50, 60, 60, 0.6, 1))
ONE = candidates((1, 0, 11, 10, 0.6, 0))


def test_one_list_is_plain_suppression():
    (given,) = suppress_parts([BOTH], 0.25, 0.45, **RULES)
    assert torch.equal(given, non_max_suppression(BOTH, 0.25, 0.45, **RULES)[0])
    assert suppress_parts([torch.zeros(2, 0, 7)], 0.25, 0.45, **RULES)[1].shape == (0, 6)


def test_fusion_of_two_models():
    (rows,) = suppress_parts([BOTH, ONE], 0.25, 0.45, **RULES)
    expected = [[0.4, 0, 10.4, 10, 0.75, 0], [50, 50, 60, 60, 0.3, 1]]  # the second is seen by one of two: half
    np.testing.assert_allclose(rows, np.array(expected), atol=1e-5)
    (rows,) = suppress_parts([BOTH, ONE], 0.35, 0.45, **RULES)
    assert len(rows) == 1  # half of its confidence is no longer enough
    (rows,) = suppress_parts([BOTH, ONE], 0.25, 0.45, max_det=1, agnostic=True)
    assert len(rows) == 1
    empty = suppress_parts([torch.zeros(3, 0, 7)] * 2, 0.25, 0.45, **RULES)
    assert [rows.shape for rows in empty] == [(0, 6)] * 3


def test_what_cannot_be():
    with pytest.raises(UserError, match="--ensemble soup: is not known; give nms or wbf"):
        check_ensemble(None, "soup")
    with pytest.raises(UserError, match="--ensemble wbf: fuses .* give two or more"):
        check_ensemble(tiny_model(), "wbf")
    check_ensemble(tiny_model(), "nms")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """P2 to P5, P3 to P5, and P3 to P6: other strides, other multiples of the picture's size."""
    folder = tmp_path_factory.mktemp("weights")
    names = ("yolov5n-p2.yaml", "yolov5n.yaml", "yolov5n6.yaml")
    return [save(folder / f"{index}.pt", tiny_model(name, seed=index)) for index, name in enumerate(names)]


def test_models_of_other_strides_look_together(files):
    three = load_predictor(files, "cpu")
    assert isinstance(three, EnsemblePredictor) and three.max_stride == 64
    images = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        parts = predict_parts(three, images, ensemble="wbf")
        (together,) = predict_parts(three, images)
        assert torch.equal(torch.cat(parts, 1), together) and len(parts) == 3
        assert len({part.shape[1] for part in parts}) == 3
        augmented = predict_parts(three, images, True, "wbf")
    assert all(more.shape[1] > part.shape[1] for more, part in zip(augmented, parts))


@pytest.mark.parametrize("ensemble", ["nms", "wbf"])
def test_detection_with_several_models(ensemble):
    torch.manual_seed(0)
    models = [lively_network("yolov5n-p2.yaml"), lively_network("yolov5n6.yaml")]
    both = EnsemblePredictor(models, ["a.pt", "b.pt"])
    picture = np.random.default_rng(0).integers(0, 255, (100, 190, 3), np.uint8)
    options = DetectOptions(imgsz=(96,), conf_thres=0.3, ensemble=ensemble, max_det=50)
    detector = Detector(both, options)
    assert detector.size == (128, 128)  # 96 suits one of them only
    (rows,) = detector.find([picture])
    alone = [Detector(model, DetectOptions(imgsz=(128,), conf_thres=0.3)).find([picture])[0] for model in models]
    assert 0 < len(rows) <= 50 and (rows[:, 4] > 0.3).all() and (np.diff(rows[:, 4]) <= 0).all()
    tops = [table[0, 4] for table in alone]
    if ensemble == "nms":
        assert rows[0, 4] == pytest.approx(max(tops), abs=1e-4)
    else:
        assert rows[0, 4] <= max(tops) + 1e-4
    sliced = make_detector(both, DetectOptions(imgsz=(96,), ensemble=ensemble, slice=64, conf_thres=0.3, no_full=True))
    assert len(sliced.find([picture])[0]) > 0 and sliced.shape[2:] == (64, 64)


def test_classes_must_agree(tmp_path):
    a = save(tmp_path / "a.pt", tiny_model())
    b = save(tmp_path / "b.pt", tiny_model(nc=2))
    with pytest.raises(UserError, match=r"b\.pt: has other classes \(2\) than .*a\.pt \(3\); an ensemble needs the"):
        load_predictor([a, b], "cpu")
    model = tiny_model()
    model.names = {**model.names, 1: "lorry"}
    c = save(tmp_path / "c.pt", model)
    with pytest.raises(UserError, match=r"c\.pt: class 1 is 'lorry', in .*a\.pt it is 'kind 1'; an ensemble needs"):
        load_predictor([a, c], "cpu")
