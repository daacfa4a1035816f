"""VisDrone's raw layout -> YOLO labels and ignored regions, with every dropped row accounted for."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.prepare import visdrone
from data.prepare.visdrone import NAMES, VisDroneOptions, convert_annotation, prepare
from data.prepare.visdrone_rows import CLIPPED, NO_AREA, OUTSIDE, REPEATED, UNKNOWN, UNREADABLE, UNSCORED, WHOLE
from tests.loopback import serve
from utils import download
from utils.errors import UserError

SHAPE = (100, 200)  # height, width
TRAIN, VAL = "VisDrone2019-DET-train", "VisDrone2019-DET-val"
TEXTS = {
    "0000001_a": "20,10,40,20,1,4,0,0\n0,0,50,30,0,0,0,0\n5,5,10,10,0,11,0,0\n7,8,3,0,1,4,0,0\n",
    "0000002_b": "190,90,20,20,1,1,1,0,\n\nx,1,2,3,1,1,0,0\n",
    "0000003_c": "",
}


def write_split(root, split=TRAIN, texts=TEXTS, images=True):
    folder = root / split
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True)
    for stem, text in texts.items():
        (folder / "annotations" / f"{stem}.txt").write_text(text)
        if images:
            cv2.imwrite(str(folder / "images" / f"{stem}.jpg"), np.zeros((*SHAPE, 3), np.uint8))
    return folder


def files(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*.txt")) if p.name != "report.txt"}


def run(to, *sources, **options):
    return prepare(VisDroneOptions(source=tuple(map(str, sources)), to=to, splits=("train",), **options))


def test_an_empty_annotation():
    for text in ("", "\n\n", " , \n"):
        conversion = convert_annotation(text, SHAPE)
        assert conversion.labels.shape == (0, 5)
        assert conversion.ignored.shape == (0, 4)
        assert not conversion.notes
        assert sum(conversion.categories) == 0


def test_rows_become_shares_of_the_image():
    text = "20,10,40,20,1,4,0,0\r\n0,0,50,30,0,0,0,0,\n100,50,100,50,1,10,0,1"
    conversion = convert_annotation(text, SHAPE)
    np.testing.assert_allclose(conversion.labels, [[3, 0.2, 0.2, 0.2, 0.2], [9, 0.75, 0.75, 0.5, 0.5]])
    np.testing.assert_allclose(conversion.ignored, [[0.125, 0.15, 0.25, 0.3]])
    assert conversion.categories == (1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0)
    assert not conversion.notes


def test_without_a_size_boxes_stay_in_pixels():
    conversion = convert_annotation("1990,10,40,20,1,4,0,0")
    np.testing.assert_allclose(conversion.labels, [[3, 2010, 20, 40, 20]])


def test_every_class_keeps_its_number():
    rows = "".join(f"1,1,10,10,{int(0 < c < 11)},{c},0,0\n" for c in range(12))
    assert convert_annotation(rows, SHAPE).labels[:, 0].tolist() == list(range(10))
    assert len(NAMES) == 10


@pytest.mark.parametrize(
    "row, kind",
    [
        ("1,2,3,four,1,4,0,0", UNREADABLE),
        ("1,2,3,4,1", UNREADABLE),
        ("1,2,3,4,1,4,0,0,9", UNREADABLE),
        ("1;2;3;4;1;4;0;0", UNREADABLE),
        ("<!DOCTYPE html>", UNREADABLE),
        ("1,2,nan,4,1,4,0,0", UNREADABLE),
        ("1,2," + "9" * 400 + ",4,1,4,0,0", UNREADABLE),
        ("1,2,3,4,1,12,0,0", UNKNOWN),
        ("1,2,3,4,1,-1,0,0", UNKNOWN),
        ("1,2,3,4,1,1.5,0,0", UNKNOWN),
        ("1,2,3,4,2,4,0,0", UNKNOWN),
        ("1,2,3,4,0,4,0,0", UNSCORED),
        ("1,2,0,4,1,4,0,0", NO_AREA),
        ("1,2,3,0,0,0,0,0", NO_AREA),
        ("1,2,3,-4,1,4,0,0", NO_AREA),
        ("200,2,3,4,1,4,0,0", OUTSIDE),
        ("-9,2,9,4,1,4,0,0", OUTSIDE),
        ("1,99999999999,3,4,1,4,0,0", OUTSIDE),
        ("1e308,1,1e308,2,1,4,0,0", OUTSIDE),
        ("-5,-5,3,3,1,4,0,0", OUTSIDE),
        ("200,2,3,4,0,0,0,0", OUTSIDE),
        ("1,2,3,4,1,,0,0", UNREADABLE),
        (",1,2,3,4,1,4,0", UNREADABLE),
        ("1,2,3,4,1,4,x,0", UNREADABLE),
        ("1,2,3,4,1,4,0,0;", UNREADABLE),
    ],
)
def test_a_bad_row_costs_only_itself(row, kind):
    good, other = "20,10,40,20,1,4,0,0", "20,10,40,21,1,4,0,0"
    conversion = convert_annotation(f"{good}\n{row}\n{other}\n", SHAPE)
    assert len(conversion.labels) == 2
    assert not len(conversion.ignored)
    assert [(note.line, note.kind) for note in conversion.notes] == [(2, kind)]
    assert conversion.notes[0].detail


@pytest.mark.parametrize(
    "row, expected",
    [
        ("-10,-10,30,30,1,1,0,0", (0, 0, 20, 20)),
        ("190,90,20,20,1,1,0,0", (190, 90, 200, 100)),
        ("0,0,1e30,50,1,1,0,0", (0, 0, 200, 50)),
    ],
)
def test_boxes_over_the_edge_are_cut_and_noted(row, expected):
    conversion = convert_annotation(row, SHAPE)
    cx, cy, w, h = conversion.labels[0, 1:] * (200, 100, 200, 100)
    np.testing.assert_allclose((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), expected)
    assert [note.kind for note in conversion.notes] == [CLIPPED]
    assert not convert_annotation("0,0,200,100,1,1,0,0", SHAPE).notes


@pytest.mark.parametrize("row", ["20,10,40,20,1,4,0,0,,", " 20 , 10 ,40, 20 , 1 ,4 , 0 , 0, ", "20,10,40,20,1,4,\t,\r"])
def test_trailing_commas_and_spaces_change_nothing(row):
    conversion = convert_annotation(row, SHAPE)
    np.testing.assert_allclose(conversion.labels, [[3, 0.2, 0.2, 0.2, 0.2]])
    assert not conversion.notes


def test_a_repeated_row_is_noted_and_kept():
    conversion = convert_annotation("20,10,40,20,1,4,0,0\n20,10,40,20,1,5,0,0\n20,10,40,20,1,4,1,2\n", SHAPE)
    assert conversion.labels[:, 0].tolist() == [3, 4, 3]
    assert [(note.line, note.kind) for note in conversion.notes] == [(3, REPEATED)]


def test_a_region_over_the_whole_image_is_kept_and_noted():
    for row in ("0,0,200,100,0,0,0,0", "-9,-9,5000,5000,0,0,0,0"):
        conversion = convert_annotation(f"20,10,40,20,1,4,0,0\n{row}", SHAPE)
        np.testing.assert_allclose(conversion.ignored, [[0.5, 0.5, 1, 1]])
        assert len(conversion.labels) == 1
        assert conversion.notes[-1].line == 2
        assert conversion.notes[-1].kind == WHOLE
    assert not convert_annotation("0,0,199,100,0,0,0,0", SHAPE).notes


def test_without_a_size_only_what_no_image_can_hold_is_cut():
    rows = "5000,4000,10,10,1,1,0,0\n1,1,99999999999,10,1,1,0,0\n-9,-9,3,3,1,1,0,0\n1e308,1,1e308,2,1,4,0,0\n"
    conversion = convert_annotation(rows)
    np.testing.assert_allclose(conversion.labels, [[0, 5005, 4005, 10, 10], [0, 32768, 6, 65534, 10]])
    assert [(note.line, note.kind) for note in conversion.notes] == [(2, CLIPPED), (3, OUTSIDE), (4, OUTSIDE)]


@pytest.mark.parametrize("check", [False, True])
def test_what_is_wrong_is_reported_by_file_and_line(check, tmp_path):
    raw = write_split(tmp_path / "raw", texts={"a": "1,2,3\n0,0,200,100,0,0,0,0\n", "b": "\n , \n", "c": "\0\xff"})
    report = run(tmp_path / "new", raw.parent, check=check)[-1]
    prefix = f"{TRAIN}/" if check else ""
    places = [place.removeprefix(prefix) for found in report.notes.values() for place in found]
    expected = {"annotations/a.txt, line 1", "annotations/b.txt", "annotations/c.txt, line 1"}
    assert {place.partition(":")[0] for place in places} == expected | (
        set() if check else {"annotations/a.txt, line 2"}
    )


def test_a_folder_is_converted_and_left_as_it_was(tmp_path):
    raw = write_split(tmp_path / "raw")
    before = files(raw)
    (report,) = run(tmp_path / "new", tmp_path / "raw")
    target = tmp_path / "new" / TRAIN
    assert files(target) == before | {
        "labels/0000001_a.txt": "3 0.200000 0.200000 0.200000 0.200000\n",
        "labels/0000002_b.txt": "0 0.975000 0.950000 0.050000 0.100000\n",
        "labels/0000003_c.txt": "",
        "ignored/0000001_a.txt": "0.125000 0.150000 0.250000 0.300000\n",
    }
    assert files(raw) == before
    assert len(list((target / "images").iterdir())) == 3
    assert {path.name for path in (tmp_path / "new").iterdir()} == {TRAIN}
    assert report.images == 3
    assert report.rows["others"] == report.rows["ignored region"] == 1
    text = (target / "report.txt").read_text()
    assert "annotations/0000001_a.txt, line 4: left, top, width, height = 7, 8, 3, 0" in text
    assert "annotations/0000002_b.txt, line 3: 'x,1,2,3,1,1,0,0'" in text
    assert "1 boxes clipped" in text


def test_an_archive_gives_the_same(tmp_path):
    write_split(tmp_path / "raw")
    run(tmp_path / "folder", tmp_path / "raw")
    archive = shutil.make_archive(str(tmp_path / "any name"), "zip", tmp_path / "raw")
    run(tmp_path / "archive", archive)
    assert files(tmp_path / "archive") == files(tmp_path / "folder")
    assert Path(archive).exists()


def test_what_lies_there_already_is_converted_in_place_once(tmp_path):
    folder = write_split(tmp_path)
    assert run(tmp_path)[0].images == 3
    assert (folder / "ignored" / "0000001_a.txt").is_file()
    (folder / "labels" / "0000003_c.txt").write_text("mine")
    assert run(tmp_path) == []
    assert (folder / "labels" / "0000003_c.txt").read_text() == "mine"
    run(tmp_path, force=True)
    assert (folder / "labels" / "0000003_c.txt").read_text() == ""
    assert {path.name for path in folder.iterdir()} == {"images", "annotations", "labels", "ignored", "report.txt"}


def test_unpaired_and_unreadable_files_are_left_out_and_reported(tmp_path):
    folder = write_split(tmp_path / "raw")
    (folder / "images" / "0000001_a.jpg").unlink()
    (folder / "annotations" / "0000002_b.txt").unlink()
    write_split(tmp_path / "more", texts={"0000004_d": "", "0000005_e": ""})
    for path in (tmp_path / "more").rglob("*.*"):
        shutil.move(path, folder / path.parent.name / path.name)
    (folder / "images" / "0000005_e.jpg").write_bytes(b"\xff\xd8 half an image")
    (report,) = run(tmp_path / "new", tmp_path / "raw")
    places = [place.partition(":")[0] for found in report.notes.values() for place in found]
    unpaired = {"images/0000002_b.jpg", "annotations/0000001_a.txt", "images/0000005_e.jpg"}
    assert set(places) == unpaired | {"annotations/0000003_c.txt", "annotations/0000004_d.txt"}  # these have no row
    for name in ("images", "labels", "annotations"):
        assert {path.stem for path in (tmp_path / "new" / TRAIN / name).iterdir()} == {"0000003_c", "0000004_d"}


def test_annotations_alone_are_counted_and_give_no_labels(tmp_path):
    raw = write_split(tmp_path / "raw", images=False)
    shutil.rmtree(raw / "images")
    for options in ({"check": True}, {}):
        split, total = run(tmp_path / "new", tmp_path / "raw", **options)
        assert split.rows.total() == total.rows.total() == 5
        assert total.labels.total() == 2
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["check-report.txt"]
        assert f"{TRAIN}/annotations/0000001_a.txt, line 4" in (tmp_path / "new" / "check-report.txt").read_text()


def test_a_source_without_the_data(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=rf"raw: holds none of {TRAIN}/annotations"):
        run(tmp_path / "new", tmp_path / "raw")
    with pytest.raises(UserError, match="nowhere: no such folder"):
        run(tmp_path / "new", tmp_path / "nowhere")
    (tmp_path / "a.7z").touch()
    with pytest.raises(UserError, match=r"a\.7z: is neither a folder nor"):
        run(tmp_path / "new", tmp_path / "a.7z")
    (tmp_path / "raw" / TRAIN / "annotations").mkdir(parents=True)
    (tmp_path / "raw" / TRAIN / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "raw" / TRAIN / "images" / "a.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match=f"{TRAIN}: no image in images/ has its annotation"):
        run(tmp_path / "new", tmp_path / "raw")
    assert not (tmp_path / "new").exists()


def test_fetched_over_a_bad_connection_after_a_dead_mirror(tmp_path, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    write_split(tmp_path / "raw")
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "raw"))
    with serve({f"/good/{TRAIN}.zip": archive.read_bytes()}) as server:
        monkeypatch.setattr(visdrone, "MIRRORS", (f"{server.url}/dead", f"{server.url}/good"))
        server.drops = [500, 500]
        run(tmp_path / "new")
    assert (tmp_path / "new" / TRAIN / "labels" / "0000001_a.txt").is_file()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {TRAIN}


def test_a_damaged_archive_leaves_nothing_behind(tmp_path):
    write_split(tmp_path / "raw")
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "raw"))
    with (
        serve({f"/{TRAIN}.zip": archive.read_bytes()[:-100]}) as server,
        pytest.raises(UserError, match="not be downloaded"),
    ):
        run(tmp_path / "new", base_url=server.url)
    assert not list((tmp_path / "new" / "downloads").iterdir())
