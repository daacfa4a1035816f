"""Predictions and labels in COCO's JSON format (scored by `utils.coco_eval`)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.boxes import box_area
from utils.errors import UserError
from utils.files import write_text

ImageId = int | str


def image_ids(paths: Sequence[Path]) -> list[ImageId]:
    """An id per picture: the file stem as a number where every stem is one (COCO's way), else the stem, else (where
    stems repeat) the whole path."""
    stems = [path.stem for path in paths]
    if all(stem.isascii() and stem.isdigit() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    return list(stems) if len(set(stems)) == len(stems) else [path.as_posix() for path in paths]


def prediction_entries(image_id: ImageId, rows: np.ndarray, categories: Sequence[int]) -> list[dict]:
    """One picture's (n, 6) rows x1, y1, x2, y2, confidence, class in original pixels as COCO results: bbox is left,
    top, width, height; `categories[class]` the category id. Rounded as in stock: 3 decimals, scores 5."""
    rows = np.asarray(rows, dtype=np.float64)
    boxes = np.concatenate((rows[:, :2], rows[:, 2:4] - rows[:, :2]), 1).round(3).tolist()
    return [
        {"image_id": image_id, "category_id": categories[int(kind)], "bbox": box, "score": score}
        for box, score, kind in zip(boxes, rows[:, 4].round(5).tolist(), rows[:, 5])
    ]


def make_annotations(
    ids: Sequence[ImageId],
    paths: Sequence[Path],
    shapes: Sequence[tuple[int, int]],
    labels: Sequence[np.ndarray],
    names: Mapping[int, str],
) -> dict:
    """A COCO annotation file's content made from labels: per picture its id, file, (height, width) and (n, 5) rows
    class, x1, y1, x2, y2 in original pixels. Category ids are the class numbers."""
    images = [
        {"id": image_id, "file_name": path.name, "height": int(height), "width": int(width)}
        for image_id, path, (height, width) in zip(ids, paths, shapes)
    ]
    annotations: list[dict] = []
    for image_id, rows in zip(ids, labels):
        rows = np.asarray(rows, dtype=np.float64)
        boxes = np.concatenate((rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]), 1).tolist()
        for kind, box, area in zip(rows[:, 0].astype(int).tolist(), boxes, box_area(rows[:, 1:5]).tolist()):
            entry = {"image_id": image_id, "category_id": kind, "bbox": box, "area": area, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **entry})
    categories = [{"id": number, "name": name} for number, name in names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def category_ids(content: dict, names: Mapping[int, str], path: Path) -> list[int]:
    """The category id of each of our classes: by name where all names are known, else by the order of the ids (so
    class 79 of COCO becomes 90)."""
    by_name = {category.get("name"): category["id"] for category in content["categories"]}
    if all(name in by_name for name in names.values()):
        return [by_name[names[number]] for number in sorted(names)]
    if len(by_name) != len(names):
        raise UserError(
            f"{path}: has {len(by_name)} categories, but the data YAML names {len(names)} classes; name them alike"
        )
    return sorted(by_name.values())


def ids_by_file(content: dict, paths: Sequence[Path]) -> list[ImageId | None]:
    """The id that an annotation file gives each picture, found by file name, else by the number in it; None = it
    does not list the picture."""
    known = {Path(image["file_name"]).name: image["id"] for image in content["images"] if "file_name" in image}
    numbers = {image["id"] for image in content["images"]}
    by_stem = (int(path.stem) if path.stem.isascii() and path.stem.isdigit() else None for path in paths)
    return [known.get(path.name, stem if stem in numbers else None) for path, stem in zip(paths, by_stem)]


def write_json(path: Path, content: Any) -> None:
    """Write compact JSON, whole or not at all."""
    write_text(path, json.dumps(content, allow_nan=False))
