"""The official VisDrone2019-DET score, as the MATLAB toolkit computes it.

Written from the rules of VisDrone/VisDrone2018-DET-toolkit and compared with its own figures. They are not COCO's: the
curve's whole area counts, the detection limit runs over all classes, ignore-flagged objects lower the reachable recall,
and classes weigh by the number of pictures that hold them. Where MATLAB and Octave may differ in the last bit of a
threshold (0.85), this follows Octave.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.visdrone_match import HIT, MISS, inside_ignored, match

THRESHOLDS = 0.5 + 0.05 * np.arange(10)
MAX_DETS = (1, 10, 100, 500)
CLASSES = range(1, 11)
REGION = 0  # the category of ignored regions
LARGEST = 1e9  # no picture has so many pixels; areas of larger boxes would soon overflow
COLUMNS = 6  # left, top, width, height, score, category; what follows is not read
FIGURES = ("AP", "AP50", "AP75", "AR1", "AR10", "AR100", "AR500")


@dataclass(frozen=True)
class _Picture:
    """What the filter leaves of one picture: rows of COLUMNS columns."""

    objects: np.ndarray
    detections: np.ndarray


def evaluate(images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Score a data set.

    images: mappings of name, height, width, annotations (n, 8) and results (m, 8): rows left, top, width, height,
    score, category, truncation, occlusion in the files' order (sorting them is the writer's business). Annotations:
    score 1 = scored, 0 = ignore-flagged; category 0 = ignored region, 1..10 = the classes, 11 = others.

    Returns AP, AP50, AP75, AR1, AR10, AR100, AR500 in percent, NaN where no class occurs; `plain`: the same as plain
    means over the classes that occur (not official); `per_class`: lists over the ten classes: category,
    AP [class][threshold] and AR [class][threshold][detection limit] in percent, images_with_class, n_scored,
    n_unscored and n_detections (all after the filter); `thresholds`, `max_dets` and `images`. Raises ValueError for
    rows of too few columns, numbers that are not finite or beyond 1e9, scores of objects other than 0 and 1, and names
    that repeat.
    """
    ordered = sorted(images, key=lambda image: image["name"])
    for first, second in zip(ordered, ordered[1:]):
        if first["name"] == second["name"]:
            raise ValueError(f"two images are named {first['name']!r}")
    pictures = [_picture(image) for image in ordered]
    rows = [_score_class(pictures, category) for category in CLASSES]
    per_class = {key: [row[key] for row in rows] for key in rows[0]}
    weights = np.array(per_class["images_with_class"], np.float64)
    return {
        **_means(per_class, weights),
        "plain": _means(per_class, np.minimum(weights, 1)),
        "per_class": per_class,
        "thresholds": THRESHOLDS.tolist(),
        "max_dets": list(MAX_DETS),
        "images": len(pictures),
    }


