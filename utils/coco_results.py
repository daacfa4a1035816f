"""Reading COCO result files that others wrote."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.errors import LOG, UserError, describe_os_error


def read_results(path: Path, images: Sequence[Any], categories: Sequence[Any]) -> list[dict[str, Any]]:
    """The entries image_id, category_id, bbox, score of a COCO result file whose image is among `images` (ids).

    Entries of other images are counted in one line and left out. `UserError` names the entry, counted from 1, that
    cannot be scored.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{describe_os_error(error)}; a COCO result file is expected") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not valid JSON ({error}); a COCO result file is expected") from None
    if not isinstance(content, list):
        raise UserError(f"{path}: holds a {type(content).__name__}; a list of results is expected")
    known_images, known_categories, results = set(images), set(categories), []
    for number, entry in enumerate(content, 1):
        if trouble := _trouble(entry, known_categories):
            raise UserError(f"{path}, entry {number}: {trouble}; correct or remove it")
        if entry["image_id"] in known_images:
            results.append({key: entry[key] for key in ("image_id", "category_id", "bbox", "score")})
    if left_out := len(content) - len(results):
        LOG.warning("%s: %d of %d results are of unknown images and left out", path, left_out, len(content))
    return results


def _trouble(entry: Any, categories: set) -> str:
    """What is wrong with an entry, empty for a good one."""
    if not isinstance(entry, dict):
        return f"is a {type(entry).__name__}, not an object"
    if missing := [key for key in ("image_id", "category_id", "bbox", "score") if key not in entry]:
        return f"has no {missing[0]!r}"
    box = entry["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f"'bbox' is {str(box)[:60]}, not left, top, width, height"
    if not _is_number(entry["score"]):
        return f"'score' is {str(entry['score'])[:60]}, not a number"
    for key in ("image_id", "category_id"):
        if not isinstance(entry[key], int | str):
            return f"{key!r} is {str(entry[key])[:60]}, not an id"
    return "" if entry["category_id"] in categories else f"category_id {entry['category_id']!r} is unknown"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
