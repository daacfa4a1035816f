from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from data.dataset import Pick
from data.loader import LoaderOptions, build_loader, collate
from data.spec import load_spec
from tests.conftest import smooth_image, write_image
from utils.errors import UserError
from utils.files import read_yaml, write_yaml

HYP = {"mosaic": 0.7, "mixup": 0.3, "degrees": 5.0, "translate": 0.1, "scale": 0.5, "shear": 2.0, "hsv_h": 0.015}
HYP |= {"hsv_s": 0.7, "hsv_v": 0.4, "fliplr": 0.5, "flipud": 0.2, "copy_paste": 0.5}
TRAIN = LoaderOptions(image_size=64, batch_size=3, train=True, hyp=HYP, seed=3)
VAL = LoaderOptions(image_size=64, batch_size=3, rect=True)


def loader_of(yaml_file, split="train", **changes):
    return build_loader(load_spec(yaml_file), split, replace(TRAIN if split == "train" else VAL, **changes))


def contents(loader, epoch=0):
    loader.set_epoch(epoch)
    return [(batch.images.clone(), batch.targets.clone(), batch.paths) for batch in loader]


def assert_same(first, second):
    assert len(first) == len(second)
    for (images, targets, paths), (images_2, targets_2, paths_2) in zip(first, second):
        assert torch.equal(images, images_2) and torch.equal(targets, targets_2) and paths == paths_2


def test_nothing_labelled(tiny_dataset, tmp_path):
    for file in (tmp_path / "labels").rglob("*.txt"):
        file.write_text("")
    with pytest.raises(UserError, match=r"'train:' has no labelled object; looked in .*labels/train/0.txt"):
        loader_of(tiny_dataset)
    batches = list(loader_of(tiny_dataset, "val"))
    assert all(batch.targets.shape == (0, 6) for batch in batches)
    assert all(rows.shape == (0, 5) for batch in batches for rows in batch.labels)


def test_training_batches(tiny_dataset):
    loader = loader_of(tiny_dataset)
    batches = list(loader)
    assert len(loader) == len(batches) == 3 and [len(batch.paths) for batch in batches] == [3, 3, 2]
    assert {path.name for batch in batches for path in batch.paths} == {f"{i}.jpg" for i in range(8)}
    for batch in batches:
        assert batch.images.shape == (len(batch.paths), 3, 64, 64) and batch.images.dtype == torch.uint8
        assert batch.targets.dtype == torch.float32 and batch.targets.shape[1] == 6
        boxes = batch.targets[:, 2:]
        assert (boxes > 0).all() and (boxes[:, :2] + boxes[:, 2:] / 2 <= 1).all()
        assert batch.letterboxes == () and batch.labels == ()
        assert set(batch.targets[:, 0].tolist()) <= set(range(len(batch.paths)))
    assert sum(len(batch.targets) for batch in batches) > 8


@pytest.mark.parametrize("start_method", ["spawn", None])
def test_workers_change_nothing(tiny_dataset, start_method):
    alone, helped = loader_of(tiny_dataset), loader_of(tiny_dataset, workers=2, start_method=start_method)
    for epoch in (0, 1, 5):
        assert_same(contents(alone, epoch), contents(helped, epoch))


def test_an_epoch_can_be_repeated_and_epochs_differ(tiny_dataset):
    loader = loader_of(tiny_dataset)
    first, second = contents(loader, 0), contents(loader, 1)
    assert_same(contents(loader, 0), first)
    assert_same(contents(loader_of(tiny_dataset), 1), second)
    assert not torch.equal(first[0][0], second[0][0])
    assert not torch.equal(contents(loader_of(tiny_dataset, seed=4))[0][0], first[0][0])


def test_a_sample_depends_only_on_seed_epoch_and_index(tiny_dataset):
    data = loader_of(tiny_dataset).dataset
    picks = [Pick(2, 5), Pick(0, 1), Pick(2, 5, repeat=1), Pick(2, 6)]
    samples = [data[pick] for pick in picks]
    again = [data[pick] for pick in reversed(picks)][::-1]
    for sample, other in zip(samples, again):
        np.testing.assert_array_equal(sample.image, other.image)
        np.testing.assert_array_equal(sample.boxes, other.boxes)
    assert not np.array_equal(samples[0].image, samples[2].image)


