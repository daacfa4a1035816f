"""COCO's evaluation of boxes by pycocotools, at several detection limits and for further object sizes, in one pass."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

LIMITS = (1, 10, 100, 500)  # most detections per picture and class
REPORTED = (100, 500)
COCO_AREAS = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
# By the square root of the area, as is usual for VisDrone; unlike COCO's, the ranges do not overlap.
SIDES = {
    "< 16 px": (0, np.nextafter(16**2, 0)),
    "16-32 px": (16**2, np.nextafter(32**2, 0)),
    "32-64 px": (32**2, 64**2),
    "> 64 px": (np.nextafter(64**2, 1e10), 1e10),
}


class BoxEvaluation(COCOeval):
    """pycocotools' evaluation of boxes with its innermost loops (over thresholds, area ranges and objects) in numpy:
    what `accumulate` makes of it is the same, bit for bit, in a fraction of the time."""

    def __init__(self, truth: COCO, found: COCO) -> None:
        super().__init__(truth, found, "bbox")
        self._open: dict[tuple, list[dict | None]] = {}

    def evaluateImg(self, imgId: Any, catId: Any, aRng: Sequence[float], maxDet: int) -> dict | None:  # noqa: N802, N803
        """The entry of one picture, class and area range (pycocotools asks range by range)."""
        key = imgId, catId
        if key not in self._open:
            self._open[key] = self._match(imgId, catId, maxDet)
        number = self.params.areaRng.index(aRng)
        entries = self._open[key]
        if number + 1 == len(self.params.areaRng):
            del self._open[key]
        return entries[number]

    def _match(self, image: Any, category: Any, limit: int) -> list[dict | None]:
        """The entries of one picture and class for every area range."""
        objects, detections = self._gts[image, category], self._dts[image, category]
        areas = np.array(self.params.areaRng)
        if not objects and not detections:
            return [None] * len(areas)
        scores = np.array([entry["score"] for entry in detections])
        order = np.argsort(-scores, kind="stable")[:limit]
        crowd = np.array([bool(entry["iscrowd"]) for entry in objects], bool)
        ignored = _outside(objects, areas) | crowd
        shape = len(areas), len(self.params.iouThrs), len(order)
        hit, on_ignored = np.zeros(shape, bool), np.zeros(shape, bool)
        if len(order) and objects:
            overlap = np.asarray(self.ious[image, category])
            _claim(overlap, np.minimum(self.params.iouThrs, 1 - 1e-10), crowd, ignored, (hit, on_ignored))
        outside = _outside([detections[i] for i in order], areas)
        left_out = on_ignored | (~hit & outside[:, None])
        return [
            {"dtScores": scores[order], "dtMatches": hits, "dtIgnore": out, "gtIgnore": flags}
            for hits, out, flags in zip(hit, left_out, ignored)
        ]


def _outside(entries: Sequence[Mapping[str, Any]], areas: np.ndarray) -> np.ndarray:
    """(area ranges, entries): whose area is not in the range."""
    area = np.array([entry["area"] for entry in entries], np.float64)
    return (area < areas[:, :1]) | (area > areas[:, 1:])


def _claim(
    overlap: np.ndarray,
    thresholds: np.ndarray,
    crowd: np.ndarray,
    ignored: np.ndarray,
    results: tuple[np.ndarray, np.ndarray],
) -> None:
    """COCO's greedy matching for all area ranges and thresholds at once.

    overlap (detections by falling score, objects); crowd (objects,); ignored (ranges, objects). Writes into `results`,
    both (ranges, thresholds, detections): whether a detection took an object, and whether that one is ignored. Each
    takes the free object that it overlaps most, of equal ones the last, an ignored one only where it has no other;
    crowds are never used up.
    """
    hit, on_ignored = results
    free = np.ones((*hit.shape[:2], len(crowd)), bool)
    reaching = overlap >= thresholds.min()
    for row in np.flatnonzero(reaching.any(1)).tolist():
        near = np.flatnonzero(reaching[row])[::-1]  # so that the first of equal ones is the last in order
        values = overlap[row, near]
        can = free[:, :, near] & (values >= thresholds[:, None])
        for kind, out in ((~ignored, None), (ignored, on_ignored)):
            worth = np.where(can & kind[:, None, near], values, -1.0)
            choice = worth.argmax(2)
            taken = (np.take_along_axis(worth, choice[..., None], 2)[..., 0] >= 0) & ~hit[:, :, row]
            hit[:, :, row] |= taken
            if out is not None:
                out[:, :, row] = taken
            ranges, levels = np.nonzero(taken)
            picked = near[choice[ranges, levels]]
            free[ranges, levels, picked] = crowd[picked]


def evaluate(annotations: Mapping[str, Any], predictions: Sequence[dict], ids: Sequence[Any]) -> dict[str, Any]:
    """Score COCO results against a COCO annotation file's content over the pictures `ids`. Prints are swallowed.

    Returns `limits`: for 100 and 500 detections per picture and class COCO's twelve numbers by name in 0..1 (AP is over
    IoU .5:.05:.95; small < 32 x 32 <= medium < 96 x 96 <= large pixels of area), -1 where there is nothing to score;
    `sizes`: for each of SIDES the objects in it, and AP, AP50 and AR at 500 detections over them. For those, as COCO
    does it for its own sizes, objects of other sizes may be found without profit or loss, and detections of other sizes
    that find nothing are left out.
    """
    results: list[dict[str, Any]] = [
        {**entry, "id": number, "area": entry["bbox"][2] * entry["bbox"][3], "iscrowd": 0}
        for number, entry in enumerate(predictions, 1)
    ]
    ranges = COCO_AREAS | SIDES
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = _index(annotations), _index({**annotations, "annotations": results})
        evaluation = BoxEvaluation(truth, found)
        evaluation.params.imgIds = sorted(set(ids))
        evaluation.params.maxDets = list(LIMITS)
        evaluation.params.areaRng = [list(bounds) for bounds in ranges.values()]
        evaluation.params.areaRngLbl = list(ranges)
        evaluation.evaluate()
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    counts = _count_objects(evaluation)
    return {
        "limits": {limit: _twelve(precision, recall, LIMITS.index(limit)) for limit in REPORTED},
        "sizes": {
            name: {"objects": counts[name], **_figures(precision[..., place, -1], recall[..., place, -1])}
            for place, name in enumerate(ranges)
            if name in SIDES
        },
    }


def _twelve(precision: np.ndarray, recall: np.ndarray, last: int) -> dict[str, float]:
    """COCO's summary at detection limit number `last`; precision (T, R, K, A, M), recall (T, K, A, M)."""
    whole = precision[..., last]
    twelve = {"AP": _mean(whole[..., 0]), "AP50": _mean(whole[0, ..., 0]), "AP75": _mean(whole[5, ..., 0])}
    sizes = list(COCO_AREAS)[1:]
    twelve |= {f"AP_{size}": _mean(whole[..., place]) for place, size in enumerate(sizes, 1)}
    twelve |= {f"AR_{LIMITS[number]}": _mean(recall[..., 0, number]) for number in (0, 1, last)}
    return twelve | {f"AR_{size}": _mean(recall[..., place, last]) for place, size in enumerate(sizes, 1)}


def _figures(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    return {"AP": _mean(precision), "AP50": _mean(precision[0]), "AR": _mean(recall)}


def _mean(values: np.ndarray) -> float:
    """Over the classes that have objects; -1 where none has."""
    there = values[values > -1]
    return float(there.mean()) if there.size else -1.0


def _count_objects(evaluation: BoxEvaluation) -> dict[str, int]:
    """Objects in each area range, crowds not counted."""
    pictures, ranges = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    counts = dict.fromkeys(evaluation.params.areaRngLbl, 0)
    for number, entry in enumerate(evaluation.evalImgs):  # ordered by class, range, picture
        if entry is not None:
            counts[evaluation.params.areaRngLbl[number // pictures % ranges]] += int((~entry["gtIgnore"]).sum())
    return counts


def _index(content: Mapping[str, Any]) -> COCO:
    coco = COCO()
    coco.dataset = dict(content)
    coco.createIndex()
    return coco
