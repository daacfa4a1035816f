import cv2
import numpy as np
import pytest
import torch
from torch import nn

from models import build_model
from models.attention import ATTENTIONS, EMA
from tests.stock_files import tiny_model
from tests.tiny import MODEL
from tools import heatmap_maps, heatmap_panels
from tools.heatmap_layers import Spot, default_layer, ema_blocks, find_layer
from tools.heatmap_panels import BAR, LONGEST, lay_back, overlay, panel, shrink, side_by_side
from utils.detect_options import DetectOptions
from utils.detector import Detector
from utils.errors import UserError
from utils.letterbox import fit

CAMS = [method for method in heatmap_maps.METHODS if method != "gates"]


def with_attention(word, *args):
    """The tiny model with another block in EMA's place."""
    rows = [[-1, 1, word, [128, *args]] if row[2] == "EMA" else row for row in MODEL["backbone"]]
    return build_model(MODEL | {"backbone": rows}, nc=3).eval()


# --- where a map lies -------------------------------------------------------------------------------------------------


class Brightest(nn.Module):
    """A model that sees objects of class 1 where the picture is bright, in cells of 8 pixels."""

    names, nc, fixed_shape, max_stride = {0: "dark", 1: "bright"}, 2, None, 32
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self):
        super().__init__()
        self.look = nn.Sequential(nn.AvgPool2d(8), nn.Threshold(0.5, 0.0))
        self.unused = nn.Identity()

    def predict(self, images, augment=False):
        likely = (self.look(images).amax(1) * 8 - 6).sigmoid().flatten(1)
        zeros = torch.zeros_like(likely)
        self.unused(images)
        return torch.stack((zeros, zeros, zeros, zeros, likely, zeros, likely), 2)


@pytest.mark.parametrize("shape", [(96, 160), (200, 64), (500, 900), (64, 64)])
@pytest.mark.parametrize("method", CAMS)
def test_the_map_lies_over_what_it_is_about(shape, method):
    """Whatever was padded and resized on the way."""
    image = np.zeros((*shape, 3), np.uint8)
    y, x = shape[0] * 3 // 4, shape[1] // 5
    radius = min(shape) // 5
    cv2.rectangle(image, (x - radius, y - radius), (x + radius, y + radius), (255, 255, 255), -1)
    model = Brightest()
    detector = Detector(model, DetectOptions(imgsz=(128, 160)))
    (found,) = heatmap_maps.look(detector, image, [Spot("look", model.look)], method, class_id=None)
    values = lay_back(found, shape)
    assert values.shape == shape
    peak = np.argwhere(values > 0.9 * values.max()).mean(0)
    assert np.abs(peak - (y, x)).max() < 0.1 * max(shape)
    assert values[: shape[0] // 4].max() < 0.1 * values.max()


def test_padding_is_cut_off():
    values = np.zeros((8, 8), np.float32)
    values[2, 1] = 5  # its centre lies at (20, 12) of 64 x 64, which is (4, 12) of the picture
    laid = lay_back(heatmap_maps.HeatMap("", values, fit((32, 64), 64, auto=False)), (32, 64))
    assert laid.shape == (32, 64)
    assert laid[3:5, 11:13].min() == laid.max() and laid[9:].max() < 2
    assert lay_back(heatmap_maps.HeatMap("", values, fit((32, 64), 64, auto=False)), (64, 128)).argmax() // 128 in (
        7,
        8,
    )


def test_networks_are_given_red_first():
    model, image, seen = Brightest(), np.full((64, 64, 3), (0, 51, 255), np.uint8), []
    model.unused.register_forward_hook(lambda module, inputs, output: seen.append(output))
    detector = Detector(model, DetectOptions(imgsz=(64,)))
    heatmap_maps.look(detector, image, [Spot("look", model.look)], "gradcam")
    torch.testing.assert_close(seen[0][0, :, 5, 5], torch.tensor([1.0, 0.2, 0.0]))


def test_only_the_class_asked_for_counts():
    model, image = Brightest(), np.full((64, 64, 3), 255, np.uint8)
    detector, spots = Detector(model, DetectOptions(imgsz=(64,))), [Spot("look", model.look)]
    found = {kind: heatmap_maps.look(detector, image, spots, "gradcam", kind)[0] for kind in (None, 0, 1)}
    assert {kind: map_.found for kind, map_ in found.items()} == {None: 64, 0: 0, 1: 64}
    assert not found[0].values.any() and found[1].values.all()


def test_a_layer_without_part_in_the_predictions_is_an_error():
    model = Brightest()
    detector = Detector(model, DetectOptions(imgsz=(64,)))
    with pytest.raises(UserError, match="has no part in the predictions"):
        heatmap_maps.look(detector, np.zeros((64, 64, 3), np.uint8), [Spot("unused", model.unused)], "gradcam")


