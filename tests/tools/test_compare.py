"""Comparing models: equal starts, runs that are skipped, resumed and that fail, and the tables."""

import csv
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from models.config import find_config
from tests.command import run_cli
from tests.tiny import NAMES, write_tiny
from tools import comparison_queue, comparison_table
from tools.compare import CompareOptions
from tools.comparison_queue import split_devices
from tools.comparison_start import make_plan
from utils.checkpoint import read_checkpoint, save_checkpoint
from utils.errors import UserError
from utils.files import write_yaml
from utils.paired import estimate

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
    plan = make_plan(CompareOptions(**files, seeds=(3, 4), name="starts"), NAMES)
    first, second = (read_checkpoint(plan.job("ema", seed).start)["state_dict"] for seed in (3, 4))
    assert plan.job("plain", 3).start == plan.job("ema", 3).start
    assert not torch.equal(first["model.0.conv.weight"], second["model.0.conv.weight"])
    again = make_plan(CompareOptions(**files, seeds=(3, 4), name="starts-2"), plan.names)
    same = read_checkpoint(again.job("ema", 3).start)["state_dict"]
    assert all(torch.equal(same[name], value) for name, value in first.items())


def test_starts_hold_the_weights_that_are_given(files, tmp_path):
    given = make_plan(CompareOptions(**files | {"project": str(tmp_path)}), NAMES).job("plain", 0).start
    changes = {"project": str(tmp_path), "name": "given", "weights": str(given), "seeds": (8, 9)}
    plan = make_plan(CompareOptions(**files | changes), NAMES)
    wanted = read_checkpoint(given)["state_dict"]
    for seed in plan.seeds:
        found = read_checkpoint(plan.job("ema", seed).start)["state_dict"]
        assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_comparison_from_failure_to_table(files, monkeypatch):
    """One seed's start is damaged: its runs fail, the rest go on; mended, the same command trains only those."""
    monkeypatch.setattr(comparison_table, "SECONDS", "0.1")
    monkeypatch.setattr(comparison_table, "PROCESSES", 1)
    plan = make_plan(CompareOptions(**files, seeds=(0, 1)), NAMES)
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
    plan = make_plan(CompareOptions(**files | {"project": str(tmp_path)}), NAMES)
    job = plan.job("ema", 0)
    assert not job.is_finished() and job.epochs_done() == 0
    content = read_checkpoint(job.start)
    save_checkpoint(job.last, content | {"training": {"state": 1}})
    assert not job.is_finished()
    save_checkpoint(job.last, content)
    assert job.is_finished()


def test_devices_are_named_once_each():
    assert split_devices("cpu") == ("cpu",)
    for twice in ("cpu,cpu", "cpu, CPU"):
        with pytest.raises(UserError, match="names a device twice"):
            split_devices(twice)


def test_weights_that_do_not_fit_leave_nothing(files, tmp_path):
    """The right ones can follow under the same name."""
    assert "nope.pt" in command(files, weights="nope.pt", project=str(tmp_path)).sentence
    assert not any(tmp_path.iterdir())


def test_image_sizes_are_rounded_as_training_rounds_them(files, tmp_path):
    plan = make_plan(CompareOptions(**files | {"imgsz": 70, "project": str(tmp_path)}), NAMES)
    assert plan.settings["imgsz"] == 96


def test_another_base_or_an_edited_model_is_refused(files, tmp_path):
    files = files | {"project": str(tmp_path)}
    plan = make_plan(CompareOptions(**files), NAMES)
    swapped = command(files, models=files["models"][::-1])
    assert "begun with another first model in --models, 'plain' and not 'ema'" in swapped.sentence
    job, content = plan.job("ema", 0), read_checkpoint(plan.job("ema", 0).start)
    save_checkpoint(job.last, content | {"yaml": plan.build("ema").yaml})
    assert make_plan(CompareOptions(**files), NAMES) == plan
    save_checkpoint(job.last, content)  # the network that was trained is the base's
    assert "ema-seed0: was begun with another" in command(files).sentence
    job.last.write_bytes(b"junk")
    assert f"cannot be read; delete {job.folder} to train the run again" in command(files).sentence


def test_a_run_goes_on_from_its_checkpoint(files, tmp_path, monkeypatch):
    plan = make_plan(CompareOptions(**files | {"project": str(tmp_path)}, seeds=(5,)), NAMES)
    job, commands = plan.job("ema", 5), []
    monkeypatch.setattr(comparison_queue.subprocess, "Popen", lambda command, **_: commands.append(command))
    comparison_queue._start(plan, job, "cpu", 0)
    save_checkpoint(job.last, read_checkpoint(job.start))
    comparison_queue._start(plan, job, "cpu", 0)
    new, again = (dict(zip(command[2::2], command[3::2])) for command in commands)
    assert (new["--weights"], new["--seed"], new["--cfg"]) == (str(job.start), "5", str(job.config))
    assert again == {"--device": "cpu", "--resume": str(job.last)}


