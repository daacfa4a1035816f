"""Looking at slices: what is found, at what shapes, in which memory."""

import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.backends import load_predictor
from models.exporters import EXPORTERS, Format
from tests.detect_fakes import RED, WHITE, PaintModel, paint
from tests.slice_fakes import BlobModel, lively_network, scatter
from utils.detect_options import DetectOptions
from utils.detector import Detector
from utils.frames import Frame
from utils.letterbox import fit
from utils.sliced_detector import BATCH_PIXELS, BatchSlicer, SlicedDetector, make_batch_slicer, make_detector
from utils.val_options import ValOptions

OPTIONS = DetectOptions(imgsz=(128,), slice=128, conf_thres=0.25)


def boxes_of(rows):
    return sorted((*np.round(row[:4]).astype(int).tolist(), int(row[5])) for row in rows)


def test_without_the_flag_nothing_changes():
    assert type(make_detector(BlobModel(), DetectOptions())) is Detector


def test_an_empty_picture():
    (rows,) = make_detector(BlobModel(), OPTIONS).find([np.zeros((200, 300, 3), np.uint8)])
    assert rows.shape == (0, 6) and rows.dtype == np.float32


@pytest.mark.parametrize("merging", ["nms", "nmm", "wbf"])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("shape", [(300, 420), (128, 300), (90, 500), (500, 90), (129, 129)])
def test_every_object_is_found_once_and_where_it_is(merging, full, shape):
    """Objects are no larger than what slices share, so each is whole in some slice; the whole picture, shrunk, sees
    them blurred: those boxes must go into the sharp ones."""
    count = 25 if min(shape) > 130 else 8
    image, areas = scatter(shape, count, 25)
    options = replace(OPTIONS, slice_merge=merging, no_full=not full)
    (rows,) = make_detector(BlobModel(), options).find([image])
    if full:  # at a third of the size small areas are off by pixels or join: only the sharp ones are asked for
        found = boxes_of(rows)
        near = [min(np.abs(np.array(box) - area).max() for box in found) for area in areas]
        assert np.mean(np.array(near) <= (3 if merging == "nms" else 8)) >= 0.85
    else:
        assert boxes_of(rows) == sorted(map(tuple, areas.tolist()))


def test_nms_and_max_det_and_classes_are_honoured():
    image, areas = scatter((300, 420), 30, 25)
    (rows,) = make_detector(BlobModel(), replace(OPTIONS, classes=(1,), no_full=True)).find([image])
    assert boxes_of(rows) == sorted(tuple(area) for area in areas.tolist() if area[4] == 1)
    (rows,) = make_detector(BlobModel(), replace(OPTIONS, max_det=5)).find([image])
    assert len(rows) == 5 and (np.diff(rows[:, 4]) <= 0).all()
    two = paint((200, 200), (60, 60, 110, 110, WHITE), (60, 60, 110, 84, RED))  # red lies on white
    (rows,) = make_detector(BlobModel(), replace(OPTIONS, agnostic_nms=True, no_full=True)).find([two])
    (apart,) = make_detector(BlobModel(), replace(OPTIONS, no_full=True)).find([two])
    assert len(apart) == 2 and len(rows) == 2  # IoU 0: they lie side by side
    (rows,) = make_detector(BlobModel(), replace(OPTIONS, no_full=True, conf_thres=0.95)).find([two])
    assert len(rows) == 0


def test_a_car_across_a_border_is_one_car():
    """Longer than what slices share: every slice cuts it, only the whole picture has all of it."""
    image = paint((128, 400), (40, 50, 330, 90, WHITE))
    for merging in ("nms", "nmm", "wbf"):
        (rows,) = make_detector(BlobModel(), replace(OPTIONS, slice_merge=merging)).find([image])
        assert len(rows) == 1 and rows[0, :4] == pytest.approx([40, 50, 330, 90], abs=4)
    (rows,) = make_detector(BlobModel(), replace(OPTIONS, slice_match="iou")).find([image])
    assert len(rows) > 1  # by IoU alone the parts stay
    image = paint((128, 300), (100, 50, 140, 90, WHITE))  # larger than the 25 pixels that are shared: cut twice
    options = replace(OPTIONS, no_full=True)
    (rows,) = make_detector(BlobModel(), replace(options, slice_merge="nmm")).find([image])
    assert boxes_of(rows) == [(100, 50, 140, 90, 0)]


