"""The demo data set on disk, and `ensure_data`."""

import importlib

import cv2
import numpy as np
import pytest

from data import prepare, spec
from data.prepare import demo, demo_data, ensure_data
from data.prepare.demo import DemoSettings, draw_demo
from data.prepare.visdrone import NAMES
from data.spec import load_spec
from utils.errors import ROOT, UserError

SMALL = DemoSettings(images=3, val_images=2, size=160, objects=12, seed=5)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("datasets") / "demo"
    draw_demo(root, SMALL)
    return root


def content(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_layout(drawn):
    assert {path.name for path in drawn.parent.iterdir()} == {"demo"}
    assert {path.name for path in drawn.iterdir()} == {"train", "val", "drawn.yaml"}
    for split, count in (("train", 3), ("val", 2)):
        folder = drawn / split
        assert {p.name for p in folder.iterdir()} == {"images", "annotations", "labels", "ignored", "report.txt"}
        stems = [{path.stem for path in (folder / kind).iterdir()} for kind in ("images", "annotations", "labels")]
        assert len(stems[0]) == count
        assert stems[0] == stems[1] == stems[2]
        assert {path.stem for path in (folder / "ignored").iterdir()} <= stems[0]


def test_pictures_and_labels_fit_together(drawn):
    for picture in drawn.rglob("*.jpg"):
        assert cv2.imread(str(picture)).shape == (160, 160, 3)
        labels = np.loadtxt(picture.parent.parent / "labels" / f"{picture.stem}.txt", ndmin=2).reshape(-1, 5)
        raw = np.loadtxt(picture.parent.parent / "annotations" / f"{picture.stem}.txt", delimiter=",", ndmin=2)
        raw = raw[(raw[:, 5] > 0) & (raw[:, 5] < 11)]
        np.testing.assert_array_equal(labels[:, 0], raw[:, 5] - 1)
        np.testing.assert_allclose(labels[:, 1] * 160, raw[:, 0] + raw[:, 2] / 2, atol=1e-3)
        np.testing.assert_allclose(labels[:, 4] * 160, raw[:, 3], atol=1e-3)
        assert (labels[:, 1:3] + labels[:, 3:] / 2 <= 1.00001).all()


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(drawn, tmp_path):
    draw_demo(tmp_path / "same", SMALL)
    assert content(tmp_path / "same") == content(drawn)
    draw_demo(tmp_path / "more", DemoSettings(images=1, val_images=3, size=160, objects=12, seed=5))
    one, more = content(drawn), content(tmp_path / "more")
    assert more["val/images/1_00001.jpg"] == one["val/images/1_00001.jpg"]  # a picture does not depend on their number
    draw_demo(tmp_path / "other", DemoSettings(images=1, val_images=1, size=160, objects=12, seed=6))
    assert content(tmp_path / "other")["train/images/0_00000.jpg"] != one["train/images/0_00000.jpg"]


def test_drawn_data_are_kept_or_replaced_and_other_data_never_touched(tmp_path):
    root = tmp_path / "demo"
    settings = DemoSettings(images=1, val_images=1, size=96, objects=0)
    assert len(draw_demo(root, settings)) == 2
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.*")}
    assert draw_demo(root, settings) == []
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.*")} == before
    draw_demo(root, DemoSettings(images=2, val_images=1, size=96, objects=0))
    assert len(list((root / "train/images").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    (root / "drawn.yaml").unlink()
    with pytest.raises(UserError, match="demo: holds files that the demo did not draw"):
        draw_demo(root, settings)


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_data, "prepare_split", stop)
    with pytest.raises(KeyboardInterrupt):
        draw_demo(tmp_path / "demo", SMALL)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"images": 0}, {"val_images": -1}, {"size": 20}, {"objects": -1}, {"seed": -1}])
def test_impossible_settings(wrong):
    with pytest.raises(UserError, match=f"--{next(iter(wrong)).replace('_', '-')} .*too small"):
        DemoSettings(**wrong)


def write_yaml(folder, download, root="datasets/demo"):
    names = "[" + ", ".join(NAMES) + "]"
    text = f"path: {folder / root}\ntrain: train/images\nval: val/images\ndownload: {download}\nnames: {names}\n"
    (folder / "set.yaml").write_text(text, encoding="utf-8")
    return load_spec(folder / "set.yaml")


def test_ensure_data_draws_the_demo_once(tmp_path, monkeypatch):
    drawings = []

    def draw(root):
        drawings.append(root)
        draw_demo(root, SMALL)

    monkeypatch.setitem(prepare.AUTOMATIC, "demo", draw)
    found = write_yaml(tmp_path, "demo")
    ensure_data(found, ("train", "val"))
    ensure_data(found, ("train", "val"))
    ensure_data(load_spec(tmp_path / "set.yaml"), ("val",))
    assert drawings == [tmp_path / "datasets/demo"]


@pytest.mark.parametrize(
    "download, words",
    [
        ("visdrone", r"python -m data\.prepare\.visdrone$"),
        ("coco", r"python -m data\.prepare\.coco$"),
        ("http://127.0.0.1:9/a.zip", r"python -m tools\.fetch .*set\.yaml$"),
        ("", "correct the paths in the YAML$"),
    ],
)
def test_ensure_data_fetches_nothing_and_names_the_command(tmp_path, download, words):
    with pytest.raises(UserError, match=rf"set\.yaml: no images at .*datasets/demo/val/images; .*{words}"):
        ensure_data(write_yaml(tmp_path, download), ("val",))
    assert not (tmp_path / "datasets").exists()


def test_ensure_data_says_when_the_demo_does_not_make_what_the_yaml_names(tmp_path, monkeypatch):
    monkeypatch.setitem(prepare.AUTOMATIC, "demo", lambda root: None)
    with pytest.raises(UserError, match="draws train/images and val/images only"):
        ensure_data(write_yaml(tmp_path, "demo"), ("train",))


def test_every_preparer_is_a_module_that_the_yaml_reader_knows():
    assert set(prepare.PREPARERS) == set(spec.PREPARERS)
    for module in prepare.PREPARERS.values():
        assert callable(importlib.import_module(module).main)
    assert demo.prepare is prepare.AUTOMATIC["demo"]


@pytest.mark.parametrize("name", ["demo.yaml", "VisDrone.yaml"])
def test_the_shipped_yamls_name_the_ten_classes(name):
    assert tuple(load_spec(ROOT / "data" / name).names.values()) == NAMES
