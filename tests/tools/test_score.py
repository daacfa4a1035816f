"""Scoring files that others wrote, through the command line."""

import gzip
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.command import run_cli

CASE = Path(__file__).resolve().parent.parent / "golden" / "visdrone" / "B_ignored.json.gz"


@pytest.fixture
def folders(tmp_path):
    """A data set in VisDrone's layout and results for it."""
    for name in ("annotations", "images", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "annotations/1.txt").write_text("0,0,50,50,0,0,0,0\n60,60,20,20,1,4,0,0\n")
    (tmp_path / "annotations/2.txt").write_text("")
    cv2.imwrite(str(tmp_path / "images/1.jpg"), np.zeros((100, 200, 3), np.uint8))
    (tmp_path / "results/1.txt").write_text("10,10,20,20,0.9,4,-1,-1\n60,60,20,20,0.8,4,-1,-1\n")
    (tmp_path / "results/2.txt").write_text("")
    return tmp_path


def score(folder, *more):
    return run_cli("tools.score", ["visdrone", str(folder / "annotations"), str(folder / "results"), *more])


def test_the_toolkits_figures_from_files(tmp_path):
    case = json.loads(gzip.decompress(CASE.read_bytes()))
    for name in ("annotations", "results", "pictures"):
        (tmp_path / name).mkdir()
    for image in case["images"]:
        for key in ("annotations", "results"):
            rows = "".join(",".join(map(repr, row)) + "\n" for row in image[key])
            (tmp_path / key / f"{image['name']}.txt").write_text(rows)
        picture = np.zeros((image["height"], image["width"]), np.uint8)
        cv2.imwrite(str(tmp_path / "pictures" / f"{image['name']}.png"), picture)
    out = ["--json", str(tmp_path / "s.json"), "--csv", str(tmp_path / "s.csv")]
    outcome = score(tmp_path, "--images", str(tmp_path / "pictures"), *out)
    assert outcome.code == 0, outcome.err
    found = json.loads((tmp_path / "s.json").read_text())
    assert {key: found[key] for key in case["expected"]} == pytest.approx(case["expected"], abs=1e-9)
    assert f"{found['AP']:.2f}" in outcome.out and len((tmp_path / "s.csv").read_text().splitlines()) == 13


def test_empty_files_have_no_rows_and_pictures_lie_beside(folders):
    outcome = score(folders)
    assert outcome.code == 0 and outcome.out.splitlines()[2].split()[-7:] == ["100.00"] * 7


def test_results_of_other_images_are_counted_and_left_out(folders):
    for name in "xyz":
        (folders / f"results/{name}.txt").write_text("not read")
    outcome = score(folders)
    assert outcome.code == 0 and "3 files (x, y, z) are of no image in" in outcome.out


def test_an_unsorted_file_is_scored_as_it_stands(folders):
    (folders / "annotations/1.txt").write_text("60,60,20,20,1,4,0,0\n")
    (folders / "results/1.txt").write_text("10,10,20,20,0.1,4\n60,60,20,20,0.8,4\n")
    outcome = score(folders)
    assert outcome.out.count("not sorted by falling score") == 1
    assert outcome.out.splitlines()[3].split()[-4:] == ["0.00", "100.00", "100.00", "100.00"]


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("results/1.txt", "1,2,3,4,0.5,1,-1,-1\n1,2,3\n", "results/1.txt, line 2: has 3 columns"),
        ("results/1.txt", "1,2,a,4,0.5,1\n", "results/1.txt, line 1: 'a' is not a number"),
        ("results/2.txt", "1,2,nan,4,0.5,1\n", "results/2.txt, line 1: nan is not finite"),
        ("annotations/2.txt", "1,2,3,4,7,1\n", "annotations/2.txt, line 1: score 7"),
        ("results/1.txt", None, "has no result file for 1 file (1) of"),
        ("images/1.jpg", None, "has no image 1, whose size its ignored regions need"),
        ("images/1.jpg", "", "images/1.jpg: is empty; fetch the image again"),
    ],
)
def test_mistakes_are_one_sentence(folders, file, content, words):
    if content is None:
        (folders / file).unlink()
    else:
        (folders / file).write_text(content)
    outcome = score(folders)
    assert outcome.code == 1 and outcome.sentence.startswith("error: ") and words in outcome.sentence


def test_folders_that_are_none(folders):
    for argv in ([folders / "gone", folders / "results"], [folders / "annotations", folders / "gone"]):
        outcome = run_cli("tools.score", ["visdrone", *map(str, argv)])
        assert outcome.code == 1 and "gone: " in outcome.sentence


@pytest.fixture
def jsons(tmp_path):
    entry = {"image_id": 7, "category_id": 3, "bbox": [10, 10, 20, 20]}
    truth = {"images": [{"id": 7}], "annotations": [{"id": 1, **entry}], "categories": [{"id": 3, "name": "car"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return tmp_path, {**entry, "score": 0.5}


def score_coco(folder, results):
    (folder / "results.json").write_text(results if isinstance(results, str) else json.dumps(results))
    return run_cli("tools.score", ["coco", str(folder / "truth.json"), str(folder / "results.json")])


def test_coco_results(jsons):
    folder, entry = jsons
    outcome = score_coco(folder, [entry, {**entry, "image_id": 8}])
    assert outcome.code == 0 and "1 of 2 results are of unknown images" in outcome.out
    assert ["AP", "100.00", "100.00"] in [line.split() for line in outcome.out.splitlines()]
    assert "16-32 px" in outcome.out
    assert "0 detections" in score_coco(folder, []).out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bbox": [1, 2, 3]}, "results.json, entry 2: 'bbox' is [1, 2, 3]"),
        ({"bbox": [1, 2, float("nan"), 3]}, "entry 2: 'bbox'"),
        ({"score": "high"}, "entry 2: 'score' is high"),
        ({"category_id": 4}, "entry 2: category_id 4 is unknown"),
        ({"image_id": [1]}, "entry 2: 'image_id' is [1]"),
    ],
)
def test_bad_coco_entries_are_counted_to(jsons, change, words):
    folder, entry = jsons
    outcome = score_coco(folder, [entry, {**entry, **change}])
    assert outcome.code == 1 and words in outcome.sentence


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ("{", "is not valid JSON"),
        ("{}", "a list of results is expected"),
        ("[1]", "entry 1: is a int"),
        ("[{}]", "has no"),
    ],
)
def test_bad_coco_files(jsons, results, words):
    assert words in score_coco(jsons[0], results).sentence
