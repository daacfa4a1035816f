import numpy as np
import pytest

from data.label_rows import UnreadableLabels, parse_rows, read_rows


def test_an_empty_file():
    rows = parse_rows("")
    assert rows.boxes.shape == (0, 5) and rows.boxes.dtype == np.float32 and rows.problems == []
    assert parse_rows("\n  \n").boxes.shape == (0, 5)


def test_good_rows_keep_their_numbers():
    text = "0 0.5 0.5 0.2 0.2\n7.0 0.1 0.9 0.2 0.2\r\n"
    rows = parse_rows(text)
    np.testing.assert_array_equal(rows.boxes, np.float32([[0, 0.5, 0.5, 0.2, 0.2], [7, 0.1, 0.9, 0.2, 0.2]]))
    assert rows.problems == []


@pytest.mark.parametrize(
    "row, kind, words",
    [
        ("a 0.5 0.5 0.2 0.2", "dropped", "no number"),
        ("0 0.5 x 0.2 0.2", "dropped", "no number"),
        ("0 0.5 0.5 0.2", "dropped", "has 4 values"),
        ("0", "dropped", "has 1 values"),
        ("0 0.5 0.5 0.2 0.2 0.9", "dropped", "has 6 values"),
        ("0 0.1 0.1 0.9 0.1 0.9 0.9 0.5", "dropped", "has 8 values"),
        ("0 nan 0.5 0.2 0.2", "dropped", "NaN"),
        ("0 0.5 0.5 inf 0.2", "dropped", "NaN or a number without end"),
        ("-1 0.5 0.5 0.2 0.2", "dropped", "class -1"),
        ("1.5 0.5 0.5 0.2 0.2", "dropped", "class 1.5"),
        ("0 320 240 64 64", "dropped", "outside the picture"),
        ("0 1.2 0.5 0.1 0.1", "dropped", "outside the picture"),
        ("0 0.5 -0.2 0.1 0.1", "dropped", "outside the picture"),
        ("0 0.5 0.5 0 0.2", "dropped", "no area"),
        ("0 0.5 0.5 0.2 -0.1", "dropped", "no area"),
        ("0 1.05 0.5 0.05 0.2", "dropped", "no area"),
        ("0 0.05 0.5 0.2 0.2", "clipped", "outside"),
        ("1 0.5 0.5 0.2 0.2", "duplicate", "repeats"),
    ],
)
def test_a_bad_row_costs_itself_only(row, kind, words):
    rows = parse_rows(f"1 0.5 0.5 0.2 0.2\n{row}\n2 0.4 0.4 0.2 0.2\n")
    assert [(line, found) for line, found, _ in rows.problems] == [(2, kind)] and words in rows.problems[0][2]
    assert len(rows.boxes) == (3 if kind == "clipped" else 2)
    np.testing.assert_allclose(rows.boxes[[0, -1]], [[1, 0.5, 0.5, 0.2, 0.2], [2, 0.4, 0.4, 0.2, 0.2]])


def test_clipping_ends_at_the_edge():
    (box,) = parse_rows("3 0.05 0.95 0.2 0.2").boxes
    np.testing.assert_allclose(box, [3, 0.075, 0.925, 0.15, 0.15], rtol=1e-6)


def test_rounding_is_clipped_without_a_word():
    rows = parse_rows("0 0.25 0.5 0.5002 1.0001")
    assert rows.problems == []
    x1, y1, w, h = rows.boxes[0, 1:] @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [-0.5, 0, 1, 0], [0, -0.5, 0, 1]])
    assert x1 >= 0 and y1 >= 0 and w <= 0.5002 and h <= 1


def test_polygons_become_boxes_row_by_row():
    rows = parse_rows("4 0.1 0.2 0.5 0.2 0.3 0.6\n1 0.5 0.5 0.2 0.2\n")
    np.testing.assert_allclose(rows.boxes, [[4, 0.3, 0.4, 0.4, 0.4], [1, 0.5, 0.5, 0.2, 0.2]], rtol=1e-6)


def test_files(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbf0 0.5 0.5 0.2 0.2\n")  # with a byte order mark
    assert len(read_rows(file).boxes) == 1
    for content in (b"\xff\xfe\x00\x80\x81", b"0 0.5\0\0\0\0\0\0"):
        file.write_bytes(content)
        with pytest.raises(UnreadableLabels, match="a.txt is not text"):
            read_rows(file)
    with pytest.raises(UnreadableLabels, match="cannot be read"):
        read_rows(tmp_path)
