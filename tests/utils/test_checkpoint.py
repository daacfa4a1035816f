"""Checkpoints: ours, and those of stock."""

import copy

import pytest
import torch
from torch import nn

from tests.stock_files import tiny_model, write_stock
from utils import checkpoint
from utils.checkpoint import read_checkpoint, read_weights, save_checkpoint, strip_checkpoint
from utils.errors import UserError


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def content_of(model, **changes):
    return {
        "yaml": model.yaml,
        "names": model.names,
        "state_dict": model.state_dict(),
        "dtype": "bfloat16",
        "epoch": 7,
        "best_fitness": 0.5,
        "date": "2025-01-02T03:04:05",
        "training": {"raw": {"w": torch.ones(2)}, "history": [(1, 2.0)], "rng": torch.get_rng_state(), "none": None},
    } | changes


def test_ours_comes_back_whole_and_loads_as_weights_only(tmp_path, model):
    file = tmp_path / "weights" / "last.pt"
    save_checkpoint(file, content_of(model))
    plain = torch.load(file, weights_only=True)
    content = read_checkpoint(file)
    assert content["format"] == "yolov5-ema" and content["version"] == 1 and set(plain) == set(content)
    assert content["training"]["history"] == [(1, 2.0)]
    assert torch.equal(content["training"]["rng"], torch.get_rng_state())
    for name, value in model.state_dict().items():
        assert torch.equal(content["state_dict"][name], value) and torch.equal(plain["state_dict"][name], value)
    weights = read_weights(file)
    assert (weights.yaml, weights.names, weights.epoch, weights.source) == (model.yaml, model.names, 7, "yolov5-ema")


def test_a_failed_save_leaves_the_old_file(tmp_path, model, monkeypatch):
    file = tmp_path / "last.pt"
    save_checkpoint(file, content_of(model))
    before = file.read_bytes()

    def fail_half_way(content, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", fail_half_way)
    with pytest.raises(OSError):
        save_checkpoint(file, content_of(model))
    assert file.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"extra": 1}, "has the keys"),
        ({"training": {"a": [nn.Conv2d(1, 1, 1)]}}, r"checkpoint\.training\.a\.0 is a Conv2d"),
        ({"training": {"options": {("a",): 1}}}, "key of type tuple"),
        ({"state_dict": {"w": nn.Parameter(torch.ones(1))}}, "is a Parameter"),
    ],
)
def test_only_plain_data_is_saved(tmp_path, model, change, words):
    with pytest.raises(ValueError, match=words):
        save_checkpoint(tmp_path / "x.pt", content_of(model, **change))
    assert not (tmp_path / "x.pt").exists()


def test_stripping_halves_the_weights_and_drops_the_loop(tmp_path, model):
    file = tmp_path / "best.pt"
    save_checkpoint(file, content_of(model))
    strip_checkpoint(file)
    content = read_checkpoint(file)
    assert content["training"] is None and content["epoch"] == 7
    for name, value in content["state_dict"].items():
        assert value.dtype == (torch.int64 if name.endswith("num_batches_tracked") else torch.float16)
    for name, value in read_weights(file).state_dict.items():
        assert torch.equal(value, model.state_dict()[name].half().to(value.dtype))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"format": "other"}, "is not a checkpoint of this project"),
        ({"version": 2}, "is a checkpoint of version 2, this code reads version 1"),
        ({"state_dict": [1]}, "is not a table of tensors"),
        ({"state_dict": {"a": 1}}, "is not a table of tensors"),
    ],
)
def test_ours_of_another_kind(tmp_path, model, change, words):
    file = tmp_path / "x.pt"
    torch.save({"format": "yolov5-ema", "version": 1} | content_of(model) | change, file)
    with pytest.raises(UserError, match=words):
        read_checkpoint(file)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"yaml": None}, "no model YAML"),
        ({"yaml": {"backbone": [1]}}, "no model YAML"),
        ({"names": {0: "a"}}, "do not number the 3 classes"),
        ({"names": {0: "a", 1: "b", 3: "c"}}, "do not number"),
        ({"names": 3}, "do not number"),
        ({"state_dict": {}}, "no weights"),
    ],
)
def test_parts_that_do_not_belong_together(tmp_path, model, change, words):
    file = tmp_path / "x.pt"
    save_checkpoint(file, content_of(model, **change))
    with pytest.raises(UserError, match=words):
        read_weights(file)


def test_an_incomplete_file_names_what_is_missing(tmp_path):
    file = tmp_path / "x.pt"
    torch.save({"format": "yolov5-ema", "version": 1, "yaml": {}}, file)
    with pytest.raises(UserError, match="names, state_dict"):
        read_checkpoint(file)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_weights_of_stock(tmp_path, model, legacy):
    file = write_stock(tmp_path / "stock.pt", model, legacy)
    weights = read_weights(file)
    assert (weights.yaml, weights.names, weights.epoch, weights.source) == (model.yaml, model.names, None, "yolov5")
    assert list(weights.state_dict) == list(model.state_dict())  # without anchor_grid
    for name, value in model.state_dict().items():
        expected = value.half().float() if value.is_floating_point() else value
        assert weights.state_dict[name].dtype == expected.dtype and torch.equal(weights.state_dict[name], expected)
    with pytest.raises(UserError, match="released YOLOv5 file"):
        read_checkpoint(file)


def test_the_averaged_model_of_stock_is_taken(tmp_path, model):
    other = tiny_model(seed=1)
    weights = read_weights(write_stock(tmp_path / "x.pt", model, ema=other, epoch=12))
    assert weights.epoch == 12
    assert torch.equal(weights.state_dict["model.24.m.0.bias"], other.state_dict()["model.24.m.0.bias"].half().float())


def test_names_of_stock_as_a_list_or_missing(tmp_path, model):
    changed = copy.deepcopy(model)
    changed.names = ["x", "y", "z"]
    assert read_weights(write_stock(tmp_path / "a.pt", changed)).names == {0: "x", 1: "y", 2: "z"}
    changed.names = None
    assert read_weights(write_stock(tmp_path / "b.pt", changed)).names == {0: "0", 1: "1", 2: "2"}


@pytest.mark.parametrize(
    "content, words",
    [
        ({"epoch": 3, "model": None}, "no YOLOv5 model"),
        ([], "no YOLOv5 model"),
        ({"a.weight": torch.ones(1)}, "bare state dict"),
        ({"model": nn.Conv2d(1, 1, 1)}, "no model YAML"),
    ],
)
def test_other_files_of_torch(tmp_path, content, words):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(UserError, match=words):
        read_weights(tmp_path / "x.pt")


@pytest.mark.parametrize("read", [read_checkpoint, read_weights])
def test_damaged_files_are_errors_in_words(tmp_path, model, read):
    file = tmp_path / "x.pt"
    save_checkpoint(file, content_of(model))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"x\.pt: is damaged or cut off"):
        read(file)
    file.write_text("<html>not found</html>")
    with pytest.raises(UserError, match="web page"):
        read(file)
    file.unlink()
    with pytest.raises(UserError, match="no such file"):
        read(file)
