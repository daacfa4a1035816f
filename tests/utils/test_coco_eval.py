import contextlib
import io

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from utils import coco_eval

SIZES = (5, 16, 31, 32, 64, 65, 96, 200)


def content(rows, images=3):
    entries = [{"id": i, "iscrowd": 0, **row, "area": row["bbox"][2] * row["bbox"][3]} for i, row in enumerate(rows, 1)]
    categories = [{"id": kind} for kind in (1, 2)]
    return {"images": [{"id": i} for i in range(images)], "annotations": entries, "categories": categories}


def crowded(seed):
    """Objects and detections in whole numbers, so that overlaps and scores are often equal; some objects are crowds."""
    rng = np.random.default_rng(seed)
    objects, found = [], []
    for _ in range(60):
        kind, image, size = int(rng.integers(1, 3)), int(rng.integers(0, 3)), int(rng.choice(SIZES))
        box = [*rng.integers(0, 40, 2).tolist(), size, size]
        objects.append({"image_id": image, "category_id": kind, "bbox": box, "iscrowd": int(rng.random() < 0.1)})
        for _ in range(int(rng.integers(0, 4))):
            moved = [box[0] + int(rng.integers(-2, 3)), box[1] + int(rng.integers(-2, 3)), size, size]
            score = float(rng.integers(1, 9)) / 10
            found.append({"image_id": image, "category_id": kind, "bbox": moved, "score": score})
    return content(objects), found


def reference(truth, found, ranges, limits):
    """The same by pycocotools alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        results = coco_eval._index({**truth, "annotations": content(found)["annotations"]})
        evaluation = COCOeval(coco_eval._index(truth), results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [list(r) for r in ranges.values()], list(ranges)
        evaluation.params.maxDets = list(limits)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


@pytest.mark.parametrize("seed", range(5))
def test_the_curves_are_pycocotools_own_bit_for_bit(seed):
    truth, found = crowded(seed)
    ranges = coco_eval.COCO_AREAS | coco_eval.SIDES
    expected = reference(truth, found, ranges, (1, 3, 10))
    with contextlib.redirect_stdout(io.StringIO()):
        results = coco_eval._index({**truth, "annotations": content(found)["annotations"]})
        mine = coco_eval.BoxEvaluation(coco_eval._index(truth), results)
        mine.params = expected.params
        mine.evaluate()
        mine.accumulate()
    for key in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(mine.eval[key], expected.eval[key])
    assert mine.eval["precision"].max() > 0.3


def test_the_twelve_numbers_are_pycocotools_summary(capsys):
    truth, found = crowded(9)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = reference(truth, found, coco_eval.COCO_AREAS, (1, 10, 100))
        expected.summarize()
    figures = coco_eval.evaluate(truth, found, [0, 1, 2])
    assert list(figures["limits"][100].values()) == pytest.approx(expected.stats.tolist(), abs=1e-12)
    assert list(figures["limits"][500])[6:9] == ["AR_1", "AR_10", "AR_500"] and capsys.readouterr().out == ""


def test_nothing_to_score():
    figures = coco_eval.evaluate(content([]), [], [0])
    assert set(figures["limits"][500].values()) == {-1}
    assert {row["objects"] for row in figures["sizes"].values()} == {0}
    assert set(coco_eval.evaluate(content([]), [], [])["limits"][100].values()) == {-1}


def test_more_than_a_hundred_detections_count_at_five_hundred():
    boxes = [[20 * (i % 20), 20 * (i // 20), 10, 10] for i in range(200)]
    objects = [{"image_id": 0, "category_id": 1, "bbox": box} for box in boxes]
    figures = coco_eval.evaluate(content(objects), [{**row, "score": 0.5} for row in objects], [0])
    assert figures["limits"][100]["AR_100"] == 0.5 and figures["limits"][500]["AR_500"] == 1


def test_every_object_is_of_one_size():
    objects = [{"image_id": 0, "category_id": 1, "bbox": [300 * i, 0, size, size]} for i, size in enumerate(SIZES)]
    right = [{**row, "score": 0.9} for row in objects if row["bbox"][2] >= 64]
    stray = {"image_id": 0, "category_id": 1, "bbox": [0, 500, 20, 20], "score": 1.0}
    sizes = coco_eval.evaluate(content(objects), [*right, stray], [0])["sizes"]
    assert [row["objects"] for row in sizes.values()] == [1, 2, 2, 3]  # 5; 16, 31; 32, 64; 65, 96, 200
    assert [row["AR"] for row in sizes.values()] == [0, 0, 0.5, 1]
    assert sizes["> 64 px"]["AP"] == pytest.approx(1)  # neither 64 x 64 nor the stray one counts there
