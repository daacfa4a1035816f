"""Weights move between layer lists; what was inserted is passed over."""

import copy

import pytest
import torch

from models import build_model
from models.transfer import align, transfer
from tests.stock_files import tiny_model
from utils.errors import ROOT, UserError
from utils.files import read_yaml

PAIRS = sorted(path.stem for path in (ROOT / "models").glob("yolov5?.yaml"))
EMA_LAYERS = (7, 10)  # in the -ema files


def small(name, nc=3):
    """The shipped YAML's layers at a size that builds fast: an eighth of the channels, little depth."""
    content = read_yaml(ROOT / "models" / f"{name}.yaml")
    return build_model(content | {"width_multiple": 0.125, "depth_multiple": 0.34, "nc": nc})


def shifted(index):
    """A plain model's layer number in its -ema file."""
    return index + (index >= 7) + (index >= 9)


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def renamed(name):
    _, index, rest = name.split(".", 2)
    return f"model.{shifted(int(index))}.{rest}"


def test_there_are_pairs():
    assert len(PAIRS) == 5


@pytest.mark.parametrize("name", PAIRS)
def test_all_of_a_plain_model_arrives_in_its_ema_model(name):
    source, target = small(name), small(f"{name}-ema")
    for value in source.state_dict().values():
        value.copy_(torch.rand(value.shape) * 9)
    given, before = state_of(source), state_of(target)
    report = transfer(given, source.yaml, target)
    after = target.state_dict()
    weights = [key for key in given if not key.endswith(".anchors")]
    assert sorted(report.loaded) == sorted(map(renamed, weights)) and report.skipped == ()
    assert all(torch.equal(after[renamed(key)], given[key]) for key in weights)
    assert {int(key.split(".")[1]) for key in report.new} == set(EMA_LAYERS)
    assert all(torch.equal(after[key], before[key]) for key in (*report.new, "model.26.anchors"))


@pytest.mark.parametrize("name", PAIRS)
def test_and_the_other_way_round(name):
    source, target = small(f"{name}-ema"), small(name)
    for value in source.state_dict().values():
        value.copy_(torch.rand(value.shape) * 9)
    given = state_of(source)
    report = transfer(given, source.yaml, target)
    after = target.state_dict()
    assert report.new == () and len(report.loaded) == len(after) - 1  # all but the anchors
    assert all(torch.equal(after[key], given[renamed(key)]) for key in report.loaded)
    assert {int(key.split(".")[1]) for key in report.skipped} == set(EMA_LAYERS)


def test_another_number_of_classes_leaves_only_the_head_new():
    source, target = tiny_model(nc=3), tiny_model("yolov5n-ema.yaml", nc=5)
    report = transfer(source.state_dict(), source.yaml, target)
    assert {key.split(".")[1] for key in report.new} == {"7", "10", "26"}
    assert {key.split(".")[1] for key in report.skipped} == {"24"} and len(report.skipped) == 6
    total = len(target.state_dict()) - 1
    assert str(report) == (
        f"{total - 18} of {total} tensors loaded, 18 new (layers 7, 10, 26), 6 of the file's not used (layer 24)"
    )


def test_anchors_come_along_only_when_asked_for():
    source, target = tiny_model(), tiny_model(seed=1)
    source.head.anchors.mul_(2)
    own = target.head.anchors.clone()
    assert "model.24.anchors" not in transfer(source.state_dict(), source.yaml, target).loaded
    assert torch.equal(target.head.anchors, own)
    assert "model.24.anchors" in transfer(source.state_dict(), source.yaml, target, anchors=True).loaded
    assert torch.equal(target.head.anchors, 2 * own)


def test_under_half_is_refused_and_leaves_the_model_as_it_was():
    source, target = tiny_model(), tiny_model(seed=1, width_multiple=0.25)
    before = state_of(target)
    with pytest.raises(UserError, match=r"only \d+ of the model's 348 tensors.*--allow-partial"):
        transfer(source.state_dict(), source.yaml, target)
    assert all(torch.equal(value, before[key]) for key, value in target.state_dict().items())
    report = transfer(source.state_dict(), source.yaml, target, allow_partial=True)
    assert report.loaded == ()  # not even biases and counters, which have the same shapes


def test_a_smaller_model_fills_no_layers_that_mean_something_else():
    """Widths 1/8 and 1/4: layer 3 of the one gives as many channels as layer 1 of the other."""
    source, target = tiny_model(), tiny_model(seed=1, width_multiple=0.25)
    assert source.model[3].conv.weight.shape[0] == target.model[1].conv.weight.shape[0]
    assert transfer(source.state_dict(), source.yaml, target, allow_partial=True).loaded == ()


def test_levels_of_the_head_with_equal_biases_only_stay_new():
    source, target = tiny_model(), tiny_model("yolov5n-p2.yaml", seed=1)
    report = transfer(source.state_dict(), source.yaml, target)
    assert not any(key.startswith("model.31.m") for key in report.loaded)
    assert len(report.skipped) == 6 and len(report.loaded) == len(source.state_dict()) - 1 - 6


def test_the_weights_of_the_file_are_not_shared_with_the_model():
    source, target = tiny_model(), tiny_model(seed=1)
    given = state_of(source)
    kept = copy.deepcopy(given)
    transfer(given, source.yaml, target)
    for parameter in target.parameters():
        parameter.data.zero_()
    assert all(torch.equal(given[key], kept[key]) for key in given)


def test_a_tensor_without_a_layer_is_an_error():
    model = tiny_model()
    with pytest.raises(UserError, match="names such as model.0.conv.weight"):
        transfer({"features.weight": torch.ones(1)}, model.yaml, model)


A, B = {"w": torch.Size([1])}, {"w": torch.Size([2])}


@pytest.mark.parametrize(
    "source, target, pairs",
    [
        ([], [], []),
        ([("Conv", A)], [], []),
        ([("Conv", A)], [("C3", A)], []),
        ([("Conv", A), ("C3", A)], [("Conv", A), ("EMA", A), ("C3", A)], [(0, 0), (1, 2)]),
        ([("Conv", B)], [("Conv", A), ("Conv", B)], [(0, 1)]),  # shapes tell like layers apart
        ([("Conv", A), ("Conv", B)], [("Conv", B)], [(1, 0)]),
        ([("Concat", {}), ("Conv", A)], [("Concat", {}), ("Conv", A)], [(0, 0), (1, 1)]),
    ],
)
def test_alignment(source, target, pairs):
    def parts(rows):
        return [word for word, _ in rows], {index: shapes for index, (_, shapes) in enumerate(rows)}

    assert align(*parts(source), *parts(target)) == pairs
