"""What a data set is like and what follows from it: python -m tools.dataset data.yaml --split train --imgsz 640 1280

Counts, sizes against a model's cells and anchors, crowding, ignored area, faults of the labels, and advice. Writes
report.md, report.json and pictures into a run folder. --annotations takes raw VisDrone annotations without images.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from data.images import read_image
from data.prepare import ensure_data
from data.spec import SPLITS, load_spec
from data.statistics import Level
from data.survey import Survey, survey_annotations, survey_split
from models import build_model
from tools.dataset_advice import advise
from tools.dataset_facts import Facts, gather
from tools.dataset_text import essentials, markdown
from utils.boxes import xywh_to_xyxy
from utils.errors import LOG, UserError, run_command
from utils.files import write_text
from utils.plot_batches import MAX_IMAGES, save_mosaic
from utils.plot_dataset import plot_statistics
from utils.runs import make_run_folder

TILE = 640
NAMED = 10  # objects per image up to which the sample pictures name them
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Options:
    """The command line. data is None with annotations; out None means the next runs/dataset/exp."""

    data: str | None
    annotations: tuple[str, ...]
    split: str
    imgsz: tuple[int, ...]
    cfg: str
    out: Path | None


def main(argv: Sequence[str] | None = None) -> None:
    """Survey a data set, write the report, print the essentials."""
    options = _parse(argv)
    levels = model_levels(options.cfg)
    if options.data is None:
        survey = survey_annotations(options.annotations)
    else:
        spec = load_spec(options.data)
        ensure_data(spec, (options.split,))
        survey = survey_split(spec, options.split)
    out = options.out
    folder = make_run_folder(out.parent, out.name, exist_ok=True) if out else make_run_folder("runs/dataset", "exp")
    facts = gather(survey, options.imgsz, Path(options.cfg).name, levels)
    facts["advice"] = advise(facts)
    write_report(folder, survey, facts)
    LOG.info("%s", essentials(facts))
    LOG.info("report: %s", folder / "report.md")


def model_levels(cfg: str) -> list[Level]:
    """The levels of a model YAML's head, finest first."""
    head = build_model(cfg, nc=1).head
    levels = [Level(stride, (anchors * stride).numpy()) for stride, anchors in zip(head.strides, head.anchors)]
    return sorted(levels, key=lambda level: level.stride)


def write_report(folder: Path, survey: Survey, facts: Facts) -> None:
    """Write report.md, report.json, statistics.png and, where there are images, samples.jpg."""
    objects = survey.objects
    boxes = {"original": objects.boxes}
    places = None
    if objects.shapes is not None:
        boxes |= {f"at {at['image_size']}": objects.scaled(at["image_size"]) for at in facts["at"]}
        places = objects.boxes[:, :2] / objects.shapes[objects.index, ::-1]
    sizes = {title: np.sqrt(rows[:, 2] * rows[:, 3]) for title, rows in boxes.items()}
    plot_statistics(folder / "statistics.png", facts["classes"], sizes, objects.per_image(), places)
    pictures = ["statistics.png"]
    if objects.shapes is not None and survey.images:
        draw_samples(folder / "samples.jpg", survey)
        pictures.append("samples.jpg")
    write_text(folder / "report.json", json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    write_text(folder / "report.md", markdown(facts, pictures))


def draw_samples(path: Path, survey: Survey) -> None:
    """Up to 16 images, evenly chosen, with their boxes; ignored regions are grey."""
    objects = survey.objects
    chosen = np.unique(np.linspace(0, len(survey.images) - 1, MAX_IMAGES).astype(int)).tolist()
    crowded = len(objects.classes) > NAMED * objects.images
    names = dict.fromkeys(survey.names, "") if crowded else survey.names
    tiles, rows = [], []
    for number in chosen:
        image = read_image(survey.images[number])
        scale = TILE / max(image.shape[:2])
        tiles.append(_tile(image, objects.regions[number], scale))
        mine = (objects.index == number) & (objects.classes < len(survey.names))
        kinds = objects.classes[mine, None].astype(float)
        rows.append(np.concatenate((xywh_to_xyxy(objects.boxes[mine]) * scale, np.full_like(kinds, np.nan), kinds), 1))
    titles = [survey.images[number].name for number in chosen]
    height = max(len(tile) for tile in tiles)
    canvas = np.full((len(tiles), height, TILE, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        canvas[number, : tile.shape[0], : tile.shape[1]] = tile
    save_mosaic(path, torch.from_numpy(canvas[..., ::-1].transpose(0, 3, 1, 2).copy()), rows, titles, names)


def _tile(image: np.ndarray, regions: np.ndarray, scale: float) -> np.ndarray:
    """The image (H, W, 3) at another scale, what is ignored greyed."""
    sides = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    small = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
    for left, top, right, bottom in (xywh_to_xyxy(regions) * scale).round().astype(int).tolist():
        part = small[top:bottom, left:right]
        part[:] = (part.astype(np.uint16) + GREY) // 2
    return small


def _parse(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", metavar="DATA.yaml", help="the data set")
    parser.add_argument(
        "--annotations", nargs="+", default=[], metavar="PATH", help="instead: folders or archives of raw VisDrone rows"
    )
    parser.add_argument("--split", choices=SPLITS, default="train", help="default: %(default)s")
    sizes = {"nargs": "+", "type": int, "default": [640, 1280], "metavar": "N"}
    parser.add_argument("--imgsz", "--img", "--img-size", **sizes, help="image sizes to judge at (default: 640 1280)")
    parser.add_argument("--cfg", default="yolov5s.yaml", help="the model whose cells and anchors are meant")
    parser.add_argument("--out", type=Path, help="the run folder (default: the next runs/dataset/exp)")
    found = parser.parse_args(argv)
    if (found.data is None) == (not found.annotations):
        raise UserError("give either a data set, such as VisDrone.yaml, or --annotations with folders or archives")
    if min(found.imgsz) < 1:
        raise UserError(f"--imgsz {min(found.imgsz)}: is no image size; give pixels above 0")
    return Options(
        found.data, tuple(found.annotations), found.split, tuple(sorted(set(found.imgsz))), found.cfg, found.out
    )


if __name__ == "__main__":
    run_command(main)
