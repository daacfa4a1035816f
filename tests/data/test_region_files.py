import numpy as np
import pytest

from data.region_files import find_region_files, parse_regions, read_regions, region_path, to_pixels


def test_an_empty_file_has_no_region(tmp_path):
    (tmp_path / "a.txt").write_text("")
    found = read_regions(tmp_path / "a.txt")
    assert found.regions.shape == (0, 4) and found.regions.dtype == np.float64 and not found.problems
    assert to_pixels(found.regions, (10, 20)).shape == (0, 4)


def test_rows():
    found = parse_regions("0.5 0.5 1 1\n\n  0.125 0.15 0.25 0.3 \n")
    assert found.regions.tolist() == [[0.5, 0.5, 1, 1], [0.125, 0.15, 0.25, 0.3]] and not found.problems


@pytest.mark.parametrize(
    "row, words",
    [
        ("a b c d", "holds something that is no number: 'a b c d'"),
        ("0.5,0.5,0.1,0.1", "no number"),
        ("0.5 0.5 0.1", "has 3 values, not the 4 of an ignored region"),
        ("0 0.5 0.5 0.1 0.1", "has 5 values"),
        ("nan 0.5 0.1 0.1", "NaN"),
        ("0.5 0.5 inf 0.1", "number without end"),
        ("20 30 40 50", "parts of its sides, 0 to 1"),
        ("-0.5 0.5 0.1 0.1", "parts of its sides, 0 to 1"),
        ("0.5 0.5 0 0.1", "has no area"),
        ("0.5 0.5 0.1 -0.1", "has no area"),
    ],
)
def test_a_bad_row_costs_only_itself(row, words):
    found = parse_regions(f"0.5 0.5 0.1 0.1\n{row}\n0.4 0.4 0.1 0.1\n")
    assert len(found.regions) == 2
    ((line, kind, text),) = found.problems
    assert (line, kind) == (2, "region dropped") and words in text


def test_a_row_over_the_edge_is_clipped():
    found = parse_regions("0.95 0.5 0.2 0.5\n0.9500001 0.5 0.1 0.5\n")
    np.testing.assert_allclose(found.regions, [[0.925, 0.5, 0.15, 0.5], [0.95, 0.5, 0.1, 0.5]], atol=1e-6)
    assert [(line, kind) for line, kind, _ in found.problems] == [(1, "region clipped")]


@pytest.mark.parametrize("content", [b"\x80\x81", b"0.5 0.5\0", None])
def test_a_file_that_is_no_text(tmp_path, content):
    path = tmp_path / "a.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    found = read_regions(path)
    ((line, kind, text),) = found.problems
    assert not len(found.regions) and (line, kind) == (0, "region dropped")
    assert text.startswith("the file of ignored regions ") and ("is not text" in text or "cannot be read" in text)


def test_integers_come_back_from_six_decimals():
    rng = np.random.default_rng(0)
    for width, height in ((1360, 765), (1920, 1080), (2000, 1500), (3840, 2160), (13, 7), (20011, 30011)):
        x, y = (np.sort(rng.integers(0, side + 1, (500, 2))) for side in (width, height))
        edges = np.column_stack((x[:, 0], y[:, 0], x[:, 1], y[:, 1]))
        edges = edges[(edges[:, 2:] > edges[:, :2]).all(1)]
        size = np.array((width, height))
        shares = np.concatenate(((edges[:, :2] + edges[:, 2:]) / 2 / size, (edges[:, 2:] - edges[:, :2]) / size), 1)
        text = "".join(" ".join(f"{value:.6f}" for value in row) + "\n" for row in shares)
        found = parse_regions(text)
        assert not found.problems
        np.testing.assert_array_equal(to_pixels(found.regions, (height, width)), edges)


def test_other_numbers_stay_what_they_are():
    edges = to_pixels(np.array([[0.5, 0.5, 0.33, 0.5]]), (100, 100))
    np.testing.assert_allclose(edges, [[33.5, 25, 66.5, 75]], atol=1e-12)


def test_paths(tmp_path):
    assert region_path(tmp_path / "images/a/images/b/c.d.jpg") == tmp_path / "images/a/ignored/b/c.d.txt"
    assert region_path(tmp_path / "mine/c.png") == tmp_path / "mine/ignored/c.txt"  # never the label file mine/c.txt


def test_files_are_found_and_orphans_told_from_other_splits(tmp_path):
    assert find_region_files([]).paths == find_region_files([]).orphans == []
    images = [tmp_path / "images" / f"{name}.jpg" for name in ("a", "b")]
    found = find_region_files(images)
    assert found.paths == [None, None] and found.orphans == []
    for name in ("images/a.jpg", "images/other.jpg", "ignored/a.txt", "ignored/other.txt", "ignored/gone.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "ignored/notes.md").touch()
    found = find_region_files(images)
    assert found.paths == [tmp_path / "ignored/a.txt", None]
    assert found.orphans == [tmp_path / "ignored/gone.txt"]
