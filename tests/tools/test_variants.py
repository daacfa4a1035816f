"""The shipped files with attention are what `tools.insert` writes, and hold what their names say."""

import pytest
import torch

from models import build_model
from models.config import FOLDER
from models.summary import count_parameters
from tools import variants
from tools.variants import SIZES, VARIANTS, render

BY_NAME = {variant.out: variant for variant in VARIANTS}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_tool_writes_the_shipped_file(name):
    assert (FOLDER / name).read_bytes() == render(BY_NAME[name]).encode()


def test_the_table_is_complete():
    by_hand = {"paper/visdrone-yolov5x-p2-ema.yaml"}
    shipped = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*-ema*.yaml")}
    assert shipped - by_hand == {name for name in BY_NAME if "-ema" in name}
    assert {f"yolov5{size}-ema.yaml" for size in SIZES} < shipped


@pytest.mark.parametrize("name", sorted({variant.out.replace("yolov5n", "yolov5?") for variant in VARIANTS[:6]}))
def test_the_blocks_stand_where_the_name_says(name):
    with torch.device("meta"):
        model = build_model(FOLDER / name.replace("?", "n"))
    words = [layer.word for layer in model.model]
    followed = [i for i, word in enumerate(words[1:]) if word == "EMA"]
    border = len(model.yaml["backbone"])
    c3 = [i for i, word in enumerate(words) if word == "C3"]
    backbone, neck = [i for i in c3 if i < border], [i for i in c3 if i >= border]
    ending = name.rpartition("-")[2]
    assert followed == {"ema.yaml": backbone[-2:], "backbone.yaml": backbone, "neck.yaml": neck, "all.yaml": c3}[ending]


def test_only_what_differs_is_written(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    for name in ("yolov5n.yaml", "yolov5n-ema.yaml"):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    monkeypatch.setattr(variants, "FOLDER", tmp_path)
    monkeypatch.setattr(variants, "VARIANTS", VARIANTS[:2])
    variants.main([])
    assert "1 of 2 files written" in caplog.text
    assert (tmp_path / VARIANTS[1].out).read_bytes() == (FOLDER / VARIANTS[1].out).read_bytes()
    variants.main([])
    assert "0 of 2 files written" in caplog.text


def test_the_papers_visdrone_models():
    with torch.device("meta"):
        plain, attention = (build_model(f"visdrone-yolov5x-p2{end}.yaml") for end in ("", "-ema"))
    assert plain.nc == attention.nc == 10
    assert count_parameters(plain) == 90_963_540 and count_parameters(attention) == 91_179_620
    blocks = [layer for layer in attention.model if layer.word == "EMA"]
    assert [layer.index for layer in blocks] == [14, 19, 24, 28, 32] and all(layer.groups == 32 for layer in blocks)
    assert [layer.arguments[0] for layer in blocks] == [640, 320, 320, 320, 640]
    assert sum(map(count_parameters, blocks)) == 11_280  # the rest of the difference is wiring, as the header says
    assert [attention.model[i].source for i in (26, 30, 34, 36)] == [(25, 18), (29, 14), (33, 10), (23, 27, 31, 35)]
    assert plain.strides == attention.strides == (4, 8, 16, 32)
