import pytest

from benchmarks.score import Options, coco_form, make_images, measure
from utils import visdrone


def test_both_score_the_same_boxes():
    options = Options(images=3, detections=40, objects=10, regions=1)
    images = make_images(options)
    assert [image["results"].shape for image in images] == [(40, 8)] * 3
    assert all(visdrone.is_sorted(image["results"]) for image in images)
    truth, found = coco_form(images)
    assert len(truth.anns) == 30 and len(found.anns) == 120
    assert visdrone.evaluate(images)["AP50"] > 10


def test_the_ratio_is_ours_over_theirs():
    figures = measure(Options(images=2, detections=30, objects=10, regions=1))
    assert figures["ratio"] == pytest.approx(figures["visdrone_s"] / figures["pycocotools_s"])
