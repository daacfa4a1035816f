"""Training end to end on a tiny data set."""

import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import train
from models import build_model, load_model
from tests.tiny import NAMES, SIDE, write_tiny
from train import fit
from utils.checkpoint import read_checkpoint, read_weights, save_checkpoint
from utils.errors import UserError
from utils.files import read_yaml, write_yaml
from utils.finite import NonFiniteError
from utils.hyp import load_hyp
from utils.learner import Learner
from utils.report import COLUMNS
from utils.train_options import TrainOptions, options_from_dict

EPOCHS = 60
PICTURES = (
    "results.png labels.jpg labels_correlogram.jpg train_batch0.jpg train_batch1.jpg train_batch2.jpg "
    "val_batch0_labels.jpg val_batch0_pred.jpg confusion_matrix.png F1_curve.png PR_curve.png P_curve.png R_curve.png"
)


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Flags of a run on the tiny data set; no pictures."""
    torch.set_num_threads(1)
    return write_tiny(tmp_path_factory.mktemp("tiny")) | {"noplots": True, "epochs": 2}


@pytest.fixture(scope="module")
def trained(flags):
    """A run that has learned something, with everything that it wrote."""
    options = TrainOptions(**flags | {"epochs": EPOCHS, "noplots": False, "name": "trained"})
    return SimpleNamespace(folder=fit(options), options=options)


def read_results(folder):
    lines = [line.split(",") for line in (folder / "results.csv").read_text().splitlines()]
    assert [cell.strip() for cell in lines[0]] == list(COLUMNS)
    return [dict(zip(COLUMNS, map(float, line))) for line in lines[1:]]


def test_it_learns(trained):
    rows = read_results(trained.folder)
    assert [row["epoch"] for row in rows] == list(range(EPOCHS))
    assert max(row["metrics/mAP_0.5"] for row in rows) > 0.25
    assert rows[-1]["train/box_loss"] < 0.8 * rows[0]["train/box_loss"]
    assert min(row["val/cls_loss"] for row in rows) < 0.9 * rows[0]["val/cls_loss"]


def test_learning_rates_follow_the_plan(trained):
    rows, factor = read_results(trained.folder), (1 - 59 / 60) * 0.99 + 0.01
    assert rows[-1]["x/lr0"] == rows[-1]["x/lr1"] == rows[-1]["x/lr2"] == pytest.approx(0.01 * factor, rel=1e-4)
    assert rows[0]["x/lr0"] == pytest.approx(0.05 + (0.01 - 0.05) * 2 / 100, rel=1e-4)  # the first epoch's last batch
    assert rows[0]["x/lr1"] == rows[0]["x/lr2"] == pytest.approx(0.01 * 2 / 100, rel=1e-4)


def test_the_run_folder_holds_what_stock_writes(trained):
    names = {path.name for path in trained.folder.iterdir()}
    events = {name for name in names if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    assert names - events == {"opt.yaml", "hyp.yaml", "results.csv", "weights", *PICTURES.split()}
    assert {path.name for path in (trained.folder / "weights").iterdir()} == {"best.pt", "last.pt"}


def test_options_and_hyper_parameters_read_back(trained):
    file = trained.folder / "opt.yaml"
    assert options_from_dict(read_yaml(file), str(file)) == trained.options
    assert load_hyp(trained.folder / "hyp.yaml") == load_hyp(trained.options.hyp)


def test_tensorboard_has_stock_tags(trained):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(trained.folder))
    events.Reload()
    tags = events.Tags()
    assert sorted(tags["scalars"]) == sorted(COLUMNS[1:])
    assert len(events.Scalars("val/obj_loss")) == EPOCHS
    assert tags["graph"]
    assert set(tags["images"]) == {"results", "confusion_matrix", "F1_curve", "PR_curve", "P_curve", "R_curve"}


def test_checkpoints_end_small_and_plain(trained):
    for name in ("best.pt", "last.pt"):
        content = torch.load(trained.folder / "weights" / name, weights_only=True)
        assert content["training"] is None
        assert content["names"] == NAMES
        assert {value.dtype for value in content["state_dict"].values()} == {torch.float16, torch.int64}
        assert content["state_dict"]["model.0.bn.num_batches_tracked"] > 0
    best = read_checkpoint(trained.folder / "weights" / "best.pt")
    rows = read_results(trained.folder)
    fitness = [0.1 * row["metrics/mAP_0.5"] + 0.9 * row["metrics/mAP_0.5:0.95"] for row in rows]
    assert best["best_fitness"] == pytest.approx(max(fitness), rel=1e-3)
    assert fitness[best["epoch"]] == pytest.approx(max(fitness), rel=1e-3)
    model = load_model(trained.folder / "weights" / "best.pt")
    assert model.predict(torch.rand(1, 3, SIDE, SIDE)).shape == (1, 3 * (64 + 16), 8)


def test_a_finished_run_is_not_resumed(trained):
    last = trained.folder / "weights" / "last.pt"
    with pytest.raises(UserError, match=r"last.pt: the run is finished \(60 epochs\); start a new one with --weights"):
        fit(TrainOptions(resume=str(last)))


def test_weights_without_a_model_bring_their_own(trained, flags, caplog):
    caplog.set_level("INFO")
    best = trained.folder / "weights" / "best.pt"
    folder = fit(TrainOptions(**flags | {"cfg": "", "weights": str(best), "epochs": 1}))
    weights = read_weights(best)
    assert read_results(folder)[0]["train/box_loss"] < 0.9 * read_results(trained.folder)[0]["train/box_loss"]
    total = len(weights.state_dict)
    assert f"{best}: {total} of {total} tensors loaded" in caplog.text


def test_frozen_layers_do_not_move(trained, flags):
    best = trained.folder / "weights" / "best.pt"
    folder = fit(TrainOptions(**flags | {"weights": str(best), "freeze": (3,), "epochs": 1}))
    before, after = read_weights(best).state_dict, read_weights(folder / "weights" / "last.pt").state_dict
    frozen = [f"model.{layer}.{name}" for layer in range(3) for name in ("conv.weight", "bn.weight", "bn.bias")]
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["model.3.cv1.conv.weight"], after["model.3.cv1.conv.weight"])


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "SGD", "cos_lr": True, "label_smoothing": 0.1},
        {"multi_scale": True, "optimizer": "Adam"},
        {"rect": True, "cache": "ram"},
        {"image_weights": True, "cache": "val"},
        {"single_cls": True, "noautoanchor": True},
        {"batch_size": -1, "imgsz": 50},
    ],
    ids=str,
)
def test_flags_run(flags, change):
    folder = fit(TrainOptions(**flags | change))
    rows = read_results(folder)
    assert len(rows) == 2
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert rows[1]["train/obj_loss"] > 0
    content = read_checkpoint(folder / "weights" / "last.pt")
    assert content["names"] == ({0: "item"} if "single_cls" in change else NAMES)
    if "batch_size" in change:
        assert read_yaml(folder / "opt.yaml")["batch_size"] == 16


def test_noval_and_nosave_wait_for_the_last_epoch(flags, monkeypatch):
    saved = []
    monkeypatch.setattr("tools.training_run.save_checkpoint", _note(saved, "tools.training_run.save_checkpoint"))
    folder = fit(TrainOptions(**flags | {"noval": True, "nosave": True, "patience": 1, "epochs": 3}))
    assert [path.name for path in saved] == ["best.pt", "last.pt"]
    rows = read_results(folder)
    assert [row["val/box_loss"] > 0 for row in rows] == [False, False, True]


def _note(paths, name):
    module, function = name.rsplit(".", 1)
    original = getattr(__import__(module, fromlist=[function]), function)

    def noted(path, content):
        paths.append(path)
        original(path, content)

    return noted


def test_patience_and_save_period(flags, monkeypatch, caplog):
    caplog.set_level("INFO")
    results = iter([0.1, 0.4, 0.3, 0.2, 0.1, 0.0])
    original = train.validate_average

    def falling(run):
        result, value = original(run), next(results)
        return type(result)(**vars(result) | {"map50": value, "map": value})

    monkeypatch.setattr(train, "validate_average", falling)
    folder = fit(TrainOptions(**flags | {"epochs": 6, "patience": 3, "save_period": 2}))
    assert len(read_results(folder)) == 5
    assert "the best epoch, 1, is 3 epochs old" in caplog.text
    content = {path.stem: read_checkpoint(path)["epoch"] for path in (folder / "weights").iterdir()}
    assert content == {"best": 1, "last": 4, "epoch0": 0, "epoch2": 2, "epoch4": 4}


def check_changed_checkpoints(last):
    """What was changed in a checkpoint by hand is said in a sentence that names it."""
    training, fit_not = ("training",), "was changed since it was written, its parts do not fit"
    changes = (
        (("yaml",), "text", fit_not),
        (("state_dict", "model.0.conv.weight"), torch.zeros(1), fit_not),
        ((*training, "options", "epochs"), "2", "epochs is '2', of another type"),
        ((*training, "options", "batch_size"), 0, "--batch-size 0"),
        ((*training, "hyp", "lr0"), "fast", "lr0 is 'fast'"),
        ((*training, "state", "history"), [[1.0]], fit_not),
        ((*training, "state"), 7, "holds no mapping but 7"),
        ((*training, "learner"), {}, f"{fit_not} .KeyError: 'model'"),
        ((*training, "learner", "model", "model.0.conv.weight"), torch.zeros(1), fit_not),
        ((*training, "learner", "optimizer", "param_groups"), [], fit_not),
        ((*training, "learner", "optimizer", "state", 0, "exp_avg"), torch.zeros(9), fit_not),
    )
    for number, (keys, value, words) in enumerate(changes):
        content = part = read_checkpoint(last)
        for key in keys[:-1]:
            part = part[key]
        assert keys[-1] in part
        part[keys[-1]] = value
        changed = last.with_name(f"changed{number}.pt")
        save_checkpoint(changed, {key: value for key, value in content.items() if key not in ("format", "version")})
        with pytest.raises(UserError, match=f"changed{number}.pt|--batch-size") as error:
            fit(TrainOptions(resume=str(changed)))
        assert re.search(words, str(error.value)), (keys, error.value)
        changed.unlink()


def test_ctrl_c_leaves_a_run_that_goes_on(flags, monkeypatch, caplog):
    caplog.set_level("INFO")
    step, calls = Learner.train_step, []

    def interrupted(self, *args):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return step(self, *args)

    monkeypatch.setattr(Learner, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(TrainOptions(**flags | {"name": "stopped", "save_period": 1}))
    assert "stopped after 1 of 2 epochs; go on with: python train.py --resume" in caplog.text
    last = caplog.text.split("--resume ")[1].split()[0]
    check_changed_checkpoints(Path(last))
    folder = fit(TrainOptions(resume=last))
    assert folder.name == "stopped"
    assert len(read_results(folder)) == 2


def test_a_full_disk_is_said_and_keeps_the_last_epoch(flags, monkeypatch):
    save, calls = torch.save, []

    def full(content, path):
        calls.append(path)
        if len(calls) == 3:  # best.pt of the first epoch comes after last.pt of the start
            raise RuntimeError("basic_ios::clear: iostream error")
        save(content, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match="last.pt: cannot be written .* is there room on the disk"):
        fit(TrainOptions(**flags | {"name": "full"}))
    folder = calls[0].parent
    assert read_checkpoint(folder / "last.pt")["epoch"] == -1
    assert read_checkpoint(folder / "best.pt")["epoch"] == 0
    assert {path.name for path in folder.iterdir()} == {"best.pt", "last.pt"}


def test_an_infinity_is_traced_to_its_layer(flags, monkeypatch, caplog):
    caplog.set_level("INFO")
    original = train.train_one_epoch

    def poisoned(run):
        if run.state.epoch == 1:
            with torch.no_grad():
                run.model.get_submodule("model.3.cv2.conv").weight[0, 0] = math.inf
        return original(run)

    monkeypatch.setattr(train, "train_one_epoch", poisoned)
    with pytest.raises(NonFiniteError) as error:
        fit(TrainOptions(**flags | {"name": "poisoned"}))
    message = str(error.value)
    assert "poisoned, epoch 1, batch 0: the loss is not finite" in message
    assert "first comes out of model.3.cv2.conv (Conv2d), whose weight holds 1 such value" in message
    assert len([word for word in message.split(", ") if word.endswith(".png")]) == 4
    kept = read_checkpoint(caplog.text.split("are kept in ")[1].split()[0])
    assert kept["epoch"] == 0
    assert all(torch.isfinite(value).all() for value in kept["training"]["learner"]["model"].values())


def test_anchors_of_the_hyper_parameters_and_of_autoanchor(flags, tmp_path):
    hyp = tmp_path / "hyp.yaml"
    write_yaml(hyp, load_hyp(flags["hyp"]) | {"anchors": 2.4})
    folder = fit(TrainOptions(**flags | {"hyp": str(hyp), "epochs": 1}))
    content = read_checkpoint(folder / "weights" / "last.pt")
    model = build_model(content["yaml"])
    assert model.head.na == 2
    found = content["state_dict"]["model.10.anchors"].float()
    assert not torch.allclose(found, model.head.anchors)  # the placeholders are gone
    pixels = found * torch.tensor(model.strides).view(-1, 1, 1)
    assert pixels.min() > 5
    assert pixels.max() < 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "none.yaml"}, "none.yaml"),
        ({"hyp": "none.yaml"}, "none.yaml"),
        ({"cfg": "none.yaml"}, "none.yaml"),
        ({"weights": "none.pt"}, "none.pt"),
        ({"cfg": ""}, "tools.fetch yolov5s.pt"),
        ({"cfg": "", "weights": ""}, "--cfg"),
        ({"resume": "none.pt"}, "none.pt: no such checkpoint"),
        ({"device": "0,1"}, "several GPUs"),
        ({"epochs": 0}, "--epochs 0"),
    ],
    ids=str,
)
def test_mistakes_are_named_and_leave_no_folder(flags, tmp_path, change, words):
    with pytest.raises(UserError, match=words):
        fit(TrainOptions(**flags | {"project": str(tmp_path / "runs")} | change))
    assert not (tmp_path / "runs").exists()