def test_image_weights(tiny_dataset):
    loader = loader_of(tiny_dataset)
    loader.set_image_weights(np.array([0, 0, 0, 1, 0, 0, 0, 0]))
    batches = list(loader)
    assert {path.name for batch in batches for path in batch.paths} == {"3.jpg"}
    assert len(batches) == 3 and not torch.equal(batches[0].images[0], batches[0].images[1])


def test_rectangular_training(tiny_dataset):
    loader = loader_of(tiny_dataset, rect=True, batch_size=2)
    first, second = contents(loader, 0), contents(loader, 1)
    assert [paths for _, _, paths in first] == [paths for _, _, paths in second]
    shapes = [tuple(images.shape[2:]) for images, _, _ in first]
    assert shapes == [(32, 64), (64, 64), (64, 64), (64, 64)]  # 0.4; 0.714; 0.75; 1.33 high per width
    assert not torch.equal(first[0][0], second[0][0])


def test_validation_batches(tiny_dataset):
    loader = loader_of(tiny_dataset, "val")
    batches = list(loader)
    assert [path.name for batch in batches for path in batch.paths] == ["3.jpg", "2.jpg", "0.jpg", "1.jpg"]
    # the highest of the first three is 96 x 128: 0.75 * 64 / 32 + 0.5 = 2, 64 / 32 + 0.5 -> 3
    assert [tuple(batch.images.shape) for batch in batches] == [(3, 3, 64, 96), (1, 3, 96, 64)]
    for batch in batches:
        for number, (letterbox, labels) in enumerate(zip(batch.letterboxes, batch.labels)):
            size = batch.images.shape[2:]
            assert letterbox.size == tuple(size)
            rows = batch.targets[batch.targets[:, 0] == number][:, 1:].numpy()
            half = rows[:, 3:] / 2
            boxes = np.concatenate((rows[:, 1:3] - half, rows[:, 1:3] + half), 1) * ([size[1], size[0]] * 2)
            np.testing.assert_allclose(letterbox.invert(boxes), labels[:, 1:], atol=0.01)
            np.testing.assert_array_equal(rows[:, 0], labels[:, 0])


def test_validation_labels_are_the_file_s(tiny_dataset, tmp_path):
    (tmp_path / "labels/val/0.txt").write_text("2 0.5 0.5 0.25 0.5\n")
    batches = list(loader_of(tiny_dataset, "val"))
    (labels,) = [rows for batch in batches for path, rows in zip(batch.paths, batch.labels) if path.name == "0.jpg"]
    np.testing.assert_array_equal(labels, np.float32([[2, 48, 24, 80, 72]]))


