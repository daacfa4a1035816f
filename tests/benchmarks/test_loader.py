import pytest

from benchmarks.loader import BenchmarkOptions, dataset_of, measure
from utils.errors import UserError


def test_a_folder_without_images(tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        measure(BenchmarkOptions(images=str(tmp_path)))


def test_figures_agree(tiny_dataset):
    found = measure(BenchmarkOptions(images=str(tiny_dataset), imgsz=64, batch_size=4, batches=10, rounds=2))
    assert found["images"] == 8 and found["ratio"] > 0
    assert found["samples_per_second"] < found["imread_per_second"]
    assert set(found["milliseconds_per_sample"]) == {"decode", "warp", "boxes", "hsv", "planes", "rest"}
    assert min(found["milliseconds_per_sample"].values()) >= 0


def test_a_folder_is_enough(tiny_dataset, tmp_path):
    data = dataset_of(BenchmarkOptions(images=str(tmp_path / "images" / "train"), imgsz=64))
    assert len(data) == 8 and data[0].image.shape == (64, 64, 3)
