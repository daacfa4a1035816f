import copy

import pytest
import torch
from torch import nn

from models import build_model
from models.config import read_activation, read_config
from models.registry import BLOCKS, register, same
from utils.errors import UserError
from utils.files import write_yaml

SMALL = {
    "nc": 2,
    "depth_multiple": 1.0,
    "width_multiple": 1.0,
    "anchors": [[10, 13, 16, 30], [30, 61, 62, 45]],
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "C3", [16]]],
    "head": [[-1, 1, "Conv", [32, 3, 2]], [[2, 3], 1, "Detect", ["nc", "anchors"]]],
}


def small(**changes):
    return copy.deepcopy(SMALL) | changes


def with_layer(row):
    content = small()
    content["backbone"][2] = row
    return content


# YAMLs of the YOLOv5 family that are not shipped: their blocks and words, at a small size
FAMILY = {
    "ghost": [[-1, 1, "GhostConv", [32, 3, 2]], [-1, 3, "C3Ghost", [32]], [-1, 1, "GhostBottleneck", [64, 3, 2]]],
    "transformer": [[-1, 1, "Conv", [32, 3, 2]], [-1, 3, "C3TR", [32]], [-1, 1, "Conv", [64, 3, 2]]],
    "yolov3": [[-1, 2, "Bottleneck", [16]], [-1, 1, "Conv", [32, 3, 2]], [-1, 1, "SPP", [32, [5, 9, 13]]]],
    "yolov3-tiny": [
        [-1, 1, "nn.MaxPool2d", [2, 2, 0]],
        [-1, 1, "nn.ZeroPad2d", [[0, 1, 0, 1]]],
        [-1, 1, "nn.MaxPool2d", [2, 1, 0]],
    ],
    "v3.1": [[-1, 1, "Focus", [16, 3]], [-1, 3, "BottleneckCSP", [16]], [-1, 1, "C3SPP", [16, [3, 5]]]],
    "experiments": [
        [-1, 1, "DWConv", [16, 3, 2]],
        [-1, 1, "CrossConv", [16]],
        [-1, 2, "C3x", [16]],
        [-1, 1, "Contract", [2]],
        [-1, 1, "Expand", [2]],
        [-1, 1, "nn.BatchNorm2d", []],
        [-1, 1, "nn.ConvTranspose2d", [16, 2, 2]],
        [-1, 1, "DWConvTranspose2d", [16, 2, 2]],
    ],
    "ema": [[-1, 1, "EMA", []], [-1, 1, "EMA", [16, 8]], [-1, 1, "EMA", [16, 2]]],
}


@pytest.mark.parametrize("kind", FAMILY)
def test_the_whole_family_parses_and_runs(kind):
    rows = copy.deepcopy(FAMILY[kind])
    if kind == "ema":
        rows[0][3] = [16, 4]
    content = small(backbone=[*SMALL["backbone"], *rows], anchors=3, head=[[[-1, 2], 1, "Detect", ["nc", "anchors"]]])
    model = build_model(content).eval()
    with torch.no_grad():
        assert model.predict(torch.rand(1, 3, 64, 64)).isfinite().all()


def test_channels_may_be_left_out_for_ema():
    content = small(width_multiple=4.0)
    content["backbone"].append([-1, 1, "EMA", []])
    content["head"] = [[[2, 3], 1, "Detect", ["nc", "anchors"]]]
    assert build_model(content).model[3].groups == 32


def test_activation_key_replaces_every_conv_activation():
    model = build_model(small(activation="nn.LeakyReLU(0.1)"))
    kinds = {type(module.act) for module in model.modules() if hasattr(module, "act")}
    assert kinds == {nn.LeakyReLU}
    assert isinstance(build_model(small()).model[0].act, nn.SiLU)


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "nn.Linear(3, 3)", "LeakyReLU", "nn.ReLU(open('x'))"])
def test_activation_is_never_executed(text):
    with pytest.raises(UserError, match="activation"):
        read_activation("m.yaml", text)