# --- models and layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["yolov5n.yaml", "yolov5n6.yaml", "yolov5n-p2.yaml"])
@pytest.mark.parametrize("method", CAMS)
def test_cams_of_every_family(name, method):
    model = tiny_model(name)
    detector = Detector(model, DetectOptions(imgsz=(128,), conf_thres=0.01))
    image = np.random.default_rng(0).integers(0, 255, (100, 128, 3), dtype=np.uint8)
    (found,) = heatmap_maps.look(detector, image, [default_layer(model)], method)
    assert found.values.shape == (128 // max(model.strides),) * 2
    assert np.isfinite(found.values).all()
    assert found.values.any() if method == "eigencam" else found.values.min() >= 0 and found.found == 100
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("block", ATTENTIONS, ids=lambda block: block.__name__)
def test_every_attention_is_the_default_layer(block):
    extra = {"EMA": (8,), "ShuffleAttention": (4,), "SGE": (4,)}.get(block.__name__, ())
    model = with_attention(block.__name__, *extra)
    spot = default_layer(model)
    assert spot.label == f"5 {block.__name__}" and isinstance(spot.module, block)
    detector = Detector(model, DetectOptions(imgsz=(64,), conf_thres=0.0))
    for method in CAMS:
        assert heatmap_maps.look(detector, np.full((64, 64, 3), 90, np.uint8), [spot], method)[0].values.shape == (4, 4)


def test_default_layers():
    assert default_layer(build_model("yolov5n.yaml", nc=2)).label == "9 SPPF"
    assert default_layer(build_model("yolov5n6.yaml", nc=2)).label == "11 SPPF"
    assert default_layer(build_model("yolov5n-ema.yaml", nc=2)).label == "10 EMA"


@pytest.mark.parametrize(
    ("wanted", "label"),
    [
        ("0", "0 Conv"),
        ("7", "7 EMA"),
        ("SPPF", "11 SPPF"),
        ("sppf", "11 SPPF"),
        ("C3", "25 C3"),
        ("nn.Upsample", "17 nn.Upsample"),
        ("model.9.cv2", "9.cv2 Conv"),
        ("9.cv2.conv", "9.cv2.conv Conv2d"),
        ("26.m.0", "26.m.0 Conv2d"),
    ],
)
def test_finding_layers(wanted, label):
    model = build_model("yolov5n-ema.yaml", nc=2)
    spot = find_layer(model, wanted)
    assert spot.label == label
    assert spot.module is model.get_submodule(f"model.{label.split()[0]}")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("27", ["has no layer '27'", "0 Conv, 1 Conv, 2 C3", "25 C3", "model.0.conv"]),
        ("-1", ["has no layer '-1'"]),
        ("SPF", ["has no layer 'SPF'; did you mean SPPF", "its layers are"]),
        ("model.9.cv7", ["has no layer", "did you mean model.9.cv"]),
        ("", ["has no layer ''"]),
        ("model", ["has no layer 'model'"]),
        ("26", ["layer 26 gives boxes, not maps; its layers are"]),
        ("Detect", ["layer Detect gives boxes"]),
    ],
)
def test_layers_that_are_not_there(wanted, words):
    with pytest.raises(UserError) as error:
        find_layer(build_model("yolov5n-ema.yaml", nc=2), wanted)
    assert all(word in str(error.value) for word in words), error.value
    assert "26 Detect" not in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "words"), [("7.conv1x1", "never runs by itself"), ("11.m", ""), ("12.bn", ""), ("9.m", "")]
)
def test_modules_inside_layers(wanted, words):
    model = tiny_model("yolov5n-ema.yaml", width_multiple=0.25)
    detector, spot = Detector(model, DetectOptions(imgsz=(64,), conf_thres=0.01)), find_layer(model, wanted)
    for method in CAMS:
        try:
            (found,) = heatmap_maps.look(detector, np.zeros((64, 64, 3), np.uint8), [spot], method)
            assert not words and found.values.shape == (2, 2)
        except UserError as error:
            assert words and words in str(error)


def test_a_module_that_gives_no_map_is_an_error():
    rows = [[-1, 1, "C3TR", [128]] if row[2] == "C3" else row for row in MODEL["backbone"]]
    model = build_model(MODEL | {"backbone": rows}, nc=3).eval()
    spot = find_layer(model, next(name for name, module in model.named_modules() if type(module) is nn.Linear))
    with pytest.raises(UserError, match="gives no map of the picture"):
        heatmap_maps.look(
            Detector(model, DetectOptions(imgsz=(64,))), np.zeros((64, 64, 3), np.uint8), [spot], "gradcam"
        )


