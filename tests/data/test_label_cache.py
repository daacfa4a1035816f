import zipfile

import numpy as np
import pytest

from data.label_cache import Entry, examine, load_cache, save_cache, signature_of
from tests.conftest import smooth_image, write_image

EMPTY = np.zeros((0, 5), np.float32)


def test_nothing_saved_and_nothing_there(tmp_path):
    assert load_cache(tmp_path / "none.cache") == {}
    save_cache(tmp_path / "a.cache", {})
    assert load_cache(tmp_path / "a.cache") == {}


def test_round_trip(tmp_path):
    boxes = np.float32([[1, 0.5, 0.5, 0.25, 0.25], [2, 0.5, 0.5, 0.1, 0.1]])
    entries = {
        tmp_path / "ä\nb.jpg": Entry((1, 2, 3, 4, -1, -1), (480, 640), boxes, ((3, "dropped", "has “1” value"),)),
        tmp_path / "c.jpg": Entry((5, 2**60, -1, -1, -1, -1), (0, 0), EMPTY, ((0, "skipped", "is empty"),)),
        tmp_path / "d.jpg": Entry((5, 6, 7, 8, 9, 10), (10, 10), EMPTY, regions=np.array([[1 / 3, 0.5, 0.1, 1.0]] * 2)),
    }
    save_cache(tmp_path / "a.cache", entries)
    found = load_cache(tmp_path / "a.cache")
    assert list(found) == list(entries)
    for path, entry in entries.items():
        assert (found[path].signature, found[path].shape) == (entry.signature, entry.shape)
        assert found[path].problems == entry.problems
        np.testing.assert_array_equal(found[path].boxes, entry.boxes)
        np.testing.assert_array_equal(found[path].regions, entry.regions)
        assert found[path].regions.dtype == np.float64
    assert [entry.usable for entry in found.values()] == [True, False, True]
    assert [entry.has_label_file for entry in found.values()] == [True, False, True]


def test_the_file_holds_no_pickle(tmp_path):
    save_cache(tmp_path / "a.cache", {tmp_path / "a.jpg": Entry((1, 2, 3, 4, 5, 6), (1, 1), EMPTY)})
    with zipfile.ZipFile(tmp_path / "a.cache") as archive:
        for name in archive.namelist():
            assert b"'|O'" not in archive.read(name)[:128]


def test_examine(tmp_path):
    image = write_image(tmp_path / "a.jpg", smooth_image(40, 60))
    label = tmp_path / "a.txt"
    assert examine(image, label).boxes.shape == (0, 5) and not examine(image, label).has_label_file
    label.write_text("0 0.5 0.5 0.5 0.5\nx\n")
    entry = examine(image, label)
    assert entry.shape == (40, 60) and len(entry.boxes) == 1 and entry.signature == signature_of(image, label)
    assert [line for line, _, _ in entry.problems] == [2]
    side_file = tmp_path / "ignored.txt"
    assert examine(image, label, side_file).signature == (*entry.signature[:4], -1, -1)
    side_file.write_text("0.5 0.5 0.5 0.5\n7 7 7 7\n0.5 0.5 1 1")
    entry = examine(image, label, side_file)
    assert entry.regions.tolist() == [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 1, 1]]
    assert entry.signature == signature_of(image, label, side_file) and entry.signature[4] == side_file.stat().st_size
    assert [(line, kind) for line, kind, _ in entry.problems] == [(2, "dropped"), (2, "region dropped")]
    image.write_bytes(image.read_bytes()[:-10])
    assert not examine(image, label).usable


@pytest.mark.parametrize(("offset", "value"), [(8, 0xFF), (6, 0x01), (4, 0xFF)])
def test_a_damaged_directory_counts_as_empty(tmp_path, offset, value):
    """zipfile answers an unknown compression, a password and a version of its own time with a RuntimeError."""
    file = tmp_path / "a.cache"
    save_cache(file, {tmp_path / "a.jpg": Entry((1, 2, 3, 4, 5, 6), (1, 1), EMPTY)})
    content = bytearray(file.read_bytes())
    entry = content.index(b"PK\x01\x02")  # of the directory, which is what zipfile believes
    content[entry + 2 + offset] = value
    file.write_bytes(bytes(content))
    assert load_cache(file) == {}
