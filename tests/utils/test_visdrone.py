"""The toolkit's own figures on made-up cases (tests/golden/visdrone), and properties."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from utils import visdrone

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "visdrone"
CASES = sorted(GOLDEN.glob("*.json.gz"))
POINTS = 1e-9


def read_case(file):
    return json.loads(gzip.decompress(file.read_bytes()))


def picture(name="a", annotations=(), results=(), height=100, width=200):
    return {"name": name, "height": height, "width": width, "annotations": annotations, "results": results}


def row(box, score=1.0, category=4):
    return [*box, score, category, 0, 0]


def close(found, expected):
    return pytest.approx(math.nan if expected is None else expected, abs=POINTS, rel=0, nan_ok=True) == found


def test_there_are_seven_cases():
    assert [file.name.split(".")[0] for file in CASES] == [
        *("A_plain", "A_thr85", "A_ties", "B_ignored", "C_flags", "D_sorted", "D_unsorted")
    ]


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.name.split(".")[0])
def test_the_toolkits_figures(file):
    case = read_case(file)
    found = visdrone.evaluate(case["images"])
    assert found["thresholds"] == case["thresholds"] and found["max_dets"] == case["max_dets"]
    for key, expected in case["expected"].items():
        assert close(found[key], expected), key
        assert close(found["plain"][key], case["expected_plain_class_mean"][key]), key
    assert found["per_class"].keys() == case["per_class"].keys()
    for key, expected in case["per_class"].items():
        np.testing.assert_allclose(found["per_class"][key], expected, rtol=0, atol=POINTS, err_msg=key)


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.name.split(".")[0])
def test_the_rows_that_survive_the_filter(file):
    for image in read_case(file)["images"]:
        annotations, results = visdrone.keep(image)
        assert annotations.tolist() == image["kept_annotations"]
        assert results.tolist() == image["kept_results"]


def test_the_order_of_the_images_does_not_matter():
    images = read_case(GOLDEN / "A_ties.json.gz")["images"]
    assert visdrone.evaluate(images[::-1]) == visdrone.evaluate(images)


def test_nothing_at_all():
    for images in ([], [picture()], [picture(results=[row((1, 1, 9, 9))])]):
        found = visdrone.evaluate(images)
        assert all(math.isnan(found[key]) and math.isnan(found["plain"][key]) for key in visdrone.FIGURES)
        assert len(found["per_class"]["AP"]) == 10


def test_no_detections_and_only_unscored_objects_are_worth_nothing():
    box = (10, 10, 20, 20)
    assert visdrone.evaluate([picture(annotations=[row(box)])])["AP"] == 0
    found = visdrone.evaluate([picture(annotations=[row(box, score=0)], results=[row(box, 0.9)])])
    assert (found["AP"], found["AR500"], found["per_class"]["images_with_class"][3]) == (0, 0, 1)


def test_a_perfect_detection_is_worth_everything():
    found = visdrone.evaluate([picture(annotations=[row((10, 10, 20, 20))], results=[row((10, 10, 20, 20), 0.1)])])
    assert {found[key] for key in visdrone.FIGURES} == {100.0} == {found["plain"][key] for key in visdrone.FIGURES}


def test_a_region_over_the_whole_picture_leaves_nothing():
    whole, object_ = row((0, 0, 200, 100), 0, 0), row((10, 10, 20, 20))
    hidden = picture("a", [whole, object_], [row((10, 10, 20, 20), 0.9)])
    assert [rows.tolist() for rows in visdrone.keep(hidden)] == [[], []]
    assert math.isnan(visdrone.evaluate([hidden])["AP"])
    shown = picture("b", [object_], [row((10, 10, 20, 20), 0.5)])
    assert visdrone.evaluate([hidden, shown])["AP"] == 100


def test_removed_rows_use_no_places():
    region = row((101, 1, 50, 50), 0, 0)
    results = [row((105, 5, 20, 20), 0.9), row((10, 10, 20, 20), 0.8)]
    found = visdrone.evaluate([picture("a", [region, row((10, 10, 20, 20))], results)])
    assert found["AR1"] == 100


def test_the_first_rows_count_not_the_best_ones():
    results = [row((50, 50, 20, 20), 0.1), row((10, 10, 20, 20), 0.9)]
    found = visdrone.evaluate([picture("a", [row((10, 10, 20, 20))], results)])
    assert (found["AR1"], found["AR10"]) == (0, 100)
    assert not visdrone.is_sorted(np.array(results)) and visdrone.is_sorted(np.array(results)[::-1])
    assert visdrone.is_sorted(np.empty((0, 8)))


def test_classes_weigh_by_their_pictures():
    car, bus = row((10, 10, 20, 20)), row((60, 10, 20, 20), category=9)
    images = [picture("a", [car, bus], [car]), picture("b", [car], [car])]
    found = visdrone.evaluate(images)
    assert found["AP"] == pytest.approx(200 / 3) and found["plain"]["AP"] == 50


@pytest.mark.parametrize(
    ("annotations", "results", "words"),
    [
        ([[1, 2, 3, 4, 1]], [], r"a: annotations have the shape \(1, 5\)"),
        ([], [[1, 2, math.nan, 4, 0.5, 1]], "a: results hold a number that is not finite"),
        ([], [[1, 2, 1e200, 1e200, 0.5, 1]], r"a: results hold .* beyond 1e\+09"),
        ([row((1, 2, 3, 4), 0.5)], [], "a: an object's score is 0.5"),
    ],
)
def test_rows_that_cannot_be_scored(annotations, results, words):
    with pytest.raises(ValueError, match=words):
        visdrone.evaluate([picture("a", annotations, results)])


def test_a_name_that_repeats():
    with pytest.raises(ValueError, match="two images are named 'a'"):
        visdrone.evaluate([picture(), picture()])
