import pytest

from utils.errors import UserError
from utils.files import write_yaml
from utils.hyp import FIELDS, FOLDER, find_hyp, load_hyp

SHIPPED = ("scratch-low", "scratch-med", "scratch-high", "no-augmentation", "VOC", "Objects365", "demo", "VisDrone")
LOW = load_hyp("data/hyps/hyp.scratch-low.yaml")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_reads(name):
    hyp = load_hyp(f"hyp.{name}")
    assert list(hyp)[: len(FIELDS)] == list(FIELDS)
    assert all(isinstance(value, float) for value in hyp.values())
    assert hyp["nbs"] == (64 if name != "demo" else hyp["nbs"])


def test_the_stock_values():
    low, med, high, none, voc, objects = (load_hyp(FOLDER / f"hyp.{name}.yaml") for name in SHIPPED[:6])
    for field, values in {
        "lr0": (0.01, 0.01, 0.01, 0.01, 0.00334, 0.00258),
        "lrf": (0.01, 0.1, 0.1, 0.1, 0.15135, 0.17),
        "momentum": (0.937, 0.937, 0.937, 0.937, 0.74832, 0.779),
        "weight_decay": (0.0005, 0.0005, 0.0005, 0.0005, 0.00025, 0.00058),
        "warmup_epochs": (3, 3, 3, 3, 3.3835, 1.33),
        "warmup_momentum": (0.8, 0.8, 0.8, 0.8, 0.59462, 0.86),
        "warmup_bias_lr": (0.1, 0.1, 0.1, 0.1, 0.18657, 0.0711),
        "box": (0.05, 0.05, 0.05, 0.05, 0.02, 0.0539),
        "cls": (0.5, 0.3, 0.3, 0.3, 0.21638, 0.299),
        "cls_pw": (1, 1, 1, 1, 0.5, 0.825),
        "obj": (1.0, 0.7, 0.7, 0.7, 0.51728, 0.632),
        "obj_pw": (1, 1, 1, 1, 0.67198, 1),
        "anchor_t": (4, 4, 4, 4, 3.3744, 3.44),
        "anchors": (0, 0, 0, 0, 3.412, 3.2),
        "hsv_h": (0.015, 0.015, 0.015, 0, 0.01041, 0.0188),
        "hsv_s": (0.7, 0.7, 0.7, 0, 0.54703, 0.704),
        "hsv_v": (0.4, 0.4, 0.4, 0, 0.27739, 0.36),
        "translate": (0.1, 0.1, 0.1, 0, 0.04591, 0.0902),
        "scale": (0.5, 0.9, 0.9, 0, 0.75544, 0.491),
        "fliplr": (0.5, 0.5, 0.5, 0, 0.5, 0.5),
        "mosaic": (1, 1, 1, 0, 0.85834, 1),
        "mixup": (0, 0.1, 0.1, 0, 0.04266, 0),
        "copy_paste": (0, 0, 0.1, 0, 0, 0),
    }.items():
        assert tuple(hyp[field] for hyp in (low, med, high, none, voc, objects)) == values, field
    assert all(
        hyp[field] == 0 for hyp in (low, voc) for field in ("degrees", "shear", "perspective", "flipud", "fl_gamma")
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lr_0": 0.1}, "unknown hyper-parameter 'lr_0'; did you mean lr0"),
        ({"zzz": 1}, "unknown hyper-parameter 'zzz'; the known ones are lr0"),
        ({"lr0": "fast"}, "lr0 is 'fast'; a number of 0 or more"),
        ({"lr0": None}, "lr0 is None"),
        ({"lr0": True}, "lr0 is True"),
        ({"mosaic": 1.5}, "mosaic is 1.5; a number from 0 to 1"),
        ({"box": -1}, "box is -1"),
        ({"box": float("nan")}, "box is nan"),
        ({"box": float("inf")}, "box is inf"),
        ({"nbs": 0}, "nbs is 0; a number of 1 or more"),
    ],
)
def test_bad_fields_are_named(tmp_path, change, words):
    file = tmp_path / "my hyp.yaml"
    write_yaml(file, LOW | change)
    with pytest.raises(UserError, match=words) as error:
        load_hyp(file)
    assert str(file) in str(error.value)


def test_every_changed_value_of_visdrone_has_its_reason():
    found = load_hyp("hyp.VisDrone")
    changed = {name: value for name, value in found.items() if value != LOW[name]}
    assert changed == {"cls": 1.0, "obj": 0.7, "anchor_t": 3.0, "scale": 0.3}
    lines = (FOLDER / "hyp.VisDrone.yaml").read_text().splitlines()
    explained = {
        line.split(":")[0]: below.removeprefix("# CHANGED from ")
        for line, below in zip(lines, lines[1:])
        if below.startswith("# CHANGED from ")
    }
    assert set(explained) == set(changed)
    assert all(text.startswith(str(LOW[name])) for name, text in explained.items())


def test_missing_fields_are_named(tmp_path):
    file = tmp_path / "hyp.yaml"
    write_yaml(file, {name: value for name, value in LOW.items() if name not in ("lr0", "mixup", "nbs", "anchors")})
    with pytest.raises(UserError, match="lacks the hyper-parameters lr0, mixup; see hyp.scratch-low.yaml"):
        load_hyp(file)


def test_numbers_without_a_point_are_numbers(tmp_path):
    file = tmp_path / "hyp.yaml"
    write_yaml(file, LOW)
    file.write_text(file.read_text().replace("lr0: 0.01", "lr0: 1e-3"))
    assert load_hyp(file)["lr0"] == 0.001


def test_missing_file_lists_what_there_is():
    with pytest.raises(UserError, match="no such file.*hyp.scratch-low.yaml"):
        find_hyp("hyp.none.yaml")