def test_weights_that_are_not_finite_are_an_error():
    model = build_model(MODEL, nc=3).eval()
    model.model[0].conv.weight.data.fill_(float("nan"))
    for method in CAMS:
        with pytest.raises(UserError, match="not finite"):
            heatmap_maps.look(
                Detector(model, DetectOptions(imgsz=(64,))),
                np.ones((64, 64, 3), np.uint8),
                [default_layer(model)],
                method,
            )


# --- gates ------------------------------------------------------------------------------------------------------------


def test_the_gates_of_every_block_are_seen():
    model = build_model("yolov5n-ema.yaml", nc=2).eval()
    detector = Detector(model, DetectOptions(imgsz=(64, 96)))
    found = heatmap_maps.look(detector, np.full((64, 96, 3), 90, np.uint8), ema_blocks(model), "gates")
    assert [(map_.label, map_.values.shape) for map_ in found] == [("7 EMA", (4, 6)), ("10 EMA", (2, 3))]
    assert all(map_.values.min() > 0 and map_.values.max() < 1 for map_ in found)
    assert [spot.label for spot in ema_blocks(model, "7")] == ["7 EMA"]


def test_repeated_blocks_have_gates_each():
    rows = [[-1, 6, "EMA", [128, 8]] if row[2] == "EMA" else row for row in MODEL["backbone"]]
    model = build_model(MODEL | {"backbone": rows}, nc=3)
    assert [spot.label for spot in ema_blocks(model)] == ["5.0 EMA", "5.1 EMA"]


def test_models_without_gates():
    with pytest.raises(UserError, match="no EMA block .*python -m tools.insert"):
        ema_blocks(build_model("yolov5n.yaml", nc=2))
    with pytest.raises(UserError, match="layer SPPF has no EMA gates; leave --layer out"):
        ema_blocks(build_model("yolov5n-ema.yaml", nc=2), "SPPF")


# --- panels -----------------------------------------------------------------------------------------------------------


def test_overlay_goes_from_blue_to_red():
    image = np.zeros((1, 2, 3), np.uint8)
    drawn = overlay(image, np.array([[2.0, 4.0]]), 2, 4)
    assert drawn[0, 0].argmax() == 0 and drawn[0, 1].argmax() == 2
    assert (overlay(image, np.zeros((1, 2)), 0, 0) == drawn[:, :1]).all()  # an empty map


def test_a_panel_is_as_wide_as_its_title():
    narrow, wide = panel(np.zeros((50, 1, 3), np.uint8), "größe 写真"), panel(np.zeros((50, 400, 3), np.uint8), "a")
    assert narrow.shape[0] == wide.shape[0] == 50 + BAR
    assert 40 < narrow.shape[1] < 120 and wide.shape[1] == 400


def test_titles_say_what_is_found(monkeypatch):
    said = []
    monkeypatch.setattr(heatmap_panels, "panel", lambda image, title: said.append(title))
    for found, value in ((0, 0), (3, 0), (3, 1)):
        values = np.full((4, 4), value, np.float32)
        heat = heatmap_maps.HeatMap("9 SPPF", values, fit((32, 32), 32, auto=False), found)
        heatmap_panels.heat_panel(np.zeros((32, 32, 3), np.uint8), heat, "a")
    assert said == [f"a, 9 SPPF: {text}" for text in ("nothing found", "3 predictions, map is 0", "3 predictions")]


@pytest.mark.parametrize(("count", "shape"), [(1, (9, 5, 3)), (4, (9, 20, 3)), (5, (18, 20, 3)), (9, (27, 20, 3))])
def test_panels_go_on_in_a_new_row(count, shape):
    picture = side_by_side([np.full((9, 5, 3), number, np.uint8) for number in range(count)])
    assert picture.shape == shape
    assert picture[-1, 0, 0] == (count - 1) // 4 * 4


def test_large_pictures_are_shrunk_and_small_ones_left():
    assert shrink(np.zeros((400, 2 * LONGEST, 3), np.uint8)).shape == (200, LONGEST, 3)
    assert shrink(np.zeros((1, 5000, 3), np.uint8)).shape == (1, LONGEST, 3)
    assert shrink(np.zeros((7, 9, 3), np.uint8)).shape == (7, 9, 3)


def test_a_loaded_model_is_left_as_it_was():
    model = build_model(MODEL, nc=3).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    detector = Detector(model, DetectOptions(imgsz=(64,)))
    for method in heatmap_maps.METHODS:
        heatmap_maps.look(detector, np.ones((64, 64, 3), np.uint8), ema_blocks(model), method)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert isinstance(ema_blocks(model)[0].module, EMA)
