"""Every shipped pair, plain and with insertions: weights move both ways, each into its own layer."""

import zlib
from functools import lru_cache

import pytest
import torch

from models import build_model
from models.attention import ATTENTIONS
from models.config import FOLDER
from models.transfer import align, layer_words, transfer
from tools.variants import VARIANTS

PAIRS = {variant.out: (variant.source, variant.out) for variant in VARIANTS}
PAIRS["paper"] = ("paper/visdrone-yolov5x-p2.yaml", "paper/visdrone-yolov5x-p2-ema.yaml")
INSERTED = {cls.__name__ for cls in ATTENTIONS}
SMALL = [name for name in PAIRS if "yolov5n" in name or name == "yolov5s-ema.yaml"]


def layer_map(plain, longer):
    """Plain layer number -> its number in the longer list, found by counting what is not attention."""
    kept = [i for i, word in enumerate(layer_words(longer.yaml)) if word not in INSERTED]
    words = layer_words(longer.yaml)
    assert layer_words(plain.yaml) == [words[i] for i in kept]
    return dict(enumerate(kept))


@lru_cache
def on_meta(file):
    with torch.device("meta"):
        return build_model(FOLDER / file)


def shapes_by_layer(model):
    return {layer.index: {name: value.shape for name, value in layer.state_dict().items()} for layer in model.model}


@pytest.mark.parametrize("name", PAIRS)
def test_every_layer_finds_its_own(name):
    plain, longer = map(on_meta, PAIRS[name])
    wanted = list(layer_map(plain, longer).items())
    sides = [(layer_words(model.yaml), shapes_by_layer(model)) for model in (plain, longer)]
    assert align(*sides[0], *sides[1]) == wanted
    assert align(*sides[1], *sides[0]) == [(there, here) for here, there in wanted]


def filled_by_name(model):
    """Every tensor gets a value that follows from its name, so that one in a wrong place shows."""
    for name, value in model.state_dict().items():
        value.fill_(zlib.crc32(name.encode()) % 99991)
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("back", [False, True], ids=["plain to inserted", "inserted to plain"])
@pytest.mark.parametrize("name", SMALL)
def test_all_common_tensors_arrive(name, back):
    plain, longer = (build_model(FOLDER / file) for file in PAIRS[name])
    there = layer_map(plain, longer)
    source, target, number = (longer, plain, {j: i for i, j in there.items()}) if back else (plain, longer, there)
    given = filled_by_name(source)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    report = transfer(given, source.yaml, target, anchors=True)
    after, arrived = target.state_dict(), set()
    for key, value in given.items():
        _, index, rest = key.split(".", 2)
        if int(index) in number:
            arrived.add(f"model.{number[int(index)]}.{rest}")
            assert torch.equal(after[f"model.{number[int(index)]}.{rest}"], value), key
    assert set(report.loaded) == arrived and set(report.new) == set(after) - arrived
    assert all(torch.equal(after[key], before[key]) for key in report.new)
    inserted = report.skipped if back else report.new
    assert {int(key.split(".")[1]) for key in inserted} == set(range(len(longer.model))) - set(there.values())
    assert (report.new if back else report.skipped) == ()
