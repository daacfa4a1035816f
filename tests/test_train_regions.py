"""Ignored regions on their way from the side files through a whole run of train.py."""

import csv

import pytest
import torch

import train
from tests.tiny import write_tiny
from train import fit
from utils.files import read_yaml, write_yaml
from utils.train_options import TrainOptions


@pytest.fixture
def flags(tmp_path):
    torch.set_num_threads(1)
    return write_tiny(tmp_path, train=4, val=2) | {"noplots": True, "epochs": 1}


def run(flags, folder, name, region="", **data):
    """results.csv's text and its row; `region`: of every picture, `data`: added to the data YAML."""
    for split, count in (("train", 4), ("val", 2)):
        side_files = folder / "set" / "ignored" / split
        side_files.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (side_files / f"{number}.txt").write_text(region)
    write_yaml(folder / f"{name}.yaml", read_yaml(folder / "tiny.yaml") | data)
    text = (
        fit(TrainOptions(**flags | {"data": str(folder / f"{name}.yaml"), "name": name})) / "results.csv"
    ).read_text()
    head, row = csv.reader(text.splitlines())
    return text, dict(zip(map(str.strip, head), map(float, row)))


def test_regions_reach_both_losses_and_the_switch_undoes_all(flags, tmp_path):
    text, without = run(flags, tmp_path, "none")
    _, ignored = run(flags, tmp_path, "on", region="0.5 0.5 1 1\n")
    for key in ("train/obj_loss", "val/obj_loss"):
        assert ignored[key] < without[key]
    assert run(flags, tmp_path, "off", region="0.5 0.5 1 1\n", ignore=False)[0] == text


@pytest.mark.parametrize(("annotations", "dropped"), [({}, True), ({"test": "instances.json"}, False)])
def test_cocos_own_crowd_rule_takes_the_place_of_visdrones(flags, tmp_path, monkeypatch, annotations, dropped):
    seen, validate = [], train.validate

    def watched(*arguments, **more):
        seen.append(more["drop_regions"])
        return validate(*arguments, **more)

    monkeypatch.setattr(train, "validate", watched)
    run(flags, tmp_path, "set", annotations=annotations)
    assert seen == [dropped] * 2
