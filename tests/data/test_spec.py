import pytest
import yaml

from data.spec import load_spec
from utils.errors import ROOT, UserError

GOOD = {"path": "somewhere", "train": "images/train", "val": ["a", "b.txt"], "test": None, "names": ["cat", "dog"]}


def write(folder, **changes):
    content = {key: value for key, value in (GOOD | changes).items() if value != "absent"}
    file = folder / "set.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_paths_names_and_defaults(tmp_path):
    spec = load_spec(write(tmp_path))
    assert spec.root == ROOT / "somewhere"
    assert spec.splits == {
        "train": (ROOT / "somewhere/images/train",),
        "val": (ROOT / "somewhere/a", ROOT / "somewhere/b.txt"),
    }
    assert spec.names == {0: "cat", 1: "dog"} and spec.nc == 2
    assert spec.download == () and spec.annotations == {} and spec.max_det is None


@pytest.mark.parametrize(
    "names, expected",
    [
        ({1: "dog", 0: "cat"}, {0: "cat", 1: "dog"}),
        ([True, 3], {0: "True", 1: "3"}),
        ({0: "only"}, {0: "only"}),
    ],
)
def test_kinds_of_names(tmp_path, names, expected):
    spec = load_spec(write(tmp_path, names=names, nc=len(names)))
    assert spec.names == expected and list(spec.names) == sorted(expected)


def test_optional_keys(tmp_path):
    spec = load_spec(write(tmp_path, path=str(tmp_path), annotations={"val": "a.json"}, max_det=500))
    assert spec.annotations == {"val": tmp_path / "a.json"} and spec.max_det == 500


def test_visdrones_own_annotations(tmp_path):
    spec = load_spec(write(tmp_path, path=str(tmp_path), visdrone={"val": "val/annotations"}))
    assert spec.visdrone == {"val": tmp_path / "val/annotations"} and load_spec(write(tmp_path)).visdrone == {}
    with pytest.raises(UserError, match="'visdrone:' is .*; map train, val or test to a folder"):
        load_spec(write(tmp_path, visdrone="annotations"))


def test_the_shipped_visdrone_file_asks_for_its_own_score():
    spec = load_spec("VisDrone.yaml")
    assert spec.max_det == 500 and {*spec.visdrone} == {"train", "val", "test"} and spec.ignore
    for split, folder in spec.visdrone.items():
        assert folder.parent == spec.splits[split][0].parent and folder.name == "annotations"


@pytest.mark.parametrize("value, expected", [(None, True), (True, True), (False, False)])
def test_ignored_regions_count_unless_switched_off(tmp_path, value, expected):
    assert load_spec(write(tmp_path, ignore=value)).ignore is expected


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"names": "absent"}, "'names:' is missing"),
        ({"names": []}, "'names:' is missing"),
        ({"names": {"a": "cat"}}, "'a' in 'names:' is not an integer"),
        ({"names": {True: "cat"}}, "True in 'names:' is not an integer"),
        ({"names": {0: "cat", 2: "dog"}}, "class number 1 is missing"),
        ({"nc": 3}, "'nc: 3' but 'names:' lists 2"),
        ({"train": 5}, "'train:' is 5"),
        ({"train": []}, "'train:' is []"),
        ({"train": "absent", "val": "absent"}, "none of 'train:'"),
        ({"path": ["a"]}, "'path:'"),
        ({"download": "import os; os.remove('x')"}, "code in a data file is never run"),
        ({"download": "bash get.sh"}, "code in a data file is never run"),
        ({"download": "https://x.org/a.zip; rm -rf /"}, "code in a data file is never run"),
        ({"download": 7}, "code in a data file is never run"),
        ({"annotations": "x.json"}, "'annotations:'"),
        ({"max_det": 0}, "'max_det: 0'"),
        ({"ignore": 1}, "'ignore: 1' is neither true nor false"),
        ({"ignore": "folder"}, "'ignore: folder' is neither true nor false"),
    ],
)
def test_mistakes_name_the_file(tmp_path, changes, words):
    file = write(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        load_spec(file)
    assert words in str(error.value) and str(file) in str(error.value)


@pytest.mark.parametrize(
    "value, expected",
    [
        ("https://x.org/a.zip", ("https://x.org/a.zip",)),
        (["http://x.org/a.zip", "https://x.org/b.zip"], ("http://x.org/a.zip", "https://x.org/b.zip")),
        ("visdrone", ("visdrone",)),
        (None, ()),
        ("", ()),
    ],
)
def test_downloads(tmp_path, value, expected):
    assert load_spec(write(tmp_path, download=value)).download == expected


def test_code_is_passed_by_when_the_data_is_there(tmp_path):
    for folder in ("images/train", "a"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "b.txt").write_text("")
    assert load_spec(write(tmp_path, path=str(tmp_path), download="import os")).download == ()


def test_missing_file_and_split(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="nothing.yaml: no such file"):
        load_spec("nothing.yaml")
    with pytest.raises(UserError, match="data.zip: is not a data-set YAML"):
        load_spec("data.zip")
    with pytest.raises(UserError, match="has no 'test:'"):
        load_spec(write(tmp_path)).split("test")


def test_bare_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_spec("coco128.yaml").yaml_file == ROOT / "data" / "coco128.yaml"
    assert load_spec("data/coco128.yaml").yaml_file == ROOT / "data" / "coco128.yaml"
    write(tmp_path)
    assert load_spec("set.yaml").yaml_file == tmp_path / "set.yaml"


@pytest.mark.parametrize("file", sorted((ROOT / "data").glob("*.yaml")), ids=lambda file: file.name)
def test_shipped_files(file):
    spec = load_spec(file)
    assert {"train", "val"} <= set(spec.splits) and spec.nc > 1


def test_paths_as_seen_from_a_folder_deeper(tmp_path):
    (tmp_path / "train").mkdir()
    assert load_spec(write(tmp_path, path=str(tmp_path), train="../train")).split("train") == (tmp_path / "train",)


@pytest.mark.parametrize("name", [None, "", " ", ["a"], {"a": 1}], ids=str)
def test_a_class_without_a_name(tmp_path, name):
    with pytest.raises(UserError, match=r"set.yaml: class 1 in 'names:' is .*; give a text"):
        load_spec(write(tmp_path, names=["cat", name]))
