import logging
import os

import cv2
import numpy as np
import pytest

from data import labels as module
from data.labels import label_path, list_images, read_labels
from data.spec import load_spec
from tests.conftest import smooth_image, write_dataset, write_image
from utils.errors import UserError
from utils.files import read_yaml, write_yaml

CACHE = "labels/train.cache"
PROBLEMS = "labels/train.problems.txt"


def change(yaml_file, **changes):
    write_yaml(yaml_file, read_yaml(yaml_file) | changes)
    return load_spec(yaml_file)


def examined(monkeypatch):
    """The list that collects the names of the images read anew."""
    seen = []

    def examine(image, *files):
        seen.append(image.name)
        return original(image, *files)

    original = module.examine
    monkeypatch.setattr(module, "examine", examine)
    return seen


def test_no_images_at_all(tiny_dataset, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError) as error:
        read_labels(change(tiny_dataset, train="nothing"), "train")
    for words in ("tiny.yaml", "'train:' holds no image", "*.jpg", str(tmp_path / "nothing")):
        assert words in str(error.value)


def test_label_paths(tmp_path):
    assert label_path(tmp_path / "images/a/images/b/c.d.jpg") == tmp_path / "images/a/labels/b/c.d.txt"
    assert label_path(tmp_path / "my images/c.png") == tmp_path / "my images/c.txt"


def test_a_good_data_set(tiny_dataset, caplog):
    caplog.set_level(logging.INFO)
    found = read_labels(load_spec(tiny_dataset), "train")
    assert [path.name for path in found.images] == [f"{i}.jpg" for i in range(8)]
    assert found.shapes[:4].tolist() == [[96, 128], [128, 96], [100, 140], [64, 160]]
    assert all(rows.shape == (3, 5) and rows.dtype == np.float32 for rows in found.labels)
    assert caplog.messages == ["train: 8 images, 24 boxes, 0 empty, 0 without a label file"]


