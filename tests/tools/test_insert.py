"""Blocks inserted by name of the place; what comes out is the same network with something in between."""

import pytest
import torch
import yaml

from models import build_model
from models.config import FOLDER, read_config
from models.transfer import transfer
from tests.tools.model_texts import PLAIN, TEXTS, TINY
from tools.insert import build_text, describe_layers, find_places, insert, main
from utils.errors import UserError


@pytest.fixture
def write(tmp_path):
    def write(text, name="given.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def rows_of(text):
    content = yaml.safe_load(text)
    return [*content["backbone"], *content["head"]]


@pytest.mark.parametrize("name", TEXTS)
def test_identities_change_no_prediction(name, write):
    path, count = write(TEXTS[name]), len(rows_of(TEXTS[name]))
    everywhere = [str(layer) for layer in range(count - 1)]
    plain = build_model(path).eval()
    longer = build_model(yaml.safe_load(insert(path, "nn.Identity", everywhere))).eval()
    report = transfer(plain.state_dict(), plain.yaml, longer)
    assert report.new == report.skipped == () and len(longer.model) == 2 * count - 1
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(longer.predict(images), plain.predict(images))


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("place", ["all", "Conv", "Concat"])
def test_every_way_of_writing_takes_attention(name, place, write):
    path = write(TEXTS[name])
    missing = place == "all" and name == "tiny" or place == "Concat" and name in ("dashes", "crowded")
    if missing:
        with pytest.raises(UserError, match="given.yaml.*no "):
            insert(path, "EMA", [place])
        return
    model = build_text(insert(path, "EMA", [place], ["8"]), "new.yaml")
    blocks = [layer for layer in model.model if layer.word == "EMA"]
    assert len(blocks) == len(find_places(read_config(path), [place])) > 0
    assert all(block.groups == 8 for block in blocks)


@pytest.mark.parametrize(
    "file, places, layers",
    [
        ("yolov5s.yaml", ["backbone-last2"], (6, 8)),
        ("yolov5s.yaml", ["backbone"], (2, 4, 6, 8)),
        ("yolov5s.yaml", ["neck"], (13, 17, 20, 23)),
        ("yolov5s.yaml", ["all"], (2, 4, 6, 8, 13, 17, 20, 23)),
        ("yolov5s.yaml", ["SPPF", "6", "3", "6"], (3, 6, 9)),
        ("yolov5s.yaml", ["nn.Upsample"], (11, 15)),
        ("yolov5s.yaml", ["Upsample"], (11, 15)),
        ("hub/yolov5s6.yaml", ["backbone-last2"], (8, 10)),
        ("hub/yolov5-p2.yaml", ["neck"], (13, 17, 21, 24, 27, 30)),
    ],
)
def test_places(file, places, layers):
    assert find_places(read_config(FOLDER / file), places) == layers


def test_bottlenecks_count_as_c3_blocks(write):
    config = read_config(write(TEXTS["bottlenecks"]))
    assert find_places(config, ["backbone-last2"]) == (2, 4) and find_places(config, ["neck"]) == (5, 11)


@pytest.mark.parametrize(
    "places, sentence",
    [
        (["24"], r"layer 24 \(Detect\): nothing can follow the last layer"),
        (["SPPF", "Detect"], r"layer 24 \(Detect\): nothing can follow"),
        (["25"], "has no layer 25; its layers are 0 to 24"),
        (["-1"], "has no layer -1"),
        (["6", "SPP"], "has no SPP; did you mean SPPF. its blocks are C3, Concat, Conv, Detect, SPPF, Upsample"),
        (["backbone-last"], "has no backbone-last; did you mean backbone-last2"),
        (["EMA"], "has no EMA; its blocks"),
    ],
)
def test_impossible_places_are_named(places, sentence):
    with pytest.raises(UserError, match=f"yolov5s.yaml.*{sentence}"):
        find_places(read_config("yolov5s.yaml"), places)


@pytest.mark.parametrize("place, sentence", [("neck", "no C3 block in its neck"), ("all", "no C3 block in its model")])
def test_models_without_c3(place, sentence, write):
    with pytest.raises(UserError, match=f"given.yaml: {place}: there is {sentence}; give layer numbers"):
        find_places(read_config(write(TINY)), [place])
    one = write(PLAIN.replace("[-1, 6, C3, [256]]", "[-1, 6, Conv, [256]]"))
    with pytest.raises(UserError, match="backbone-last2: there is only one C3 block in its backbone"):
        find_places(read_config(one), ["backbone-last2"])


@pytest.mark.parametrize(
    "block, place, args, rows",
    [
        ("EMA", "2", [], ["[128]"]),
        ("EMA", "2", ["8"], ["[128, 8]"]),
        ("EMA", "5", [], ["[256]"]),
        ("EMA", "Concat", [], ["[]", "[]"]),  # channels that no row states are left out
        ("EMA", "Concat", ["8"], ["[256, 8]", "[256, 8]"]),  # unless something follows them
        ("EMA", "7", ["8"], ["[128, 8]"]),
        ("C3", "7", [], ["[128]"]),
        ("C3", "7", ["False"], ["[128, False]"]),
        ("nn.BatchNorm2d", "2", [], ["[]"]),
        ("nn.Identity", "2", [], ["[]"]),
    ],
)
def test_arguments(block, place, args, rows, write):
    text = insert(write(PLAIN), block, [place], args)
    found = [line for line in text.splitlines() if f"[-1, 1, {block}, [" in line and line not in PLAIN.splitlines()]
    assert [line.partition(f"{block}, ")[2].partition("],")[0] + "]" for line in found] == [f"{row}]" for row in rows]
    build_text(text, "new.yaml")


def test_stated_channels_are_those_of_any_width(write):
    text = insert(write(PLAIN.replace("width_multiple: 0.5", "width_multiple: 0.33")), "EMA", ["Concat"], ["8"])
    assert build_text(text, "new.yaml").model[9].arguments[:2] == [96, 96]  # two of 48 joined


@pytest.mark.parametrize(
    "block, args, sentence",
    [
        ("EMMA", [], "unknown block 'EMMA'; did you mean EMA"),
        ("Concat", [], "--block Concat: takes several inputs"),
        ("Detect", [], "--block Detect: takes several inputs"),
        ("EMA", ["8]"], "--args '8]': is not one value"),
        ("EMA", ["8, 8"], "--args '8, 8': is not one value"),
        ("EMA", ["8 # eight"], "is not one value"),
        ("EMA", ["eight"], r"new.yaml, layer 3 \(EMA\): unknown word 'eight'"),
    ],
)
def test_impossible_blocks_are_named(block, args, sentence, write):
    with pytest.raises(UserError, match=sentence):
        insert(write(PLAIN), block, ["2"], args, "new.yaml")


def test_a_twin_row_is_refused(write):
    path = write(
        PLAIN.replace("[-1, 6, C3, [256]]", "&twin [-1, 6, C3, [256]]").replace("[-1, 1, SPPF, [256, 5]]", "*twin")
    )
    with pytest.raises(UserError, match="given.yaml: a row is a copy"):
        insert(path, "EMA", ["2", "4"])


def test_descriptions():
    assert [describe_layers(layers) for layers in ([9], [6, 8], [4, 6, 8])] == [
        "layer 9",
        "layers 6 and 8",
        "layers 4, 6 and 8",
    ]


def run(*words):
    main([str(word) for word in words])


def test_the_command_writes_what_it_says(write, tmp_path, caplog):
    caplog.set_level("INFO")
    path, out = write(PLAIN), tmp_path / "new" / "mine.yaml"
    run(path, "--block", "EMA", "--after", "SPPF", "2", "--args", 16, "--out", out)
    lines = out.read_text().splitlines()
    assert lines[:3] == [
        "# given.yaml with EMA after layers 2 and 5",
        "# (python -m tools.insert given.yaml --block EMA --after SPPF 2 --args 16)",
        "# first line",
    ]
    assert f"{out}: given.yaml with EMA after layers 2 and 5; " in caplog.text and "848 of them new" in caplog.text
    assert build_model(out).model[3].groups == 16


def test_the_commands_files(write, tmp_path):
    path, out = write(PLAIN), tmp_path / "out.yaml"
    out.write_text("mine")
    words = [path, "--block", "EMA", "--after", "SPPF"]
    with pytest.raises(UserError, match="out.yaml: exists; give another name, or --force"):
        run(*words, "--out", out)
    with pytest.raises(UserError, match="given.yaml: is the file that is read"):
        run(*words, "--out", path, "--force")
    with pytest.raises(UserError, match="out.txt: is not the name of a YAML file"):
        run(*words, "--out", tmp_path / "out.txt")
    with pytest.raises(UserError, match="no such model YAML"):
        run("nothing.yaml", "--block", "EMA", "--after", "SPPF", "--out", out)
    assert out.read_text() == "mine" and path.read_text() == PLAIN
    run(*words, "--out", out, "--force")
    assert "EMA" in out.read_text()


@pytest.mark.parametrize(
    "words, sentence",
    [
        (
            ["EMA", "--after", "0", "--args", "7"],
            r"out.yaml, layer 1 \(EMA\).*32 channels .* factor 7; these work: \[1, 2",
        ),
        (["EMA", "--after", "0", "--args", "8", "9"], r"out.yaml, layer 1 \(EMA\).*arguments"),
        (["Conv", "--after", "3", "--args", "3", "2"], r"out.yaml.* layers do not fit together"),
        (["nn.Upsample", "--after", "0", "--args", "None", "2"], r"turn the strides \(4, 8\) into \(2, 4\)"),
    ],
)
def test_what_does_not_become_a_network_is_not_written(words, sentence, write, tmp_path):
    path = write(PLAIN)
    with pytest.raises(UserError, match=sentence):
        run(path, "--block", *words, "--out", tmp_path / "out.yaml")
    assert [file.name for file in tmp_path.iterdir()] == ["given.yaml"]


def test_help_names_the_places(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "backbone-last2, backbone, neck, all" in " ".join(capsys.readouterr().out.split())
