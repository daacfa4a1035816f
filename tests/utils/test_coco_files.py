import json

import numpy as np
import pytest

from utils import coco_eval, coco_files, coco_json
from utils.errors import UserError

IMAGE, CATEGORY = {"id": 1, "file_name": "1.jpg"}, {"id": 1, "name": "car"}
ENTRY = {"id": 0, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 5]}


def write(folder, annotations=(ENTRY,), images=(IMAGE,), categories=(CATEGORY,)):
    file = folder / "truth.json"
    file.write_text(
        json.dumps({"images": list(images), "annotations": list(annotations), "categories": list(categories)})
    )
    return file


def test_annotation_files_without_entries(tmp_path):
    content = coco_files.read_annotations(write(tmp_path, (), (), ()))
    assert content == {"images": [], "annotations": [], "categories": []}


def test_annotation_files_are_read_with_gaps_filled(tmp_path):
    content = coco_files.read_annotations(write(tmp_path))
    assert content["annotations"] == [{**ENTRY, "id": 1, "iscrowd": 0, "area": 20}]
    row = np.array([[0, 0, 4, 5, 0.9, 0]])
    figures = coco_eval.evaluate(content, coco_json.prediction_entries(1, row, [1]), [1])
    assert figures["limits"][100]["AP"] == pytest.approx(1)


def test_annotations_that_score_nothing_are_counted(tmp_path, caplog):
    more = [{"image_id": 1}, {**ENTRY, "image_id": 2}, {**ENTRY, "category_id": 2}, ENTRY]
    content = coco_files.read_annotations(write(tmp_path, more))
    assert [entry["id"] for entry in content["annotations"]] == [1]
    assert "truth.json: 3 of 4 annotations have no box" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        (b"\xff\x00", "is not valid JSON"),
        ("5", "has no list 'images'"),
        ("[]", "has no list 'images'"),
        ('{"images": []}', "has no list 'annotations'"),
        ('{"images": [], "annotations": 5}', "has no list 'annotations'"),
    ],
)
def test_bad_annotation_files_are_named(tmp_path, text, words):
    file = tmp_path / "bad.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=f"bad.json: {words}"):
        coco_files.read_annotations(file)


def test_a_missing_file_is_named_once(tmp_path):
    for read in (coco_files.read_instances, lambda file: coco_files.read_results(file, [], [])):
        with pytest.raises(UserError) as caught:
            read(tmp_path / "gone.json")
        assert str(caught.value).count("gone.json") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [1, 2]}, r"annotation 2: 'bbox' is \[1, 2\]"),
        ({"bbox": None}, "annotation 2: 'bbox' is None"),
        ({"bbox": ["a", 1, 2, 3]}, "annotation 2: 'bbox'"),
        ({"bbox": [1, 2, 10**400, 3]}, "annotation 2: 'bbox'"),
        ({"bbox": [1, 2, 1e300, 3]}, "annotation 2: 'bbox'"),
        ({"area": "large"}, "annotation 2: 'area' is large"),
        ({"image_id": None}, "annotation 2: 'image_id' is None"),
        ({"category_id": [1]}, "annotation 2: 'category_id'"),
    ],
)
def test_broken_annotations_are_counted_to(tmp_path, change, words):
    with pytest.raises(UserError, match=f"truth.json, {words}"):
        coco_files.read_annotations(write(tmp_path, [ENTRY, {**ENTRY, **change}]))


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"annotations": ["x"]}, "annotation 1: is a str"),
        ({"annotations": [{"bbox": [1, 2, 3, 4]}]}, "annotation 1: has no 'image_id'"),
        ({"images": [5]}, "images 1: has no 'id'"),
        ({"images": [{"file_name": "a.jpg"}]}, "images 1: has no 'id'"),
        ({"images": [{"id": 1, "file_name": 7}]}, "images 1: its 'file_name' is no text"),
        ({"categories": [CATEGORY, {"name": "bus"}]}, "categories 2: has no 'id'"),
        ({"images": [IMAGE, {"id": "a"}]}, "some ids of 'images' are numbers, others texts"),
    ],
)
def test_broken_tables_are_named(tmp_path, tables, words):
    with pytest.raises(UserError, match=f"truth.json.*{words}"):
        coco_files.read_annotations(write(tmp_path, **tables))


@pytest.mark.parametrize("key", ["score", "bbox"])
@pytest.mark.parametrize("value", [10**400, True, float("inf")])
def test_results_hold_numbers_that_can_be_reckoned_with(tmp_path, key, value):
    entry = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 5], "score": 1}
    file = tmp_path / "found.json"
    file.write_text(json.dumps([entry, {**entry, key: [1, 1, value, 1] if key == "bbox" else value}]))
    with pytest.raises(UserError, match=f"found.json, entry 2: '{key}' is "):
        coco_files.read_results(file, [1], [1])