def test_validation_pixels_are_stock_s(tiny_dataset, tmp_path):
    write_image(tmp_path / "images/val/0.jpg", smooth_image(96, 128))
    image = cv2.imread(str(tmp_path / "images/val/0.jpg"))
    for size, shape in ((64, (48, 64)), (192, (144, 192))):
        loader = loader_of(tiny_dataset, "val", image_size=size, rect=False, batch_size=1)
        batch = next(batch for batch in loader if batch.paths[0].name == "0.jpg")
        method = cv2.INTER_AREA if size == 64 else cv2.INTER_LINEAR
        resized = cv2.resize(image, shape[::-1], interpolation=method)
        pad = (size - shape[0]) // 2
        expected = cv2.copyMakeBorder(resized, pad, pad, 0, 0, cv2.BORDER_CONSTANT, value=(114, 114, 114))
        np.testing.assert_array_equal(batch.images[0].numpy(), expected[..., ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["ram", "disk"])
@pytest.mark.parametrize("workers", [0, 1])
def test_caches_show_the_same_pictures(tiny_dataset, kind, workers):
    plain, cached = loader_of(tiny_dataset), loader_of(tiny_dataset, cache=kind, workers=workers)
    for (images, targets, paths), (images_2, targets_2, paths_2) in zip(contents(plain), contents(cached)):
        assert paths == paths_2 and torch.equal(targets, targets_2)
        assert (images.float() - images_2.float()).abs().mean() < 4
    val = [batch.images for batch in loader_of(tiny_dataset, "val")]
    cached_val = [batch.images for batch in loader_of(tiny_dataset, "val", cache=kind)]
    assert all(torch.equal(first, second) for first, second in zip(val, cached_val))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_later_is_named(tiny_dataset, tmp_path, workers):
    loader = loader_of(tiny_dataset, workers=workers)
    (tmp_path / "images/train/2.jpg").write_bytes(b"gone")
    with pytest.raises(UserError) as error:
        list(loader)
    assert str(error.value).startswith(f"{tmp_path / 'images/train/2.jpg'}: is not an image")
    assert "Traceback" not in str(error.value)


@pytest.mark.parametrize("rect", [False, True])
@pytest.mark.parametrize("split", ["train", "val"])
def test_odd_images(tiny_dataset, tmp_path, split, rect):
    folder = tmp_path / "images" / split
    write_image(folder / "thin größe ☂.png", smooth_image(1, 1000))
    write_image(folder / "high.png", smooth_image(1000, 1))
    write_image(folder / "grey.png", smooth_image(30, 40)[..., 0])
    write_image(folder / "deep.png", smooth_image(30, 40).astype(np.uint16) * 256)
    write_image(folder / "clear.png", np.dstack((smooth_image(30, 40), smooth_image(30, 40)[..., :1])))
    for batch in loader_of(tiny_dataset, split, rect=rect):
        assert batch.images.shape[1] == 3 and min(batch.images.shape[2:]) >= 32


def test_letterboxed_training_without_augmentation_is_validation(tiny_dataset):
    train = loader_of(tiny_dataset, hyp={})
    val = build_loader(load_spec(tiny_dataset), "train", replace(VAL, rect=False))
    expected = {batch.paths[i]: batch.images[i] for batch in val for i in range(len(batch.paths))}
    for batch in train:
        for image, path in zip(batch.images, batch.paths):
            assert (image.float() - expected[path].float()).abs().mean() < 3


def test_collating_swaps_colours_and_keeps_boxes_inside(tiny_dataset):
    sample = loader_of(tiny_dataset).dataset[0]
    image = np.zeros((4, 8, 3), np.uint8)
    image[..., 2] = 200  # red
    batch = collate([replace(sample, image=image, boxes=np.float32([[1, -1, 0, 4, 4], [0, 0, 0, 9, 2]]))])
    assert batch.images[0].float().mean((1, 2)).tolist() == [200, 0, 0]
    np.testing.assert_allclose(batch.targets, [[0, 1, 0.25, 0.5, 0.5, 1], [0, 0, 0.5, 0.25, 1, 0.5]], atol=3e-4)


def write_regions(root, split="train"):
    folder = root / "ignored" / split
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.txt").write_text("0.5 0.5 1 1\n" if number else "0.250000 0.312500 0.187500 0.166667\n")


def test_regions_come_with_the_batches_and_change_nothing_else(tiny_dataset, tmp_path):
    before = contents(loader_of(tiny_dataset), 1)
    write_regions(tmp_path)
    loader = loader_of(tiny_dataset)
    assert_same(contents(loader, 1), before)
    batches = list(loader)
    assert sum(len(batch.regions) for batch in batches) > 6
    for batch in batches:
        assert batch.regions.dtype == torch.float32 and batch.regions.shape[1:] == (9,) and batch.ignored == ()
        assert set(batch.regions[:, 0].tolist()) <= set(range(len(batch.paths)))
    helped = loader_of(tiny_dataset, workers=1)
    helped.set_epoch(1)
    assert all(torch.equal(batch.regions, other.regions) for batch, other in zip(batches, helped))
    write_yaml(tiny_dataset, read_yaml(tiny_dataset) | {"ignore": False})
    assert all(batch.regions.shape == (0, 9) for batch in loader_of(tiny_dataset))


def test_validation_regions_in_original_pixels(tiny_dataset, tmp_path):
    write_regions(tmp_path, "val")
    found = {}
    for batch in loader_of(tiny_dataset, "val"):
        assert len(batch.ignored) == len(batch.paths)
        for number, (path, letterbox, ignored) in enumerate(zip(batch.paths, batch.letterboxes, batch.ignored)):
            found[path.name] = ignored.tolist()
            rows = batch.regions[batch.regions[:, 0] == number, 1:].numpy()
            corners = rows[:, [0, 1, 4, 5]] * np.array(letterbox.size[::-1] * 2)
            np.testing.assert_allclose(letterbox.invert(corners), ignored, atol=1e-3)
    # 0.jpg is 96 high and 128 wide: integers again, in spite of six decimals
    assert found == {
        "0.jpg": [[20, 22, 44, 38]],
        "1.jpg": [[0, 0, 96, 128]],
        "2.jpg": [[0, 0, 140, 100]],
        "3.jpg": [],
    }
