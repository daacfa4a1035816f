"""COCO's instances JSON -> YOLO labels in stock's layout."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.prepare import coco
from data.prepare.coco import CocoOptions, prepare
from data.prepare.coco_instances import CLIPPED, NO_AREA, OUTSIDE, UNKNOWN, UNUSABLE, convert_instances
from data.spec import load_spec
from tests.loopback import serve
from utils import download
from utils.errors import ROOT, UserError

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 90, "name": "toothbrush"}]
IMAGES = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 200, "height": 100} for i in (3, 1, 2)]


def annotation(number=7, image=1, category=18, box=(20, 10, 40, 20), **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": list(box), "iscrowd": 0} | more


def content(*annotations):
    return {"images": IMAGES, "annotations": list(annotations), "categories": CATEGORIES}


def write_raw(root, *annotations, split="train2017", present=(1, 2, 3)):
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content(*annotations)))
    (root / split).mkdir(parents=True, exist_ok=True)
    for number in present:
        cv2.imwrite(str(root / split / f"{number:012d}.jpg"), np.zeros((100, 200, 3), np.uint8))


def run(to, *sources, **options):
    return prepare(CocoOptions(source=tuple(map(str, sources)), to=to, splits=("train",), **options))


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


PREPARED = {
    *(f"{kind}/train2017/{i:012d}.{end}" for kind, end in (("images", "jpg"), ("labels", "txt")) for i in (1, 2, 3)),
    "train2017.txt",
    "report_train2017.txt",
    "annotations/instances_train2017.json",
}


def test_no_annotations():
    instances = convert_instances(content())
    assert instances.labels == {image["file_name"]: [] for image in IMAGES}
    assert instances.names == ("person", "dog", "toothbrush")
    assert convert_instances({"images": [], "annotations": [], "categories": []}).names == ()


def test_boxes_become_shares_and_categories_contiguous():
    instances = convert_instances(content(annotation(), annotation(category=90), annotation(image=3, category=1)))
    assert instances.labels["000000000001.jpg"] == [(1, 0.2, 0.2, 0.2, 0.2), (2, 0.2, 0.2, 0.2, 0.2)]
    assert instances.labels["000000000003.jpg"] == [(0, 0.2, 0.2, 0.2, 0.2)]
    assert not instances.notes


@pytest.mark.parametrize(
    "bad, kind",
    [
        (annotation(iscrowd=1, box=(1, 2, 0, 5)), NO_AREA),
        (annotation(box=(1, 2, 0, 5)), NO_AREA),
        (annotation(box=(1, 2, 5, -5)), NO_AREA),
        (annotation(box=(200, 2, 5, 5)), OUTSIDE),
        (annotation(box=(1, 2, float("nan"), 5)), UNUSABLE),
        (annotation(box=(1, 2, 3)), UNUSABLE),
        (annotation(box=("a", 2, 3, 4)), UNUSABLE),
        (annotation(category=12), UNKNOWN),
        (annotation(image=99), UNKNOWN),
        (annotation(image=[]), UNUSABLE),
        ({"id": 7}, UNUSABLE),
        ("text", UNUSABLE),
    ],
)
def test_a_bad_annotation_costs_only_itself(bad, kind):
    instances = convert_instances(content(annotation(), bad, annotation()))
    assert sum(map(len, instances.labels.values())) == 2
    assert [note[0] for note in instances.notes] == [kind]


def test_crowds_become_ignored_regions():
    instances = convert_instances(content(annotation(), annotation(iscrowd=1, box=(190, 40, 20, 60))))
    assert instances.ignored == {"000000000001.jpg": [pytest.approx((0.975, 0.7, 0.05, 0.6))]}
    assert len(instances.labels["000000000001.jpg"]) == 1 and [kind for kind, _ in instances.notes] == [CLIPPED]


def test_boxes_over_the_edge_are_cut_and_noted_beyond_rounding():
    instances = convert_instances(content(annotation(box=(-10, 0, 30, 110)), annotation(box=(0, 0, 200.01, 100.01))))
    rows = instances.labels["000000000001.jpg"]
    np.testing.assert_allclose(rows, [(1, 0.05, 0.5, 0.1, 1.0), (1, 0.5, 0.5, 1.0, 1.0)])
    assert [note[0] for note in instances.notes] == [CLIPPED]


@pytest.mark.parametrize("broken", [{"id": 1}, {"id": 1, "file_name": "../a.jpg", "width": 9, "height": 9}, 5])
def test_a_broken_image_table_is_an_error(broken):
    with pytest.raises(UserError, match=r"x\.json: an entry of 'images' or 'categories' is broken"):
        convert_instances(content() | {"images": [broken]}, "x.json")


def test_stock_layout_from_a_folder(tmp_path):
    write_raw(tmp_path / "raw", annotation(), annotation(image=2, iscrowd=1))
    before = tree(tmp_path / "raw")
    (report,) = run(tmp_path / "coco", tmp_path / "raw")
    side_file = "ignored/train2017/000000000002.txt"
    assert tree(tmp_path / "coco") == PREPARED | {side_file}
    assert (tmp_path / "coco" / side_file).read_text() == "0.200000 0.200000 0.200000 0.200000\n"
    assert tree(tmp_path / "raw") == before
    assert (
        tmp_path / "coco/labels/train2017/000000000001.txt"
    ).read_text() == "1 0.200000 0.200000 0.200000 0.200000\n"
    assert (tmp_path / "coco/labels/train2017/000000000002.txt").read_text() == ""
    assert (tmp_path / "coco/train2017.txt").read_text().splitlines() == [
        f"./images/train2017/{i:012d}.jpg" for i in (1, 2, 3)
    ]
    assert report.summary() == "train2017: 3 images, 1 labels, 1 ignored regions (crowds)"
    assert run(tmp_path / "coco", tmp_path / "raw") == []  # nothing left to do
    (tmp_path / "coco/images/train2017").rename(tmp_path / "raw/kept")
    write_raw(tmp_path / "raw", annotation())
    run(tmp_path / "coco", tmp_path / "raw", force=True)
    assert tree(tmp_path / "coco") == PREPARED  # no crowd is left


@pytest.mark.parametrize("top", [".", "some folder"])
def test_from_archives(tmp_path, top):
    write_raw(tmp_path / "raw" / top, annotation())
    archive = shutil.make_archive(str(tmp_path / "all"), "gztar", tmp_path / "raw")
    run(tmp_path / "coco", archive)
    assert tree(tmp_path / "coco") == PREPARED


def test_images_in_place_are_converted_where_they_lie(tmp_path):
    write_raw(tmp_path / "coco", annotation())
    (tmp_path / "coco/images").mkdir()
    (tmp_path / "coco/train2017").rename(tmp_path / "coco/images/train2017")
    run(tmp_path / "coco")
    assert tree(tmp_path / "coco") == PREPARED
    run(tmp_path / "coco", force=True)
    assert tree(tmp_path / "coco") == PREPARED
    write_raw(tmp_path / "raw", annotation())
    with pytest.raises(UserError, match=r"images/train2017: exists already"):
        run(tmp_path / "coco", tmp_path / "raw", force=True)


def test_missing_and_surplus_images_are_reported_and_not_listed(tmp_path):
    write_raw(tmp_path / "raw", annotation(), annotation(image=3), present=(2, 3, 9))
    (report,) = run(tmp_path / "coco", tmp_path / "raw")
    assert list(report.notes.values()) == [["000000000001.jpg"], ["000000000009.jpg"]]
    assert report.labels.total() == 1
    assert len((tmp_path / "coco/train2017.txt").read_text().splitlines()) == 2
    assert {path.stem for path in (tmp_path / "coco/labels/train2017").iterdir()} == {"000000000002", "000000000003"}


@pytest.mark.parametrize("text", ["", '{"images": [], "annot', "[]", '{"images": []}', "<html>"])
def test_a_file_that_is_no_instances_json(tmp_path, text):
    write_raw(tmp_path / "raw")
    (tmp_path / "raw/annotations/instances_train2017.json").write_text(text)
    with pytest.raises(UserError, match=r"instances_train2017\.json: (is not valid JSON|has no list)"):
        run(tmp_path / "coco", tmp_path / "raw")
    assert not (tmp_path / "coco").exists()


def test_a_source_without_the_data(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"raw: holds no train2017 with annotations/instances_train2017\.json"):
        run(tmp_path / "coco", tmp_path / "raw")
    assert not (tmp_path / "coco").exists()


def test_fetched_over_a_bad_connection(tmp_path, monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    write_raw(tmp_path / "raw", annotation())
    paths = {"annotations": "annotations/annotations_trainval2017.zip", "train2017": "zips/train2017.zip"}
    served = {}
    for folder, path in paths.items():
        archive = shutil.make_archive(str(tmp_path / folder), "zip", tmp_path / "raw", folder)
        served[f"/{path}"] = Path(archive).read_bytes()
    with serve(served) as server:
        server.drops = [100, 300]
        run(tmp_path / "coco", base_url=server.url)
    assert tree(tmp_path / "coco") == PREPARED
    assert {path.name for path in (tmp_path / "coco").iterdir() if path.is_dir()} == {"annotations", "images", "labels"}


def test_a_public_archive_of_the_wrong_size_is_refused(tmp_path, monkeypatch):
    with serve({"/annotations/annotations_trainval2017.zip": b"PK"}) as server:
        monkeypatch.setattr(coco, "MIRRORS", (server.url,))
        with pytest.raises(UserError, match="has 2 bytes, not 252907541"):
            run(tmp_path / "coco")


def test_the_shipped_yaml_describes_this_layout():
    spec = load_spec(ROOT / "data" / "coco.yaml")
    assert spec.nc == 80
    assert (spec.names[0], spec.names[79]) == ("person", "toothbrush")
    assert spec.splits["train"] == (spec.root / "train2017.txt",)
    assert spec.annotations == {"val": spec.root / "annotations/instances_val2017.json"}
