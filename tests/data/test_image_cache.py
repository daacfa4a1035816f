import os
import pickle

import numpy as np
import pytest

from data import image_cache
from data.headers import image_shape
from data.image_cache import copies_in_memory, free_memory, make_cache, read_resized, stored_shape
from tests.conftest import smooth_image, write_image


@pytest.fixture
def images(tmp_path):
    return [write_image(tmp_path / f"{n}.png", smooth_image(*shape)) for n, shape in enumerate([(90, 120), (40, 30)])]


def cached(kind, images, size=60, copies=1):
    return make_cache(kind, images, np.array([image_shape(image) for image in images]), size, copies)


def test_no_cache(images):
    assert cached(None, images) is None
    with pytest.raises(ValueError, match="use ram or disk"):
        cached("attic", images)


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_pictures_are_kept_no_larger_than_needed(images, kind):
    cache = pickle.loads(pickle.dumps(cached(kind, images)))
    assert cache(0).shape == (45, 60, 3) and cache(1).shape == (40, 30, 3)
    for index, image in enumerate(images):
        np.testing.assert_array_equal(cache(index), read_resized(image, 60))


def test_shapes_are_foretold(tmp_path):
    for shape in ((1, 1000), (333, 100), (50, 60), (60, 60)):
        file = write_image(tmp_path / "a.png", smooth_image(*shape))
        assert read_resized(file, 60).shape[:2] == stored_shape(shape, 60)


def test_disk_files_are_reused_until_the_image_changes(images, monkeypatch):
    cached("disk", images)
    stored = images[0].with_name("0.png.60.npy")
    before = stored.stat().st_mtime_ns
    cached("disk", images)
    assert stored.stat().st_mtime_ns == before
    write_image(images[0], smooth_image(90, 120, seed=5))
    os.utime(images[0], ns=(before + 10**9, before + 10**9))
    np.testing.assert_array_equal(cached("disk", images)(0), read_resized(images[0], 60))
    assert cached("disk", images, size=30)(0).shape == (23, 30, 3)


def test_too_little_memory_or_disk(images, monkeypatch, caplog):
    monkeypatch.setattr(image_cache, "free_memory", lambda: 20000)
    assert cached("ram", images, copies=2) is None
    assert "--cache ram: 0 MB are needed but 0 MB are free: going on without" in caplog.text
    assert cached("ram", images) is not None  # 45 * 60 * 3 + 40 * 30 * 3 = 11700 bytes
    monkeypatch.setattr(image_cache, "free_memory", lambda: None)
    assert cached("ram", images) is not None
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr(image_cache.shutil, "disk_usage", lambda folder: usage)
    assert cached("disk", images) is None and "--cache disk" in caplog.text


def test_a_folder_that_cannot_be_written(images, caplog):
    (images[0].with_name("0.png.60.npy") / "in the way").mkdir(parents=True)
    assert cached("disk", images) is None
    assert "cannot be written" in caplog.text


def test_memory_of_this_machine():
    free = free_memory()
    assert free is None or free > 0


def test_who_holds_copies():
    assert copies_in_memory(4, "fork") == 1 and copies_in_memory(4, "spawn") == 5 and copies_in_memory(0, "spawn") == 1
