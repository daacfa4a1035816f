import csv
import json
import math

import numpy as np
import pytest

from utils import visdrone, visdrone_files
from utils.errors import UserError

ROWS = np.array([[10.12345, 20, 30.5, 40.98765, 0.1234567, 3], [1, 2, 3, 4, 0.9, 0]], np.float32)


def write(folder, text):
    file = folder / "a.txt"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff", ",\n"])
def test_files_without_rows(tmp_path, text):
    assert visdrone_files.read_annotations(write(tmp_path, text)).shape == (0, 8)


def test_rows_as_they_are_found_in_the_wild(tmp_path):
    file = write(tmp_path, "1,2,3,4,1,4,0,1,\r\n\n 5, 6, 7, 8, 0, 11 \n-1,0,1e9,0,0,0,0,0\n")
    rows = visdrone_files.read_annotations(file)
    assert rows[:, :6].tolist() == [[1, 2, 3, 4, 1, 4], [5, 6, 7, 8, 0, 11], [-1, 0, 1e9, 0, 0, 0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3,4,1\n", "line 1: has 5 columns, not 8"),
        ("\n1,2,3,4,1,1,0,0,0\n", "line 2: has 9 columns"),
        ("1,2,x,4,1,1,0,0\n", "line 1: 'x' is not a number"),
        ("1,2,,4,1,1,0,0\n", "line 1: '' is not a number"),
        ("1,2,nan,4,1,1,0,0\n", "line 1: nan is not finite"),
        ("1,2,3,4,1,1,0,0\n1,2,1e300,4,1,1,0,0\n", r"line 2: 1e300 is beyond 1e\+09"),
        ("1,2,3,4,1,12,0,0\n", "line 1: category 12"),
        ("1,2,3,4,1,1.5,0,0\n", "line 1: category 1.5"),
        ("1,2,3,4,0.5,1,0,0\n", "line 1: score 0.5 of an object"),
        (b"\xff\xd8\xff\xe0", "line 1: has 1 columns"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, words):
    with pytest.raises(UserError, match=f"a.txt, {words}.*; correct or remove"):
        visdrone_files.read_annotations(write(tmp_path, text))


def test_results_have_any_score_and_may_be_missing(tmp_path):
    assert visdrone_files.read_results(write(tmp_path, "1,2,3,4,0.5,1,-1,-1\n"))[0, 4] == 0.5
    with pytest.raises(UserError, match="gone.txt: no such file"):
        visdrone_files.read_results(tmp_path / "gone.txt")


def test_result_rows_are_sorted_cut_and_exactly_what_is_written(tmp_path):
    rows = visdrone_files.result_rows(ROWS)
    assert rows[:, 5].tolist() == [1, 4] and rows[:, 6:].tolist() == [[-1, -1]] * 2
    assert rows[1, :5].tolist() == [10.123, 20, 20.377, 20.988, 0.123457]
    text = visdrone_files.result_text(rows)
    assert text.splitlines()[1] == "10.123,20.000,20.377,20.988,0.123457,4,-1,-1"
    rng = np.random.default_rng(0)
    many = np.column_stack((rng.uniform(0, 4000, (700, 4)), rng.random(700), rng.integers(0, 10, 700)))
    rows = visdrone_files.result_rows(many.astype(np.float32))
    assert len(rows) == 500 and visdrone.is_sorted(rows) and rows[:, 4].min() > np.sort(many[:, 4])[150]
    written = visdrone_files.read_results(write(tmp_path, visdrone_files.result_text(rows)))
    assert written.tolist() == rows.tolist()


def test_a_picture_without_detections_has_a_row_that_matches_nothing(tmp_path):
    rows = visdrone_files.result_rows(np.empty((0, 6), np.float32))
    text = visdrone_files.result_text(rows)
    assert rows.shape == (0, 8) and len(text.splitlines()) == 1
    placeholder = visdrone_files.read_results(write(tmp_path, text))
    assert placeholder[0, 5] == 0
    box = [[0, 0, 1, 1, 1, category, 0, 0] for category in range(1, 11)]
    image = {"name": "a", "height": 9, "width": 9, "annotations": box}
    assert visdrone.evaluate([{**image, "results": rows}]) == visdrone.evaluate([{**image, "results": placeholder}])


def test_scores_as_csv_and_table():
    box = [[1, 1, 10, 10, 1, 4, 0, 0]]
    scores = visdrone.evaluate([{"name": "a", "height": 99, "width": 99, "annotations": box, "results": box}])
    lines = list(csv.DictReader(visdrone_files.scores_csv(scores).splitlines()))
    assert len(lines) == 12 and lines[0]["AP"] == lines[5]["AP"] == "100.0"
    assert (lines[5]["name"], lines[5]["n_scored"], lines[2]["AP"]) == ("car", "1", "0.0")
    table = visdrone_files.scores_table(scores).splitlines()
    assert table[6].split()[:4] == ["car", "1", "1", "100.00"] and len({len(line) for line in table}) == 1


def test_json_knows_no_nan():
    scores = visdrone_files.without_nan(visdrone.evaluate([]))
    assert scores["AP"] is None and scores["plain"]["AR1"] is None
    json.dumps(scores, allow_nan=False)
    assert visdrone_files.without_nan([math.nan, 1, "a"]) == [None, 1, "a"]