def test_what_runs_when_the_comparison_stops_is_ended(files, tmp_path):
    plan = make_plan(CompareOptions(**files | {"project": str(tmp_path)}), NAMES)
    queue, job = comparison_queue.Queue(plan, ("cpu",), 0), plan.job("ema", 0)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with pytest.raises(KeyboardInterrupt), queue:
        queue.running["cpu"] = comparison_queue.Running(job, sleeper, time.monotonic() - 7, 0)
        raise KeyboardInterrupt
    assert sleeper.returncode == -signal.SIGTERM
    note = job.note()
    assert 7 <= note["seconds"] < 60 and note["failure"] is None and "CPU" in note["device"]


def test_a_failure_is_told_in_its_own_words(files, tmp_path):
    """Not in those of an earlier attempt, whose log stands before it."""
    plan = make_plan(CompareOptions(**files | {"project": str(tmp_path)}), NAMES)
    job, earlier = plan.job("ema", 0), "error: an earlier one\n"
    log = job.folder / comparison_queue.LOG_FILE
    log.parent.mkdir()
    ended = comparison_queue.Running(job, SimpleNamespace(returncode=-9), 0.0, len(earlier))
    log.write_text(f"{earlier}Traceback\n")
    assert comparison_queue._reason(ended) == f"it ended with code -9, see {log}"
    log.write_text(f"{earlier}error: no memory\n")
    assert comparison_queue._reason(ended) == "no memory"


def finish(job, map50, map_):
    """Leave what a finished run leaves, with these scores in its last epoch and better ones before."""
    save_checkpoint(job.last, read_checkpoint(job.start))
    rows = ["epoch, metrics/mAP_0.5, metrics/mAP_0.5:0.95", "0, 0.9, 0.8", f"1, {map50}, {map_}"]
    (job.folder / "results.csv").write_text("\n".join(rows))
    job.add_note(90.0, None, "an abacus")


def test_differences_are_paired_by_seed_and_counted_from_the_base(files, tmp_path):
    plan = make_plan(CompareOptions(**files | {"project": str(tmp_path)}, seeds=(0, 1, 2, 3)), NAMES)
    for seed, map50, map_ in ((0, 0.30, 0.20), (1, 0.40, 0.10), (2, 0.50, 0.30), (3, 0.99, 0.99)):
        finish(plan.job("plain", seed), map50, map_)
    for seed, map50, map_ in ((0, 0.33, 0.19), (1, 0.44, 0.13), (2, 0.53, 0.29)):
        finish(plan.job("ema", seed), map50, map_)
    plan.job("ema", 3).folder.mkdir()
    plan.job("ema", 3).add_note(1.0, "no memory", "an abacus")
    base, ema = comparison_table.compare_runs(plan)
    assert ema.map50 == (0.33, 0.44, 0.53) and base.map[3] == 0.99 and ema.minutes == pytest.approx(1.5)
    # 3, 4 and 3 points: mean 10 / 3, standard deviation sqrt(1 / 3); t of two degrees of freedom is 4.30265
    assert ema.difference50 == pytest.approx((0.1 / 3, 0.0057735, 4.30265 * 0.0057735 / 3**0.5), rel=1e-4)
    assert ema.difference.mean == pytest.approx(0.01 / 3) and not ema.difference.is_distinguishable
    lines = comparison_table.markdown(plan, [base, ema], {"CPU": {"plain": 1.25, "ema": 2.0}}).splitlines()
    assert "trained on an abacus." in lines[0]
    assert "| 43.33 ± 10.02 | 20.33 ± 8.08 | +3.33 ± 1.43 | +0.33 ± 5.74, not distinguishable | 1.5 |" in lines[-3]
    assert lines[-1] == "ema: seed 3 failed: no memory."


def test_a_model_without_a_finished_run_has_no_difference():
    assert comparison_table._difference(estimate([])) == "-"
    assert comparison_table._difference(estimate([0.01])) == "+1.00 ± -, not distinguishable"
    assert comparison_table._difference(estimate([0.01, 0.01])) == "+1.00 ± 0.00"


def test_a_folder_of_something_else_is_left_alone(files, tmp_path):
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "letter.txt").write_text("mine")
    assert "holds no comparison" in command(files, project=str(tmp_path)).sentence
    assert find_config(files["models"][0]).stem == "plain"
