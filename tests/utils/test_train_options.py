import os
import shutil

import pytest

from utils.errors import UserError
from utils.options import parse_options
from utils.train_options import (
    DECLINED,
    TrainOptions,
    check_options,
    find_run,
    frozen_prefixes,
    options_from_dict,
    options_to_dict,
    run_name,
)


def parse(*argv):
    return parse_options(TrainOptions, "", argv, DECLINED)


def test_defaults_are_stock():
    options = parse()
    assert options == TrainOptions()
    expected = {
        "cfg": "", "data": "data/coco128.yaml", "hyp": "data/hyps/hyp.scratch-low.yaml", "epochs": 100,
        "batch_size": 16, "imgsz": 640, "workers": 8, "project": "runs/train", "name": "exp", "patience": 100,
        "freeze": (0,), "save_period": -1, "seed": 0, "optimizer": "SGD", "label_smoothing": 0.0, "weights": None,
        "resume": None, "cache": None,
    }  # fmt: skip
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        (["--img", "320"], "imgsz", 320),
        (["--img-size", "320"], "imgsz", 320),
        (["--batch", "4"], "batch_size", 4),
        (["--resume"], "resume", ""),
        (["--resume", "a/last.pt"], "resume", "a/last.pt"),
        (["--cache"], "cache", "ram"),
        (["--cache", "disk"], "cache", "disk"),
        (["--freeze", "10"], "freeze", (10,)),
        (["--freeze", "0", "1", "2"], "freeze", (0, 1, 2)),
        (["--weights", ""], "weights", ""),
        (["--cos-lr"], "cos_lr", True),
    ],
)
def test_spellings(argv, field, value):
    assert getattr(parse(*argv), field) == value


@pytest.mark.parametrize("flag", list(DECLINED))
def test_declined_flags_answer_in_a_sentence(flag):
    with pytest.raises(UserError, match=flag):
        parse(flag)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "--epochs 0"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"label_smoothing": 1.5}, "--label-smoothing 1.5"),
        ({"freeze": (-1,)}, "--freeze"),
        ({"optimizer": "Lion"}, "SGD, Adam, AdamW"),
    ],
)
def test_unusable_values(change, words):
    with pytest.raises(UserError, match=words):
        check_options(TrainOptions(**change))


def test_a_launcher_of_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    check_options(TrainOptions())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="several GPUs comes in a later version"):
        check_options(TrainOptions())


def test_options_survive_being_plain_data():
    options = TrainOptions(freeze=(1, 2), cfg="x.yaml", resume="")
    content = options_to_dict(options)
    assert content["freeze"] == [1, 2]
    assert options_from_dict(content, "opt.yaml") == options
    with pytest.raises(UserError, match="opt.yaml: unknown option 'evolve'"):
        options_from_dict(content | {"evolve": 1}, "opt.yaml")
    with pytest.raises(UserError, match="opt.yaml: epochs is 'many'"):
        options_from_dict(content | {"epochs": "many"}, "opt.yaml")
    with pytest.raises(UserError, match="--epochs 0: is not usable"):
        options_from_dict(content | {"epochs": 0}, "opt.yaml")


def test_frozen_layers():
    numbers = range(25)
    assert frozen_prefixes((), numbers) == frozen_prefixes((0,), numbers) == frozen_prefixes((2,), ()) == ()
    assert frozen_prefixes((2,), numbers) == ("model.0.", "model.1.")
    assert frozen_prefixes((3, 12), numbers) == ("model.3.", "model.12.")


def test_frozen_layers_are_counted_without_inserted_ones():
    numbers = (0, None, 1, 2, None, 3)
    assert frozen_prefixes((2,), numbers) == ("model.0.", "model.2.")
    assert frozen_prefixes((2, 3), numbers) == ("model.3.", "model.5.")


def test_run_names():
    assert run_name(TrainOptions(name="mine")) == "mine"
    assert run_name(TrainOptions(name="cfg", cfg="models/yolov5n.yaml")) == "yolov5n"
    with pytest.raises(UserError, match="--name cfg"):
        run_name(TrainOptions(name="cfg"))


def test_bare_resume_takes_the_newest(tmp_path):
    with pytest.raises(UserError, match="no last.pt was found below"):
        find_run("", tmp_path)
    for age, name in enumerate(("exp2", "exp", "exp3")):
        file = tmp_path / "train" / name / "weights" / "last.pt"
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (1000 - age, 1000 - age))
    folder = tmp_path / "train" / "exp2"
    assert find_run("", tmp_path) == (folder / "weights" / "last.pt", folder)


def test_resume_takes_a_file_or_a_run_folder(tmp_path):
    file = tmp_path / "exp" / "weights" / "last.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_run(str(file)) == find_run(str(tmp_path / "exp")) == (file, tmp_path / "exp")
    with pytest.raises(UserError, match="nothing.pt: no such checkpoint"):
        find_run(str(tmp_path / "nothing.pt"))
    with pytest.raises(UserError, match="no such checkpoint"):
        find_run(str(tmp_path))
    shutil.copy(file, tmp_path / "last.pt")
    with pytest.raises(UserError, match="lies in no run folder"):
        find_run(str(tmp_path / "last.pt"))
