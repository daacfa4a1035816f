"""Files become networks."""

import pytest
import torch

from models import loading
from models.loading import find_weights, load_model
from tests.stock_files import tiny_model, write_stock
from utils.checkpoint import read_weights, save_checkpoint
from utils.errors import UserError

REST = {"dtype": "float32", "epoch": 1, "best_fitness": 0.0, "date": "", "training": None}


def save(path, model, **changes):
    content = {"yaml": model.yaml, "names": model.names, "state_dict": model.state_dict()}
    save_checkpoint(path, content | REST | changes)
    return path


@pytest.mark.parametrize("name", ["yolov5n.yaml", "yolov5n-ema.yaml"])
def test_our_checkpoint_predicts_as_the_model_that_was_saved(tmp_path, name):
    model = tiny_model(name)
    loaded = load_model(save(tmp_path / "best.pt", model))
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(loaded.predict(images), model.predict(images))
    assert not loaded.training and loaded.dtype == torch.float32
    assert (loaded.names, loaded.nc, loaded.yaml) == (model.names, model.nc, model.yaml)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_file_of_stock_predicts_with_its_half_precision_weights(tmp_path, legacy):
    model = tiny_model()
    model.head.anchors.mul_(1.7)  # as its autoanchor would have left them, unlike the YAML's
    loaded = load_model(str(write_stock(tmp_path / "stock.pt", model, legacy)))
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = model.half().float().predict(images)
        assert torch.equal(loaded.predict(images), expected)
    assert torch.equal(loaded.head.anchors, model.head.anchors) and loaded.strides == (8, 16, 32)


def test_weights_are_looked_for_in_three_places(tmp_path, monkeypatch):
    root, folder = tmp_path / "root", tmp_path / "elsewhere"
    (root / "weights").mkdir(parents=True)
    folder.mkdir()
    monkeypatch.setattr(loading, "ROOT", root)
    monkeypatch.chdir(folder)
    for place in (root / "weights", root, folder):
        (place / "yolov5s.pt").write_bytes(b"x")
        assert find_weights("yolov5s.pt").resolve() == place / "yolov5s.pt"


@pytest.mark.parametrize(
    "name, words",
    [
        ("yolov5s.pt", r"fetch the released weights with: python -m tools\.fetch yolov5s\.pt"),
        ("some/yolov5x6.pt", r"python -m tools\.fetch yolov5x6\.pt"),
        ("mine é.pt", "mine é.pt: no such file"),
    ],
)
def test_missing_weights(tmp_path, monkeypatch, name, words):
    monkeypatch.setattr(loading, "ROOT", tmp_path)
    with pytest.raises(UserError, match=words):
        load_model(name)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        load_model(tmp_path)


def test_weights_that_do_not_fit_their_yaml(tmp_path):
    model = tiny_model()
    state = model.state_dict()
    missing = {name: value for name, value in state.items() if not name.startswith("model.3.")}
    with pytest.raises(UserError, match=r"6 tensors missing, 0 unknown.*first model\.3\.conv\.weight"):
        load_model(save(tmp_path / "x.pt", model, state_dict=missing))
    with pytest.raises(UserError, match=r"1 unknown.*first model\.99\.w"):
        load_model(save(tmp_path / "x.pt", model, state_dict=dict(state) | {"model.99.w": torch.ones(1)}))
    with pytest.raises(UserError, match=r"\d+ of another shape"):
        load_model(save(tmp_path / "x.pt", model, yaml=model.yaml | {"width_multiple": 0.25}))


def test_a_yaml_with_an_unknown_block_names_file_and_layer(tmp_path):
    model = tiny_model()
    layers = [*model.yaml["backbone"][:-1], [-1, 1, "Mystery", [1024]]]
    with pytest.raises(UserError, match=r"x\.pt: the model YAML in it.*layer 9.*Mystery"):
        load_model(save(tmp_path / "x.pt", model, yaml=model.yaml | {"backbone": layers}))


def test_reading_weights_leaves_the_file_alone(tmp_path):
    file = save(tmp_path / "x.pt", tiny_model())
    before = file.read_bytes()
    read_weights(file).state_dict["model.0.conv.weight"].zero_()
    load_model(file)
    assert file.read_bytes() == before
