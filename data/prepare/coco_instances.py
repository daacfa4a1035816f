"""COCO's instances JSON -> YOLO label rows per image. Pure: no images are opened, none is needed."""

import math
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

CROWD = "ignored regions (crowds)"
CLIPPED = "boxes clipped to their image"
NO_AREA = "annotations dropped: no width or no height"
OUTSIDE = "annotations dropped: outside the image"
UNUSABLE = "annotations dropped: no usable box"
UNKNOWN = "annotations dropped: unknown image or category"


@dataclass(frozen=True)
class Instances:
    """names: classes in the order of COCO's category ids; labels: rows (class, cx, cy, w, h) as shares of the image for
    every image file that the JSON lists; notes: (kind, 'annotation ID: what it is'); ignored: rows (cx, cy, w, h), the
    boxes of crowds, for the image files that have any."""

    names: tuple[str, ...]
    labels: dict[str, list[tuple]]
    notes: list[tuple[str, str]]
    ignored: dict[str, list[tuple]]


class _Trouble(Exception):
    """(kind, detail) of an annotation that does not become a label."""


def convert_instances(content: dict, place: str = "instances.json") -> Instances:
    """Convert the content of an instances JSON. The boxes of crowds (iscrowd) become ignored regions, boxes are cut to
    their image, whatever cannot be used is noted; `place` names the file in the error that is raised where the image or
    category tables are broken."""
    try:
        categories = sorted(content["categories"], key=lambda category: category["id"])
        classes = {category["id"]: index for index, category in enumerate(categories)}
        images = {image["id"]: _image(image) for image in content["images"]}
        names = tuple(str(category["name"]) for category in categories)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{place}: an entry of 'images' or 'categories' is broken ({error!r}); fetch it again"
        ) from None
    labels = {name: [] for name, _, _ in images.values()}
    notes, ignored = [], {}
    for annotation in content["annotations"]:
        try:
            name, row, clipped = _row(annotation, classes, images)
            crowd = bool(annotation.get("iscrowd"))
        except _Trouble as trouble:
            notes.append((trouble.args[0], f"annotation {_id(annotation)}: {trouble.args[1]}"))
            continue
        if crowd:
            ignored.setdefault(name, []).append(row[1:])
        else:
            labels[name].append(row)
        if clipped:
            notes.append((CLIPPED, f"annotation {_id(annotation)}: {name}, box {annotation['bbox']}"))
    return Instances(names, labels, notes, ignored)


def _image(image: dict) -> tuple[str, int, int]:
    """(file name, width, height) of an entry of 'images'."""
    name, width, height = image["file_name"], int(image["width"]), int(image["height"])
    if width < 1 or height < 1 or Path(name).name != name:
        raise ValueError(f"file {name!r} of {width} x {height} pixels")
    return name, width, height


def _row(annotation: dict, classes: dict, images: dict) -> tuple[str, tuple, bool]:
    """(image file, label row, whether the box was clipped)."""
    try:
        category, image = annotation["category_id"], annotation["image_id"]
        left, top, width, height = (float(value) for value in annotation["bbox"])
        known = category in classes and image in images
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _Trouble(UNUSABLE, str(annotation)[:120]) from None
    if not known:
        raise _Trouble(UNKNOWN, f"image {image}, category {category}")
    name, columns, rows = images[image]
    where = f"{name}, box {[left, top, width, height]}"
    if not all(map(math.isfinite, (left, top, width, height))):
        raise _Trouble(UNUSABLE, where)
    if width <= 0 or height <= 0:
        raise _Trouble(NO_AREA, where)
    box = left, top, left + width, top + height
    inside = max(left, 0.0), max(top, 0.0), min(box[2], columns), min(box[3], rows)
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise _Trouble(OUTSIDE, f"{where} in {columns} x {rows} pixels")
    x0, y0, x1, y1 = inside
    shares = (x0 + x1) / 2 / columns, (y0 + y1) / 2 / rows, (x1 - x0) / columns, (y1 - y0) / rows
    return name, (classes[category], *shares), _differ(inside, box)


def _differ(inside: tuple, box: tuple) -> bool:
    """COCO's own rounding leaves boxes up to 0.01 pixels over the edge: that is not worth a note."""
    return any(abs(a - b) > 0.011 for a, b in zip(inside, box))


def _id(annotation: object) -> object:
    return annotation.get("id", "without id") if isinstance(annotation, dict) else "without id"