def keep(image: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the annotation rows and of the result rows of one image (see `evaluate`) that are no ignored
    region and do not lie at least half inside ignored regions."""
    annotations, results = (_rows(image, key) for key in ("annotations", "results"))
    is_region = annotations[:, 5] == REGION
    place = annotations[is_region, :4], int(image["height"]), int(image["width"])
    objects = np.flatnonzero(~is_region)
    return (
        objects[~inside_ignored(annotations[objects, :4], *place)],
        np.flatnonzero(~inside_ignored(results[:, :4], *place)),
    )


def class_figures(per_class: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The seven figures of each class (10,), in percent, from `per_class` of `evaluate`."""
    ap, ar = np.array(per_class["AP"]), np.array(per_class["AR"]).mean(1)
    return {"AP": ap.mean(1), "AP50": ap[:, 0], "AP75": ap[:, 5]} | {f"AR{m}": ar[:, i] for i, m in enumerate(MAX_DETS)}


def is_sorted(results: np.ndarray) -> bool:
    """Whether the (n, 8) rows come by falling score, as the detection limit takes for granted."""
    return bool((np.diff(np.asarray(results, np.float64).reshape(-1, 8)[:, 4]) <= 0).all())


def _picture(image: Mapping[str, Any]) -> _Picture:
    objects, detections = keep(image)
    annotations = _rows(image, "annotations")[objects]
    wrong = np.isin(annotations[:, 5], CLASSES) & ~np.isin(annotations[:, 4], (0, 1))
    if wrong.any():
        raise ValueError(f"{image['name']}: an object's score is {annotations[wrong][0, 4]:g}, not 0 or 1")
    return _Picture(annotations, _rows(image, "results")[detections])


def _rows(image: Mapping[str, Any], key: str) -> np.ndarray:
    rows = np.asarray(image[key], np.float64)
    if not rows.size:
        return np.empty((0, COLUMNS))
    if rows.ndim != 2 or rows.shape[1] < COLUMNS:
        raise ValueError(f"{image['name']}: {key} have the shape {rows.shape}, not (n, 8)")
    if not (np.abs(rows[:, :COLUMNS]) <= LARGEST).all():  # NaN is not either
        raise ValueError(f"{image['name']}: {key} hold a number that is not finite or beyond {LARGEST:g}")
    return rows[:, :COLUMNS]


def _score_class(pictures: Sequence[_Picture], category: int) -> dict[str, Any]:
    """One class over all pictures, as `evaluate` documents it."""
    scores, outcomes = [np.empty(0)], [np.empty((0, len(THRESHOLDS)), np.int8)]
    hits = np.zeros((len(THRESHOLDS), len(MAX_DETS)))
    scored = unscored = holding = found = 0
    for picture in pictures:
        objects = picture.objects[picture.objects[:, 5] == category]
        real, flagged = objects[objects[:, 4] == 1], objects[objects[:, 4] == 0]
        places = np.flatnonzero(picture.detections[:, 5] == category)
        scored, unscored, holding = scored + len(real), unscored + len(flagged), holding + bool(len(objects))
        found += len(places)
        picture_scores, outcome, picture_hits = _match_limits(picture.detections[places], places, real, flagged)
        scores.append(picture_scores)
        outcomes.append(outcome)
        hits += picture_hits
    count = scored + unscored
    return {
        "category": category,
        "AP": (100 * _area(np.concatenate(scores), np.concatenate(outcomes), count)).tolist(),
        "AR": (100 * (hits / max(1, count))).tolist(),
        "images_with_class": holding,
        "n_scored": scored,
        "n_unscored": unscored,
        "n_detections": found,
    }


def _match_limits(
    detections: np.ndarray, places: np.ndarray, real: np.ndarray, flagged: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Match one class in one picture. places: the detections' rows among all classes' rows, which the limits count.

    Returns the scores (n,) and outcomes (n, thresholds) at the largest limit by falling score, and the hits
    (thresholds, limits).
    """
    within = places < MAX_DETS[-1]
    detections, places = detections[within], places[within]
    order = np.argsort(-detections[:, 4], kind="stable")
    ranked, ranks = detections[order], places[order]
    outcome = match(ranked, real, flagged, THRESHOLDS)
    hits = np.empty((len(THRESHOLDS), len(MAX_DETS)))
    for i, limit in enumerate(MAX_DETS):
        allowed = ranks < limit
        count = int(allowed.sum())
        # Matching is greedy: if the allowed rows are the best ones, the others cannot have changed what became of them.
        limited = outcome[:count] if allowed[:count].all() else match(ranked[allowed], real, flagged, THRESHOLDS)
        hits[:, i] = (limited == HIT).sum(0)
    return ranked[:, 4], outcome, hits


def _area(scores: np.ndarray, outcome: np.ndarray, count: int) -> np.ndarray:
    """(thresholds,) area under precision over recall in 0..1, of a class with `count` objects."""
    if not len(scores):
        return np.zeros(len(THRESHOLDS))
    outcome = outcome[np.argsort(-scores, kind="stable")]
    right, wrong = (outcome == HIT).cumsum(0), (outcome == MISS).cumsum(0)
    precision = right / np.maximum(1, right + wrong)
    height = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(right / max(1, count), axis=0, prepend=0)
    return (steps * height).sum(0)


def _means(per_class: Mapping[str, Any], weights: np.ndarray) -> dict[str, float]:
    if not weights.sum():
        return dict.fromkeys(FIGURES, float("nan"))
    return {key: float(weights @ values / weights.sum()) for key, values in class_figures(per_class).items()}
