"""`python -m tools.fetch` against a server on loopback."""

import io
import zipfile

import pytest

from data.spec import load_spec
from tests.loopback import serve
from tools import fetch
from utils import download
from utils.errors import ROOT, UserError


def zipped(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return content.getvalue()


WEIGHTS = zipped({"archive/data.pkl": b"\x80\x02.", "archive/data/0": bytes(100_000)})


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    with serve({"/v7.0/yolov5n.pt": WEIGHTS, "/v7.0/yolov5s.pt": b"not a model"}) as running:
        yield running


def run(server, *arguments):
    fetch.main([*arguments, "--base-url", f"{server.url}/v7.0/"])


def test_weights_arrive_over_a_bad_connection(server, tmp_path):
    server.drops = [1000, 50_000]
    run(server, "yolov5n", "yolov5n.pt", "--to", str(tmp_path / "weights"))
    assert (tmp_path / "weights/yolov5n.pt").read_bytes() == WEIGHTS
    assert len(server.requests) == 3  # the second name is there by then


def test_a_damaged_file_never_gets_its_name(server, tmp_path):
    with pytest.raises(UserError, match=r"yolov5s\.pt: could not be downloaded .*is not a zip"):
        run(server, "yolov5s.pt", "--to", str(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, words",
    [
        (
            "yolov5y.pt",
            r"yolov5y\.pt: is not a released weight file; did you mean .*yolov5x\.pt",
        ),
        ("resnet", r"resnet: is not a released weight file; there are yolov5n\.pt, yolov5s\.pt"),
        ("../yolov5n.pt", "is not a released weight file"),
        ("yolov5s-seg.pt", "segmentation models are not offered"),
        ("VisDrone.yaml", "python -m data.prepare.visdrone"),
        ("none.yaml", r"none\.yaml: no such file"),
    ],
)
def test_unknown_names_are_said_before_anything_is_fetched(server, tmp_path, name, words):
    with pytest.raises(UserError, match=words):
        run(server, "yolov5n.pt", name, "--to", str(tmp_path))
    assert server.requests == []


def data_yaml(tmp_path, url, **more):
    lines = [f"path: {tmp_path / 'datasets/shapes'}", "train: images/train", "val: images/val", "names: [a]"]
    lines += [f"download: {url}", *(f"{key}: {value}" for key, value in more.items())]
    (tmp_path / "shapes.yaml").write_text("\n".join(lines), encoding="utf-8")
    return str(tmp_path / "shapes.yaml")


FILES = {"images/train/a.jpg": b"1", "images/val/b.jpg": b"2", "labels/train/a.txt": b""}


@pytest.mark.parametrize("top", ["", "shapes/", "other name/"])
def test_a_data_set_from_its_yaml(server, tmp_path, top):
    server.files["/shapes.zip"] = zipped({top + name: body for name, body in FILES.items()})
    server.drops = [100]
    yaml = data_yaml(tmp_path, f"{server.url}/shapes.zip")
    fetch.main([yaml])
    root = tmp_path / "datasets/shapes"
    assert {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()} == FILES
    fetch.main([yaml])  # now in place: nothing to fetch
    assert len(server.requests) == 2
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["shapes"]


def test_several_archives_become_one_data_set(server, tmp_path):
    server.files["/v7.0/one.zip"] = zipped({"shapes/images/train/a.jpg": b"1", "shapes/labels/train/a.txt": b""})
    server.files["/v7.0/two.zip"] = zipped({"images/val/b.jpg": b"2"})
    yaml = data_yaml(tmp_path, "[http://no.invalid/one.zip, http://no.invalid/two.zip]")
    run(server, yaml)
    assert {path.name for path in (tmp_path / "datasets/shapes/images").iterdir()} == {"train", "val"}


def test_an_archive_without_the_images(server, tmp_path):
    server.files["/shapes.zip"] = zipped({"readme.txt": b""})
    with pytest.raises(UserError, match=r"images/train: is named in .*shapes\.yaml but was not in the archive"):
        fetch.main([data_yaml(tmp_path, f"{server.url}/shapes.zip")])


def test_a_folder_with_other_files_is_left_alone(server, tmp_path):
    (tmp_path / "datasets/shapes").mkdir(parents=True)
    (tmp_path / "datasets/shapes/mine.txt").touch()
    with pytest.raises(UserError, match="exists but lacks images"):
        fetch.main([data_yaml(tmp_path, f"{server.url}/shapes.zip")])
    assert server.requests == []


def test_coco128_is_shipped_with_its_address():
    spec = load_spec(ROOT / "data" / "coco128.yaml")
    assert spec.nc == 80
    assert spec.splits["train"] == spec.splits["val"]
    if not spec.splits["train"][0].exists():
        assert spec.download == ("https://github.com/ultralytics/assets/releases/download/v0.0.0/coco128.zip",)