def test_a_picture_no_larger_than_a_slice_is_looked_at_once():
    for full in (True, False):
        for shape in ((100, 60), (128, 128)):
            model = BlobModel()
            detector = make_detector(model, replace(OPTIONS, no_full=not full, imgsz=(256,)))
            detector.find([np.zeros((*shape, 3), np.uint8)])
            assert [inputs[0] for inputs in model.inputs] == [1] and max(model.inputs[0][2:]) == 256


@pytest.mark.parametrize("full", [True, False])
def test_a_slice_larger_than_the_picture_changes_nothing_and_is_said(caplog, full):
    caplog.set_level("INFO")
    image, _ = scatter((100, 128), 6, 25)
    model = lively_network()
    plain = DetectOptions(imgsz=(128,), conf_thres=0.4)
    (expected,) = Detector(model, plain).find([image])
    detector = make_detector(model, replace(plain, slice=9984, no_full=not full))
    for _ in range(2):
        np.testing.assert_array_equal(detector.find([image])[0], expected)
    assert caplog.text.count("--slice 9984: pictures no larger are looked at whole, as one of 100 x 128") == 1
    assert len(expected) > 3


def test_an_overlap_that_takes_forever_is_said(caplog):
    caplog.set_level("INFO")
    detector = make_detector(Blind(), replace(OPTIONS, slice=32, slice_overlap=0.99, no_full=True))
    detector.find([np.zeros((60, 65, 3), np.uint8)])
    assert caplog.text == ""
    detector.find([np.zeros((60, 70, 3), np.uint8)])
    assert "--slice 32 --slice-overlap 0.99: a picture of 60 x 70 takes 1131 slices" in caplog.text


def test_shapes_and_batches():
    model = BlobModel()
    detector = make_detector(model, replace(OPTIONS, imgsz=(320,)))
    detector.batch = 4
    detector([Frame(np.zeros((230, 300, 3), np.uint8), "a.png")])  # 2 x 3 slices
    assert model.inputs == [(1, 3, 256, 320), (4, 3, 128, 128), (2, 3, 128, 128)]
    model.inputs.clear()
    detector.find([np.zeros((70, 300, 3), np.uint8)])  # low slices: no more grey than the stride needs
    assert model.inputs == [(1, 3, 96, 320), (3, 3, 96, 128)]
    assert SlicedDetector(model, OPTIONS, detector.slicing).batch * 128 * 128 <= BATCH_PIXELS
    assert make_detector(model, replace(OPTIONS, slice=4000)).batch == 1


def test_a_slice_that_is_no_multiple_of_the_stride_is_padded_and_said(caplog):
    model = BlobModel()
    image, areas = scatter((210, 310), 20, 18)
    detector = make_detector(model, replace(OPTIONS, slice=100, no_full=True))
    assert "--slice 100: is no multiple of the stride 32; slices are padded to 128 pixels" in caplog.text
    assert boxes_of(detector.find([image])[0]) == sorted(map(tuple, areas.tolist()))
    assert {shape[2:] for shape in model.inputs} == {(128, 128)}
    caplog.clear()
    make_detector(model, OPTIONS)
    assert caplog.text == ""
    make_detector(BlobModel(stride=64), replace(OPTIONS, slice=96, imgsz=(128,)))
    assert "stride 64; slices are padded to 128" in caplog.text


