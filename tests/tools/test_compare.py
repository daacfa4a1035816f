"""Comparing models: equal starts, runs that are skipped, resumed and that fail, and the tables."""

import csv

import pytest
import torch

from models.config import find_config
from tests.command import run_cli
from tests.tiny import write_tiny
from tools import comparison_table
from tools.compare import CompareOptions
from tools.comparison import make_plan
from utils.checkpoint import read_checkpoint, save_checkpoint
from utils.files import write_yaml

BASE = {
    "nc": 3,
    "depth_multiple": 0.33,
    "width_multiple": 0.125,
    "anchors": [[10, 13, 16, 30, 33, 23]],
    "backbone": [[-1, 1, "Conv", [64, 6, 2, 2]], [-1, 1, "Conv", [128, 3, 2]], [-1, 1, "Conv", [256, 3, 2]]],
    "head": [[-1, 1, "C3", [256, False]], [[3], 1, "Detect", ["nc", "anchors"]]],
}
WITH_EMA = BASE | {
    "head": [[-1, 1, "EMA", [256, 8]], [-1, 1, "C3", [256, False]], [[4], 1, "Detect", ["nc", "anchors"]]]
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The command line's arguments, without --seeds, for two tiny models on the tiny data set."""
    folder = tmp_path_factory.mktemp("compare")
    made = write_tiny(folder, train=4, val=2)
    write_yaml(folder / "plain.yaml", BASE)
    write_yaml(folder / "ema.yaml", WITH_EMA)
    return {
        "models": (str(folder / "plain.yaml"), str(folder / "ema.yaml")),
        "data": made["data"],
        "hyp": made["hyp"],
        "imgsz": 64,
        "batch_size": 4,
        "epochs": 1,
        "optimizer": "AdamW",
        "project": str(folder / "runs"),
    }


def command(files, **changes):
    """Run the tool as its users do."""
    values = files | {"workers": 0, "device": "cpu"} | changes
    argv = []
    for name, value in values.items():
        argv += [f"--{name.replace('_', '-')}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return run_cli("tools.compare", argv)


def test_too_few_or_unknown_models(files):
    assert "at least one model more" in command(files, models=("yolov5n",)).sentence
    assert "did you mean yolov5n-ema.yaml" in command(files, models=("yolov5n", "yolov5n-emma")).sentence
    assert "same name" in command(files, models=("yolov5n", "yolov5n.yaml")).sentence
    assert "different whole numbers" in command(files, seeds=(0, 0)).sentence


def test_models_that_cannot_start_alike_are_refused(files):
    found = command(files, models=("yolov5n", "yolov5s"), name="sizes")
    assert found.code == 1 and "cannot start alike" in found.sentence


def test_shared_layers_start_alike(files):
    plan = make_plan(CompareOptions(**files, seeds=(3, 4), name="starts"), {0: "a", 1: "b", 2: "c"})
    first, second = (read_checkpoint(plan.job("ema", seed).start)["state_dict"] for seed in (3, 4))
    assert plan.job("plain", 3).start == plan.job("ema", 3).start
    assert not torch.equal(first["model.0.conv.weight"], second["model.0.conv.weight"])
    again = make_plan(CompareOptions(**files, seeds=(3, 4), name="starts-2"), plan.names)
    same = read_checkpoint(again.job("ema", 3).start)["state_dict"]
    assert all(torch.equal(same[name], value) for name, value in first.items())


def test_a_comparison_from_failure_to_table(files, monkeypatch):
    """One seed's start is damaged: its runs fail, the rest go on; mended, the same command trains only those."""
    monkeypatch.setattr(comparison_table, "SECONDS", "0.1")
    monkeypatch.setattr(comparison_table, "PROCESSES", 1)
    plan = make_plan(CompareOptions(**files, seeds=(0, 1)), {0: "blue", 1: "green", 2: "red"})
    damaged = plan.job("plain", 1).start
    damaged.write_bytes(b"junk")
    failed = command(files, seeds=(0, 1))
    assert failed.code == 1 and "plain-seed1 and 1 more runs failed" in failed.sentence
    assert damaged.name in failed.sentence
    table = (plan.folder / "comparison.md").read_text()
    assert "plain: seed 1 failed" in table and "| ema |" in table and "not distinguishable" in table
    damaged.unlink()
    before = plan.job("ema", 0).last.stat().st_mtime_ns
    assert command(files, seeds=(0, 1)).code == 0
    assert plan.job("ema", 0).last.stat().st_mtime_ns == before
    check_tables(plan)
    different = command(files, seeds=(0, 1), epochs=2)
    assert different.code == 1 and "another --epochs, 1 and not 2" in different.sentence


def check_tables(plan):
    """What is written agrees with the runs."""
    runs = list(csv.DictReader((plan.folder / "runs.csv").open()))
    assert [(run["model"], run["seed"]) for run in runs] == [(m, s) for m in ("plain", "ema") for s in "01"]
    base, ema = csv.DictReader((plan.folder / "comparison.csv").open())
    assert (base["seeds"], ema["seeds"], ema["missing"]) == ("2", "2", "")
    assert int(ema["parameters"]) - int(base["parameters"]) == 10 * 4**2 + 4 * 4  # 32 channels in 8 groups
    assert float(ema["cpu_ms"]) > 0 and base["mAP50_difference"] == ""
    differences = [float(runs[2 + i]["mAP50"]) - float(runs[i]["mAP50"]) for i in range(2)]
    assert float(ema["mAP50_difference"]) == pytest.approx(sum(differences) / 2, abs=1e-9)
    assert (plan.folder / "comparison.png").stat().st_size > 10_000


def test_a_stopped_run_is_not_finished(files, tmp_path):
    plan = make_plan(CompareOptions(**files | {"project": str(tmp_path)}), {0: "a", 1: "b", 2: "c"})
    job = plan.job("ema", 0)
    assert not job.is_finished() and job.epochs_done() == 0
    content = read_checkpoint(job.start)
    save_checkpoint(job.last, content | {"training": {"state": 1}})
    assert not job.is_finished()
    save_checkpoint(job.last, content)
    assert job.is_finished()


def test_a_folder_of_something_else_is_left_alone(files, tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "letter.txt").write_text("mine")
    assert "holds no comparison" in command(files, project=str(tmp_path)).sentence
    assert find_config(files["models"][0]).stem == "plain"