def test_background_images_empty_and_missing_files(tiny_dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (tmp_path / "labels/train/0.txt").write_text("")
    (tmp_path / "labels/train/1.txt").unlink()
    found = read_labels(load_spec(tiny_dataset), "train")
    assert len(found.images) == 8 and found.labels[0].shape == found.labels[1].shape == (0, 5)
    assert "8 images, 18 boxes, 1 empty, 1 without a label file" in caplog.text


def test_everything_bad_is_counted_and_listed(tiny_dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with (tmp_path / "labels/train/0.txt").open("a") as file:
        file.write("x y\n0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1 0.1\n0 0.05 0.5 0.3 0.1\n")
    whole = (tmp_path / "images/train/1.jpg").read_bytes()
    (tmp_path / "images/train/1.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "labels/train/2.txt").write_bytes(b"\x80\x81\x82")
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        found = read_labels(load_spec(tiny_dataset), "train")
        assert [path.name for path in found.images] == ["0.jpg", *(f"{i}.jpg" for i in range(3, 8))]
        assert len(found.labels[0]) == 5
        assert caplog.messages == [
            "train: 6 images, 20 boxes, 0 empty, 0 without a label file, 2 images skipped, 1 bad rows dropped, "
            f"1 repeated rows dropped, 1 rows clipped (listed in {tmp_path / PROBLEMS})"
        ]
    lines = (tmp_path / PROBLEMS).read_text().splitlines()
    assert len(lines) == 5
    assert lines[0] == f"{tmp_path / 'labels/train/0.txt'}, line 4: dropped: holds something that is no number: 'x y'"
    assert lines[3].startswith(f"{tmp_path / 'images/train/1.jpg'}: skipped: is cut short")
    assert "2.txt is not text" in lines[4]


def test_the_problem_list_goes_when_all_is_mended(tiny_dataset, tmp_path):
    label = tmp_path / "labels/train/0.txt"
    good = label.read_text()
    label.write_text(good + "oops\n")
    read_labels(load_spec(tiny_dataset), "train")
    assert (tmp_path / PROBLEMS).exists()
    label.write_text(good)
    read_labels(load_spec(tiny_dataset), "train")
    assert not (tmp_path / PROBLEMS).exists()


def test_only_what_changed_is_read_anew(tiny_dataset, tmp_path, monkeypatch):
    seen = examined(monkeypatch)
    spec = load_spec(tiny_dataset)
    first = read_labels(spec, "train")
    assert len(seen) == 8
    seen.clear()
    again = read_labels(spec, "train")
    assert seen == [] and again.images == first.images
    np.testing.assert_array_equal(np.concatenate(again.labels), np.concatenate(first.labels))
    np.testing.assert_array_equal(again.shapes, first.shapes)

    label = tmp_path / "labels/train/3.txt"
    status = label.stat()
    label.write_text(label.read_text().replace(" ", "  ", 1))  # the size changes
    os.utime(label, ns=(status.st_atime_ns, status.st_mtime_ns))
    image = tmp_path / "images/train/5.jpg"
    os.utime(image, ns=(1, 1))  # the time changes
    (tmp_path / "labels/train/6.txt").unlink()
    write_image(tmp_path / "images/train/9.jpg", smooth_image(50, 70))
    found = read_labels(spec, "train")
    assert sorted(seen) == ["3.jpg", "5.jpg", "6.jpg", "9.jpg"]
    assert len(found.images) == 9 and len(found.labels[6]) == 0 and found.shapes[8].tolist() == [50, 70]


def test_a_label_that_appears_is_noticed(tiny_dataset, tmp_path):
    label = tmp_path / "labels/train/0.txt"
    text = label.read_text()
    label.unlink()
    assert len(read_labels(load_spec(tiny_dataset), "train").labels[0]) == 0
    label.write_text(text)
    assert len(read_labels(load_spec(tiny_dataset), "train").labels[0]) == 3


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", b"\x93NUMPY\x01\x00pickled"])
def test_a_damaged_cache_is_replaced(tiny_dataset, tmp_path, content):
    (tmp_path / CACHE).write_bytes(content)
    assert len(read_labels(load_spec(tiny_dataset), "train").images) == 8
    assert (tmp_path / CACHE).stat().st_size > 500


def test_a_folder_that_cannot_be_written(tiny_dataset, tmp_path, caplog):
    (tmp_path / CACHE / "in the way").mkdir(parents=True)  # also stops root, whom permissions do not
    found = read_labels(load_spec(tiny_dataset), "train")
    assert len(found.images) == 8
    assert f"{tmp_path / 'labels'}: cannot be written" in caplog.text and "read anew in every run" in caplog.text


def test_single_class(tiny_dataset):
    spec = load_spec(tiny_dataset)
    many = read_labels(spec, "train")
    one = read_labels(spec, "train", single_cls=True)
    assert {0.0, 1.0, 2.0} == {row[0] for rows in many.labels for row in rows}
    assert {0.0} == {row[0] for rows in one.labels for row in rows}
    np.testing.assert_array_equal(np.concatenate(one.labels)[:, 1:], np.concatenate(many.labels)[:, 1:])


def test_a_class_too_high_names_file_and_line(tiny_dataset, tmp_path):
    file = tmp_path / "labels/train/4.txt"
    file.write_text("0 0.5 0.5 0.1 0.1\n\n3.0 0.5 0.5 0.1 0.1\n")
    for _ in range(2):
        with pytest.raises(UserError) as error:
            read_labels(load_spec(tiny_dataset), "train")
        assert str(error.value).startswith(f"{file}, line 3: class 3 but {tiny_dataset} names only 3 classes (0 to 2)")
    assert len(read_labels(load_spec(tiny_dataset), "train", single_cls=True).images) == 8


def test_no_usable_image(tiny_dataset, tmp_path):
    for file in (tmp_path / "images/train").iterdir():
        file.write_bytes(b"<html></html>")
    with pytest.raises(UserError) as error:
        read_labels(load_spec(tiny_dataset), "train")
    for words in ("none of the 8 images", str(tmp_path / "images/train"), "0.jpg: is not an image"):
        assert words in str(error.value)


def test_folders_lists_and_mixtures(tiny_dataset, tmp_path, monkeypatch):
    write_image(tmp_path / "images/train/deep/er.PNG", smooth_image(20, 30))
    write_image(tmp_path / "images/train/.hidden.jpg", smooth_image(20, 30))
    (tmp_path / "images/train/notes.txt").write_text("no image")
    (tmp_path / "list.txt").write_text(
        f"./images/val/0.jpg\n\n images/val/1.jpg \n{tmp_path / 'images/val/2.jpg'}\nbeside.jpg\n./images/val/0.jpg\n"
    )
    elsewhere = tmp_path / "elsewhere"
    write_image(elsewhere / "beside.jpg", smooth_image(20, 30))
    monkeypatch.chdir(elsewhere)
    found = list_images(change(tiny_dataset, train=["images/train", "list.txt"]), "train")
    assert [path.name for path in found[8:]] == ["er.PNG", "0.jpg", "1.jpg", "2.jpg", "beside.jpg"]
    assert found[-1] == elsewhere / "beside.jpg"


def test_a_list_has_its_own_cache_and_missing_images_are_skipped(tiny_dataset, tmp_path, caplog):
    (tmp_path / "mine.txt").write_text("./images/train/0.jpg\n./images/train/gone.jpg\n")
    found = read_labels(change(tiny_dataset, train="mine.txt"), "train")
    assert len(found.images) == 1
    assert (tmp_path / "mine.cache").is_file() and not (tmp_path / CACHE).exists()
    assert "gone.jpg: skipped: no such file" in (tmp_path / "mine.problems.txt").read_text()
    both = read_labels(change(tiny_dataset, train=["images/train", "images/val"]), "train")
    assert len(both.images) == 12 and not (tmp_path / CACHE).exists()


def test_paths_that_are_nothing(tiny_dataset, tmp_path):
    with pytest.raises(UserError, match="tiny.yaml: 'train:' names .*gone, not a folder nor a .txt list"):
        read_labels(change(tiny_dataset, train="gone"), "train")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(UserError, match="list.txt: is not a UTF-8 text file"):
        read_labels(change(tiny_dataset, train="list.txt"), "train")


def test_odd_images_and_names_are_used(tmp_path):
    root = tmp_path / "наши данные"
    spec = load_spec(write_dataset(root, train=1))
    folder = root / "images/train"
    write_image(folder / "thin.png", smooth_image(1, 1000))
    write_image(folder / "grau größe.png", smooth_image(30, 40)[..., 0])
    write_image(folder / "deep.png", smooth_image(30, 40).astype(np.uint16) * 256)
    write_image(folder / "clear.png", cv2.cvtColor(smooth_image(30, 40), cv2.COLOR_BGR2BGRA))
    found = read_labels(spec, "train")
    shapes = {path.name: shape for path, shape in zip(found.images, found.shapes.tolist())}
    assert len(shapes) == 5 and shapes["thin.png"] == [1, 1000] and shapes["grau größe.png"] == [30, 40]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_followed_but_not_in_circles(tiny_dataset, tmp_path):
    (tmp_path / "more").mkdir()
    write_image(tmp_path / "more/extra.jpg", smooth_image(40, 40))
    (tmp_path / "images/train/more").symlink_to(tmp_path / "more")
    for name, target in (("here", "."), ("above", ".."), ("root", "/")):
        (tmp_path / "images/train" / name).symlink_to(target)
    found = list_images(load_spec(tiny_dataset), "train")
    assert [path.name for path in found] == [*(f"{number}.jpg" for number in range(8)), "extra.jpg"]


def write_regions(root, **files):
    (root / "ignored/train").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / f"ignored/train/{name.strip('_')}.txt").write_text(text)


def test_no_ignored_regions(tiny_dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert read_labels(load_spec(tiny_dataset), "train").regions is None
    write_regions(tmp_path, _0="")
    assert read_labels(load_spec(tiny_dataset), "train").regions is None
    assert caplog.messages == ["train: 8 images, 24 boxes, 0 empty, 0 without a label file"] * 2


def test_ignored_regions_are_read_counted_and_switched_off(tiny_dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    write_regions(tmp_path, _0="0.5 0.5 1 1\n0.25 0.25 0.1 0.1\n", _3="0.5 0.5 0.5 0.5", _5="")
    for ignore in (None, True):
        found = read_labels(change(tiny_dataset, ignore=ignore), "train")
        assert [len(rows) for rows in found.regions] == [2, 0, 0, 1, 0, 0, 0, 0]
        assert found.regions[0].tolist() == [[0.5, 0.5, 1, 1], [0.25, 0.25, 0.1, 0.1]]
        assert found.regions[0].dtype == np.float64 and found.regions[1].shape == (0, 4)
    assert read_labels(load_spec(tiny_dataset), "val").regions is None
    off = read_labels(change(tiny_dataset, ignore=False), "train")
    assert off.regions is None and len(off.images) == 8
    start = "train: 8 images, 24 boxes, 0 empty, 0 without a label file"
    assert caplog.messages[:2] == [f"{start}, 3 ignored regions in 2 images"] * 2
    assert caplog.messages[3] == f"{start}, 3 ignored regions in 2 images that 'ignore: false' leaves unused"


def test_bad_regions_are_counted_and_listed_with_file_and_line(tiny_dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    write_regions(tmp_path, _0="0.5 0.5 0.1 0.1\n\na b c d\n0.5 0.5 0.1\nnan 0 0 0\n3 4 5 6\n0.95 0.5 0.2 0.2\n")
    write_regions(tmp_path, gone="0.5 0.5 0.1 0.1\n")
    (tmp_path / "ignored/train/1.txt").write_bytes(b"\x80\x81")
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        found = read_labels(load_spec(tiny_dataset), "train")
        assert len(found.images) == 8 and [len(rows) for rows in found.regions] == [2, *[0] * 7]
        assert caplog.messages == [
            "train: 8 images, 24 boxes, 0 empty, 0 without a label file, 2 ignored regions in 1 images, 1 files of "
            f"regions without an image, 5 bad regions dropped, 1 regions clipped (listed in {tmp_path / PROBLEMS})"
        ]
    lines = (tmp_path / PROBLEMS).read_text().splitlines()
    file = tmp_path / "ignored/train/0.txt"
    assert lines[0] == f"{file}, line 3: region dropped: holds something that is no number: 'a b c d'"
    assert [line.split(":")[0] for line in lines[1:5]] == [f"{file}, line {number}" for number in (4, 5, 6, 7)]
    assert lines[5].endswith("the file of ignored regions 1.txt is not text") and "images/train/1.jpg" in lines[5]
    assert lines[6] == f"{tmp_path / 'ignored/train/gone.txt'}: region file: has no image"
    (tmp_path / "ignored/train/gone.txt").unlink()
    read_labels(load_spec(tiny_dataset), "train")
    assert len((tmp_path / PROBLEMS).read_text().splitlines()) == 6


def test_the_cache_notices_side_files_that_change_come_and_go(tiny_dataset, tmp_path, monkeypatch):
    write_regions(tmp_path, _0="0.5 0.5 0.1 0.1\n", _1="0.5 0.5 0.1 0.1\n", _2="0.5 0.5 0.1 0.1\n")
    seen = examined(monkeypatch)
    spec = load_spec(tiny_dataset)
    first = read_labels(spec, "train")
    seen.clear()
    again = read_labels(spec, "train")
    assert seen == []
    np.testing.assert_array_equal(np.concatenate(again.regions), np.concatenate(first.regions))
    write_regions(tmp_path, _0="0.5 0.5 0.25 0.1\n", _7="0.5 0.5 1 1\n")
    (tmp_path / "ignored/train/2.txt").unlink()
    found = read_labels(spec, "train")
    assert sorted(seen) == ["0.jpg", "2.jpg", "7.jpg"]
    assert [len(rows) for rows in found.regions] == [1, 1, 0, 0, 0, 0, 0, 1] and found.regions[0][0, 2] == 0.25
    seen.clear()
    read_labels(change(tiny_dataset, ignore=False), "train")
    assert seen == []  # the switch costs no reading
    (tmp_path / "ignored/train").rename(tmp_path / "ignored/away")
    assert read_labels(spec, "train").regions is None
