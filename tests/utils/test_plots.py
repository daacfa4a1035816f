import warnings

import cv2
import numpy as np
import pytest
import torch

from utils.errors import UserError
from utils.metrics import DetectionMetrics
from utils.plot_batches import save_mosaic, save_targets, target_rows, write_image
from utils.plot_labels import overlay, plot_labels
from utils.plots import plot_confusion, plot_curves, plot_results
from utils.report import results_text

NAMES = {0: "car", 1: "costs $5 $", 2: "車"}
CURVES = ["F1_curve.png", "PR_curve.png", "P_curve.png", "R_curve.png"]


def scores(names=NAMES):
    metrics = DetectionMetrics(names)
    box = np.array([[0, 0, 10, 10.0]])
    for kind in names:
        for conf, shift in ((0.9, 0), (0.4, 40)):
            metrics.update(np.column_stack((box + shift, [[conf]], [[kind]])), np.column_stack(([[kind]], box)))
    return metrics.compute()


def picture(path):
    image = cv2.imread(str(path))
    assert image is not None and image.std() > 1, path
    return image


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_diagrams_of_nothing(tmp_path):
    nothing = DetectionMetrics(NAMES).compute()
    plot_curves(nothing, tmp_path)
    plot_confusion(nothing.confusion, NAMES, tmp_path / "confusion_matrix.png")
    plot_labels(np.empty((0, 5)), NAMES, tmp_path)
    assert files(tmp_path) == [*CURVES, "confusion_matrix.png", "labels.jpg", "labels_correlogram.jpg"]


def test_curves_and_confusion_with_awkward_names(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sorted(path.name for path in plot_curves(scores(), tmp_path)) == CURVES
        plot_confusion(scores().confusion, NAMES, tmp_path / "confusion_matrix.png")
    for name in [*CURVES, "confusion_matrix.png"]:
        picture(tmp_path / name)


def test_many_classes_get_no_legend(tmp_path):
    names = {i: f"class {i}" for i in range(35)}
    plot_curves(scores(names), tmp_path)
    plot_confusion(scores(names).confusion, names, tmp_path / "confusion_matrix.png")
    assert picture(tmp_path / "confusion_matrix.png").shape[0] > 1500


def test_labels(tmp_path):
    labels = np.column_stack((np.arange(60) % 3, np.random.RandomState(0).rand(60, 4)))
    plot_labels(labels, NAMES, tmp_path)
    for name in ("labels.jpg", "labels_correlogram.jpg"):
        picture(tmp_path / name)
    assert (overlay(np.empty((0, 5))) == 255).all() and (overlay(labels) < 255).any()


def test_results(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text(results_text([[epoch, *np.linspace(1, 2, 13)] for epoch in range(3)]))
    assert plot_results(file) == tmp_path / "results.png"
    picture(tmp_path / "results.png")
    file.write_text("epoch, loss\n0, 1\n")
    with pytest.raises(UserError, match="results.csv: has no column 'train/box_loss'"):
        plot_results(file)


def test_targets_become_rows_in_pixels():
    targets = torch.tensor([[1, 2, 0.5, 0.5, 0.5, 1.0]])
    nothing, rows = target_rows(targets, 2, height=100, width=200)
    assert nothing.shape == (0, 6)
    np.testing.assert_array_equal(rows, [[50, 0, 150, 100, np.nan, 2]])


def test_mosaic_shows_every_picture_with_its_boxes(tmp_path):
    images = torch.zeros(3, 3, 64, 96, dtype=torch.uint8)
    images[0, 0] = 200  # red, in RGB
    rows = [np.empty((0, 6)), np.array([[20, 20, 80, 60, 0.9, 0], [60, 30, 90, 50, 0.1, 1]]), np.empty((0, 6))]
    save_mosaic(tmp_path / "m.png", images, rows, ["a.jpg", "b.jpg", "ü.jpg"], NAMES)
    mosaic = picture(tmp_path / "m.png")
    assert mosaic.shape == (128, 192, 3)
    assert mosaic[40, 48].tolist() == [0, 0, 200]  # first tile, in BGR
    assert mosaic[40, 96 + 20].any()  # the sure box's left edge
    assert not mosaic[35:45, 96 + 88 : 96 + 92].any()  # not the unsure one's right edge
    assert (mosaic[100, 150] == 255).all()  # an empty place


def test_ignored_regions_are_grey_outlines(tmp_path):
    images = torch.zeros(2, 3, 100, 200, dtype=torch.uint8)
    regions = torch.tensor([[1, 0.25, 0.5, 0.5, 0.3, 0.75, 0.5, 0.5, 0.8], [1, -3, -3, 3, -3, 3, 9, -3, 9]])
    save_targets(tmp_path / "r.png", images, torch.zeros(0, 6), ["", ""], NAMES, regions)
    first, second = np.split(picture(tmp_path / "r.png"), 2, axis=1)
    assert not first[30:80, 40:160].any()
    assert {*second[50, 48:53].max(1)} >= {160} and (second[50, 60:140] == 0).all()
    assert second[30, 100].tolist() == second[80, 100].tolist() == [160] * 3


def test_mosaic_of_many_large_pictures_is_kept_small(tmp_path):
    images = torch.randint(0, 255, (20, 3, 640, 320), dtype=torch.uint8)
    save_targets(tmp_path / "train_batch0.jpg", images, torch.zeros(0, 6), ["x"] * 20, NAMES)
    assert picture(tmp_path / "train_batch0.jpg").shape == (1920, 960, 3)


def test_pictures_are_written_under_any_name(tmp_path):
    write_image(tmp_path / "größe 車.png", np.full((4, 4, 3), 7, np.uint8))
    assert files(tmp_path) == ["größe 車.png"]
