import json
from pathlib import Path

import numpy as np
import pytest

from utils import coco_eval, coco_json
from utils.errors import UserError
from utils.metrics import DetectionMetrics

NAMES = {0: "car", 1: "bus"}
NUMBERS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
NUMBERS += ("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large")
PATHS = [Path("a/7.jpg"), Path("a/12.jpg")]
SHAPES = [(480, 640), (480, 640)]
LABELS = [np.array([[0, 10, 20, 30, 40], [1, 100, 100, 300, 300.0]]), np.empty((0, 5))]
FOUND = [np.array([[10, 20, 30, 40, 0.9, 0], [100, 100, 300, 300, 0.8, 1]]), np.array([[1, 2, 3, 4, 0.1, 0]])]


def entries(found, categories=(0, 1)):
    ids = coco_json.image_ids(PATHS)
    return [entry for i, rows in zip(ids, found) for entry in coco_json.prediction_entries(i, rows, categories)]


def score(*arguments):
    return coco_eval.evaluate(*arguments)["limits"][100]


def annotations():
    return coco_json.make_annotations(coco_json.image_ids(PATHS), PATHS, SHAPES, LABELS, NAMES)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], []),
        (["a/000012.jpg", "b/7.jpg"], [12, 7]),
        (["12.jpg", "seven.jpg"], ["12", "seven"]),
        (["a/1.jpg", "b/01.jpg"], ["1", "01"]),
        (["a/x.jpg", "b/x.jpg"], ["a/x.jpg", "b/x.jpg"]),
        (["²"], ["²"]),
    ],
)
def test_image_ids(names, expected):
    assert coco_json.image_ids([Path(name) for name in names]) == expected


def test_predictions_are_rounded_as_in_stock():
    rows = np.array([[1.23456, 2, 11.23456, 22, 0.1234567, 1]], dtype=np.float32)
    assert coco_json.prediction_entries(5, rows, [3, 90]) == [
        {"image_id": 5, "category_id": 90, "bbox": [1.235, 2.0, 10.0, 20.0], "score": 0.12346}
    ]
    assert coco_json.prediction_entries(5, np.empty((0, 6)), [3, 90]) == []


def test_annotations_from_labels():
    content = annotations()
    assert content["images"][1] == {"id": 12, "file_name": "12.jpg", "height": 480, "width": 640}
    assert content["categories"] == [{"id": 0, "name": "car"}, {"id": 1, "name": "bus"}]
    assert [entry["id"] for entry in content["annotations"]] == [1, 2]
    assert content["annotations"][0]["bbox"] == [10, 20, 20, 20] and content["annotations"][0]["area"] == 400


def test_twelve_numbers_of_perfect_predictions(capsys):
    numbers = score(annotations(), entries(FOUND), [7, 12])
    assert tuple(numbers) == NUMBERS and len(numbers) == 12
    assert [numbers[key] for key in ("AP", "AP50", "AP_small", "AP_large", "AR_100")] == pytest.approx([1] * 5)
    assert numbers["AP_medium"] == -1  # no object of that size
    assert capsys.readouterr().out == ""


def test_twelve_numbers_without_predictions_or_labels():
    assert score(annotations(), [], [7, 12])["AP"] == 0
    empty = coco_json.make_annotations([7], PATHS[:1], SHAPES[:1], LABELS[1:], NAMES)
    assert set(score(empty, [], [7]).values()) == {-1}


def test_ids_that_are_text_are_scored_too():
    paths = [Path("left.jpg"), Path("right 2.jpg")]
    ids = coco_json.image_ids(paths)
    content = coco_json.make_annotations(ids, paths, SHAPES, LABELS, NAMES)
    found = [entry for i, rows in zip(ids, FOUND) for entry in coco_json.prediction_entries(i, rows, [0, 1])]
    assert score(content, found, ids)["AP"] == pytest.approx(1)


def test_only_the_pictures_asked_for_are_scored():
    assert score(annotations(), entries([FOUND[1], FOUND[1]]), [7])["AP"] == 0
    assert score(annotations(), entries(FOUND), [12])["AP"] == -1


def test_categories_by_name_then_by_order(tmp_path):
    content = {"categories": [{"id": 9, "name": "car"}, {"id": 4, "name": "bus"}]}
    assert coco_json.category_ids(content, NAMES, tmp_path) == [9, 4]
    assert coco_json.category_ids(content, {0: "one", 1: "two"}, tmp_path) == [4, 9]
    with pytest.raises(UserError, match="2 categories.*3 classes"):
        coco_json.category_ids(content, {0: "one", 1: "two", 2: "three"}, tmp_path / "a.json")


def test_pictures_are_found_by_name_then_by_number():
    content = {"images": [{"id": 3, "file_name": "val/x.jpg"}, {"id": 12}]}
    found = coco_json.ids_by_file(content, [Path("x.jpg"), Path("000012.jpg"), Path("y.jpg"), Path("5.jpg")])
    assert found == [3, 12, None, None]


def test_json_is_plain(tmp_path):
    coco_json.write_json(tmp_path / "p.json", entries(FOUND))
    assert len(json.loads((tmp_path / "p.json").read_text())) == 3


def test_our_average_precision_is_close_to_pycocotools():
    """Two independent scorers on 60 pictures of shifted, mistaken and doubled boxes, and a long tail of phantoms (where
    precision does not fall to nothing, stock's straight line down to (1, 0) adds area that COCO's score has not)."""
    rng = np.random.RandomState(0)
    metrics, names = DetectionMetrics({0: "a", 1: "b", 2: "c"}), {0: "a", 1: "b", 2: "c"}
    labels, found, ids = [], [], list(range(60))
    for _ in ids:
        kinds, corners = rng.randint(0, 3, 12), rng.rand(12, 2) * 500
        truth = np.column_stack((kinds, corners, corners + 20 + 100 * rng.rand(12, 2)))
        twice = np.concatenate((truth, truth[:4]))
        guesses = np.where(rng.rand(16) < 0.8, twice[:, 0], rng.randint(0, 3, 16))
        rows = np.column_stack((twice[:, 1:] + rng.randn(16, 4) * 4, rng.rand(16), guesses))
        low = rng.rand(80, 2) * 500
        tail = np.column_stack((low, low + 20 + 100 * rng.rand(80, 2), 0.01 * rng.rand(80), rng.randint(0, 3, 80)))
        rows = np.concatenate((rows, tail))
        rows = rows[np.argsort(-rows[:, 4])]
        metrics.update(rows, truth)
        labels.append(truth)
        found += coco_json.prediction_entries(len(labels) - 1, rows, [0, 1, 2])
    paths, shapes = [Path(f"{i}.jpg") for i in ids], [(640, 640)] * len(ids)
    numbers = score(coco_json.make_annotations(ids, paths, shapes, labels, names), found, ids)
    ours = metrics.compute()
    assert 0.3 < numbers["AP"] < 0.7
    assert (ours.map, ours.map50) == pytest.approx((numbers["AP"], numbers["AP50"]), abs=0.01)