@pytest.mark.parametrize(("size", "words"), [(100, ""), (192, "slices shrink to the 128 x 128"), (128, "")])
def test_a_file_frozen_to_a_shape(caplog, size, words):
    model = BlobModel(fixed_shape=(1, 128, 128))
    image, areas = scatter((300, 260), 12, 16)
    detector = make_detector(model, replace(OPTIONS, slice=size, no_full=True))
    assert words in caplog.text
    rows = detector.find([image])[0]
    assert {shape[2:] for shape in model.inputs} == {(128, 128)}
    if size <= 128:
        assert boxes_of(rows) == sorted(map(tuple, areas.tolist()))
    else:
        assert len(rows) >= 10


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(("kind", "dynamic"), [("onnx", False), ("onnx", True), ("torchscript", False)])
def test_exported_files_find_what_the_model_finds(tmp_path, kind, dynamic):
    pytest.importorskip("onnx")
    model = lively_network()
    path = tmp_path / f"x.{kind}"
    EXPORTERS[kind](model, torch.rand(3, 3, 64, 64), path, Format(dynamic=dynamic))
    image = np.random.default_rng(0).integers(0, 255, (100, 150, 3), np.uint8)
    options = DetectOptions(imgsz=(64,), slice=64, slice_merge="none", no_full=True, conf_thres=0, max_det=9999)
    options = replace(options, iou_thres=1)  # every candidate stays, so that no threshold is just missed
    given, expected = (
        make_detector(predictor, options).find([image])[0] for predictor in (load_predictor(path, "cpu"), model)
    )
    assert len(expected) == 6 * 252 and len(given) == len(expected)
    np.testing.assert_allclose(np.sort(given, 0), np.sort(expected, 0), atol=5e-3)


class Blind(PaintModel):
    """Finds nothing and remembers how much memory stood ready for it."""

    def predict(self, images, augment=False):
        self.inputs.append(tuple(images.shape))
        self.largest = max(getattr(self, "largest", 0), images.numel() * 4)
        return torch.zeros(len(images), 0, 8)


def test_memory_stays_bounded_for_a_huge_picture():
    image = np.zeros((6000, 8000, 3), np.uint8)
    model = Blind()
    detector = make_detector(model, DetectOptions(slice=640))
    tracemalloc.start()
    detector.find([image])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(inputs[0] for inputs in model.inputs[1:]) == 12 * 16
    assert model.largest <= BATCH_PIXELS * 3 * 4
    assert peak < 64e6  # numpy's share: uint8 copies of one batch of slices; the picture itself has 144 MB


@dataclass
class MadeUpBatch:
    paths: tuple
    letterboxes: tuple


def test_validation_gets_both_kinds_of_pixels():
    images = {Path("a.png"): scatter((230, 300), 20, 18), Path("b.png"): scatter((90, 100), 3, 18)}
    detector = SlicedDetector(BlobModel(), OPTIONS, make_detector(BlobModel(), OPTIONS).slicing, multi_label=True)
    slicer = BatchSlicer(detector, lambda path: images[path][0])
    plans = tuple(fit(picture.shape[:2], 160, auto=False) for picture, _ in images.values())
    alone = np.array([[1, 2, 3, 4, 0.9, 2]], np.float32)
    found, in_batch = slicer(MadeUpBatch(tuple(images), plans), [np.empty((0, 6), np.float32), alone])
    assert boxes_of(found[0]) == sorted(map(tuple, images[Path("a.png")][1].tolist()))
    np.testing.assert_array_equal(found[1], alone)  # no larger than a slice: as it was
    np.testing.assert_allclose(plans[0].invert(in_batch[0][:, :4]), found[0][:, :4], atol=1e-3)
    np.testing.assert_array_equal(in_batch[0][:, 4:], found[0][:, 4:])


def test_options_of_validation():
    given = ValOptions(imgsz=100, single_cls=True, slice=96, slice_overlap=0.1, slice_merge="wbf", no_full=True)
    slicer = make_batch_slicer(BlobModel(), given, 7, None)
    options = slicer.detector.options
    assert slicer.single_cls and slicer.detector.multi_label and options.agnostic_nms
    assert (options.max_det, options.conf_thres, options.iou_thres, options.imgsz) == (7, 0.001, 0.6, (128, 128))
    assert make_batch_slicer(BlobModel(), ValOptions(), 7, None) is None
