"""Reading COCO's files, annotations and results, that others wrote: what cannot be scored is named."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.errors import LOG, UserError, describe_os_error

INSTANCES = "an instances_*.json of COCO"
LARGEST = 1e18  # boxes beyond it are none: their areas would soon overflow


def read_instances(path: Path) -> dict:
    """Load the JSON and check that it is one of COCO's instances files; its entries are not looked at."""
    content = _load(path, INSTANCES)
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UserError(f"{path}: has no list '{key}'; {INSTANCES} is expected")
    return content


def read_annotations(path: Path) -> dict:
    """A COCO annotation file's content, fit to be scored. Fields that the scorer needs and some writers leave out are
    filled in (iscrowd 0, area of the box), and the annotations numbered from 1: the scorer takes id 0 for "no match".
    Annotations without a box, or of no listed image or category, are counted in one line and left out; `UserError`
    names the entry, counted from 1, that is broken."""
    content = read_instances(path)
    images, categories = _ids(path, content, "images", "file_name"), _ids(path, content, "categories", "name")
    annotations = []
    for number, entry in enumerate(content["annotations"], 1):
        if isinstance(entry, dict) and "bbox" not in entry:
            continue
        if trouble := _trouble(entry):
            raise UserError(f"{path}, annotation {number}: {trouble}; correct or remove it")
        if entry["image_id"] in images and entry["category_id"] in categories:
            area = entry["bbox"][2] * entry["bbox"][3]
            annotations.append({"iscrowd": 0, "area": area, **entry, "id": len(annotations) + 1})
    if left_out := len(content["annotations"]) - len(annotations):
        reason = "have no box or are of no listed image or category; they are left out"
        LOG.warning("%s: %d of %d annotations %s", path, left_out, len(content["annotations"]), reason)
    return {**content, "annotations": annotations}


def read_results(path: Path, images: Sequence[Any], categories: Sequence[Any]) -> list[dict[str, Any]]:
    """The entries image_id, category_id, bbox, score of a COCO result file whose image is among `images` (ids).

    Entries of other images are counted in one line and left out. `UserError` names the entry, counted from 1, that
    cannot be scored.
    """
    content = _load(path, "a COCO result file")
    if not isinstance(content, list):
        raise UserError(f"{path}: holds a {type(content).__name__}; a list of results is expected")
    known_images, known_categories, results = set(images), set(categories), []
    for number, entry in enumerate(content, 1):
        trouble = _trouble(entry, "score")
        if not trouble and entry["category_id"] not in known_categories:
            trouble = f"category_id {entry['category_id']!r} is unknown"
        if trouble:
            raise UserError(f"{path}, entry {number}: {trouble}; correct or remove it")
        if entry["image_id"] in known_images:
            results.append({key: entry[key] for key in ("image_id", "category_id", "bbox", "score")})
    if left_out := len(content) - len(results):
        LOG.warning("%s: %d of %d results are of unknown images and left out", path, left_out, len(content))
    return results


def _load(path: Path, what: str) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{describe_os_error(error)}; {what} is expected") from None
    except (ValueError, RecursionError) as error:  # also undecodable bytes
        raise UserError(f"{path}: is not valid JSON ({error}); {what} is expected") from None


def _ids(path: Path, content: dict, table: str, label: str) -> set[int | str]:
    """The ids of all images or categories; `label` is the key of their names, which are asked for elsewhere."""
    for number, entry in enumerate(content[table], 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), int | str):
            raise UserError(f"{path}, {table} {number}: has no 'id' that is a number or a text; fetch the file again")
        if not isinstance(entry.get(label, ""), str):
            raise UserError(f"{path}, {table} {number}: its {label!r} is no text; fetch the file again")
    ids = {entry["id"] for entry in content[table]}
    if len({isinstance(one, str) for one in ids}) > 1:
        raise UserError(f"{path}: some ids of '{table}' are numbers, others texts; make them alike")
    return ids


def _trouble(entry: Any, *more: str) -> str:
    """What is wrong with an annotation or a result, which has `more` keys; empty for a good one."""
    if not isinstance(entry, dict):
        return f"is a {type(entry).__name__}, not an object"
    if missing := [key for key in ("image_id", "category_id", "bbox", *more) if key not in entry]:
        return f"has no {missing[0]!r}"
    box = entry["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f"'bbox' is {str(box)[:60]}, not left, top, width, height"
    for key in ("score", "area"):
        if key in entry and not _is_number(entry[key]):
            return f"{key!r} is {str(entry[key])[:60]}, not a number"
    wrong = [key for key in ("image_id", "category_id") if not isinstance(entry[key], int | str)]
    return f"{wrong[0]!r} is {str(entry[wrong[0]])[:60]}, not an id" if wrong else ""


def _is_number(value: Any) -> bool:
    """Whether it is one that can be reckoned with: false for NaN and for integers that no float holds, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