BAD = [
    (with_layer([-1, 1, "EMAA", [16]]), r"layer 2 \(EMAA\): unknown block 'EMAA'; did you mean EMA"),
    (with_layer([-1, 1, "C3", ["ncc"]]), r"layer 2 \(C3\): unknown word 'ncc'.*nc"),
    (with_layer([-1, 1, "C3", ["__import__('os')"]]), "unknown word"),
    (with_layer([7, 1, "C3", [16]]), "reads layer 7, but only layers 0 to 1"),
    (with_layer([-9, 1, "C3", [16]]), "reads layer -9"),
    (with_layer([-1, 1, "C3"]), r"is not \[from, number, block, arguments\]"),
    (with_layer([-1, 0, "C3", [16]]), "number is 0"),
    (with_layer([-1, 1, "C3", 16]), "arguments are 16"),
    (with_layer([-1, 1, "C3", []]), "first must be its number of channels"),
    (with_layer([-1, 1, "Conv", [16, 3, 1, None, 1, 1, True, 5, 6]]), "layer 2"),
    (with_layer([[0, 1], 1, "C3", [16]]), "takes one input"),
    (
        with_layer([-1, 1, "EMA", [16]]),
        r"16 channels are not divisible by the factor 32; these work: \[1, 2, 4, 8, 16\]",
    ),
    (with_layer([-1, 1, "EMA", [24]]), "differ from its input's 16"),
    (small(nc=None), "has no 'nc'"),
    (small(nc="two"), "nc is 'two'"),
    (small(backbone={}), "'backbone' is not a list"),
    (small(width_multiple="wide"), "width_multiple"),
    (small(anchors=[[1, 2]]), "anchors have 1 rows"),
    (small(anchors=[[1, 2, 3], [1, 2, 3]]), "w, h pairs"),
    (small(anchors="auto"), "anchors are 'auto'"),
    (small(head=[[-1, 1, "Conv", [8]]]), "last layer must be Detect"),
    (with_layer([[0, 1], 1, "Concat", [1]]), r"layer 2 \(Concat\): the layers do not fit together here"),
    (with_layer([-1, 1, "Concat", [1]]), r"layer 2 \(Concat\): joins two maps or more, but reads one"),
    (with_layer([-1, 1, "Conv", [16, 3, 0]]), r"layer 2 \(Conv\): the layers do not fit together here"),
    (with_layer([-1, 1, "Conv", [16, 3, 3]]), "no whole numbers"),
    (small(anchors=[[1, 2], [0, 4]]), "anchors hold 0"),
    (small(anchors=10**9), "anchors are 1000000000"),
    (small(nc=True), "nc is True"),
    (small(ch=0), "ch is 0"),
    (small(width_multiple=float("inf")), "width_multiple is inf"),
    (small(activation="nn.LeakyReLU('x')"), "the layers do not fit together here"),
]


@pytest.mark.parametrize(("content", "words"), BAD)
def test_mistakes_are_named(content, words):
    with pytest.raises(UserError, match=words):
        build_model(content)


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    write_yaml(path, with_layer([-1, 1, "Conw", [16]]))
    with pytest.raises(UserError, match=r"mine\.yaml, layer 2 \(Conw\).*did you mean Conv"):
        build_model(path)


def test_a_name_that_two_files_have_lists_both(tmp_path, monkeypatch):
    monkeypatch.setattr("models.config.FOLDER", tmp_path)
    for folder in ("a", "b"):
        write_yaml(tmp_path / folder / "twin.yaml", small())
    with pytest.raises(UserError, match=r"2 files have this name.*a.twin\.yaml.*b.twin\.yaml"):
        read_config("twin.yaml")


def test_an_unknown_name_gets_close_matches():
    with pytest.raises(UserError, match=r"did you mean .*yolov5s-ema\.yaml"):
        read_config("yolov5s-emma.yaml")


def test_a_word_is_registered_once():
    with pytest.raises(ValueError, match="registered twice"):
        register(same, "EMA")(nn.Identity)
    assert BLOCKS["EMA"].cls is not nn.Identity


def test_anchors_listed_from_the_largest_level_are_turned_round():
    turned = small(anchors=[SMALL["anchors"][1], SMALL["anchors"][0]])
    assert torch.equal(build_model(turned).head.anchors, build_model(small()).head.anchors)
