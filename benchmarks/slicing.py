"""What slices are worth: the recall of small objects with and without them, and what they cost.

    python -m benchmarks.slicing --weights best.pt --data VisDrone.yaml --split val

An object counts as found if a detection of its class overlaps it with an IoU of 0.5 or more; every detection finds one
object at most. Its size is the root of its box's area, in pixels of the picture.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.images import read_image
from data.labels import LabelledImages, read_labels
from data.spec import load_spec
from models.backends import load_predictor
from utils.boxes import xywh_to_xyxy
from utils.detect_options import DetectOptions
from utils.device import select_device
from utils.errors import LOG, UserError, run_command
from utils.files import write_text
from utils.merging import overlap
from utils.options import option, parse_options
from utils.progress import progress
from utils.sliced_detector import make_detector

IOU = 0.5
EDGES = (16, 32, 64)  # pixels
BINS = ("< 16", "16-32", "32-64", "> 64")


@dataclass(frozen=True)
class BenchmarkOptions:
    """See the module. The first row is always the whole picture alone."""

    weights: tuple[str, ...] = option(("best.pt",), "a .pt or an exported file; several .pt are an ensemble")
    data: str = option("VisDrone.yaml", "data-set YAML")
    split: str = option("val", "which pictures", choices=("train", "val", "test"))
    images: int | None = option(None, "only so many, evenly spread over the split")
    imgsz: int = option(640, "size of the whole picture for the network")
    slices: tuple[int, ...] = option((640,), "one or more sides of slices")
    slice_overlap: float = option(0.2, "what neighbouring slices share")
    merges: tuple[str, ...] = option(("nms",), "one or more of nms, nmm, wbf")
    conf_thres: float = option(0.25, "lowest confidence")
    iou_thres: float = option(0.45, "overlap at which boxes are one object")
    device: str = option("", "cpu, mps or a GPU's number")
    out: str = option("", "write OUT.md and OUT.json")


@dataclass(frozen=True)
class Row:
    """One way of looking. found and objects: per size bin; detections, right ones and milliseconds: per picture."""

    name: str
    found: tuple[int, ...]
    objects: tuple[int, ...]
    detections: float
    right: float
    milliseconds: float


def measure(options: BenchmarkOptions) -> dict:
    """All ways of looking, as plain data."""
    spec = load_spec(options.data)
    spec.split(options.split)
    model = load_predictor(options.weights, select_device(options.device))
    if model.nc != spec.nc:
        raise UserError(f"{options.weights[0]}: detects {model.nc} classes, but {spec.yaml_file} names {spec.nc}")
    data = read_labels(spec, options.split)
    picks = _spread(len(data.images), options.images)
    rows = [measure_way(model, way, data, picks, name) for name, way in _ways(options).items()]
    return {
        "weights": [Path(name).name for name in options.weights],
        "data": spec.yaml_file.name,
        "split": options.split,
        "images": len(picks),
        "conf_thres": options.conf_thres,
        "device": str(model.device),
        "bins": BINS,
        "rows": [vars(row) for row in rows],
    }


def measure_way(model: object, way: DetectOptions, data: LabelledImages, picks: Sequence[int], name: str) -> Row:
    """Look at the pictures of these numbers in one way."""
    detector = make_detector(model, way)
    found, objects, detections, right = np.zeros(4, int), np.zeros(4, int), 0, 0
    for index in progress(picks, name, total=len(picks), unit="image"):
        image = read_image(data.images[index])
        (rows,) = detector.find([image])
        detector.watch.count(1)
        labels = in_pixels(data.labels[index], image.shape)
        bins = np.digitize(sizes(labels), EDGES)
        hits = found_objects(rows, labels)
        found += np.bincount(bins[hits], minlength=4)
        objects += np.bincount(bins, minlength=4)
        detections, right = detections + len(rows), right + len(hits)
    count = max(len(picks), 1)
    time = sum(detector.watch.milliseconds().values())
    return Row(name, tuple(found.tolist()), tuple(objects.tolist()), detections / count, right / count, round(time, 1))


def found_objects(rows: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Numbers of the (m, 5) labels (class, xyxy) that the (n, 6) detections find: by falling confidence, each takes the
    free label of its class that it overlaps most."""
    free = np.ones(len(labels), bool)
    for row in rows if len(labels) else ():
        shared = overlap(row[:4], labels[:, 1:]) * (free & (labels[:, 0] == row[5]))
        if shared.max() >= IOU:
            free[shared.argmax()] = False
    return np.flatnonzero(~free)


def in_pixels(labels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """(n, 5) class, cx, cy, w, h in 0..1 -> class, x1, y1, x2, y2 in pixels of a (height, width) picture."""
    boxes = xywh_to_xyxy(labels[:, 1:5]) * np.array([shape[1], shape[0]] * 2, np.float32)
    return np.concatenate((labels[:, :1], boxes), 1).astype(np.float32)


def sizes(labels: np.ndarray) -> np.ndarray:
    """Roots of the areas of (n, 5) labels in pixels."""
    return np.sqrt(np.maximum(labels[:, 3] - labels[:, 1], 0) * np.maximum(labels[:, 4] - labels[:, 2], 0))


def table(result: dict) -> str:
    """The result in Markdown."""
    head = [f"recall {label} px" for label in result["bins"]] + ["recall", "precision", "ms per image"]
    lines = [f"| | {' | '.join(head)} |", f"|---{'|---:' * len(head)}|"]
    for row in result["rows"]:
        cells = [_share(n, of) for n, of in zip(row["found"], row["objects"])]
        cells += [_share(sum(row["found"]), sum(row["objects"])), _share(row["right"], row["detections"])]
        lines.append(f"| {row['name']} | {' | '.join(cells)} | {row['milliseconds']:.0f} |")
    counts = ", ".join(f"{n} {label} px" for n, label in zip(result["rows"][0]["objects"], result["bins"]))
    title = (
        f"{' + '.join(result['weights'])} on {result['images']} {result['split']} images of {result['data']} "
        f"({result['device']}), confidence {result['conf_thres']:g}, IoU {IOU:g}; objects: {counts}."
    )
    return "\n".join([title, "", *lines, ""])


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _ways(options: BenchmarkOptions) -> dict[str, DetectOptions]:
    whole = DetectOptions(imgsz=(options.imgsz,), conf_thres=options.conf_thres, iou_thres=options.iou_thres)
    ways = {f"whole at {options.imgsz}": whole}
    for size in options.slices:
        for merging in options.merges:
            way = replace(whole, slice=size, slice_overlap=options.slice_overlap, slice_merge=merging)
            ways[f"+ slices of {size}, {merging}"] = way
            ways[f"slices of {size} alone, {merging}"] = replace(way, no_full=True)
    return ways


def _spread(count: int, wanted: int | None) -> list[int]:
    """Numbers of `wanted` of `count` pictures, evenly spread."""
    if wanted is not None and wanted < 1:
        raise UserError(f"--images {wanted}: give 1 or more")
    return sorted({int(at) for at in np.linspace(0, count - 1, min(wanted or count, count))})


def main() -> None:
    """Measure, print, write."""
    options = parse_options(BenchmarkOptions, __doc__.partition("\n")[0])
    result = measure(options)
    LOG.info("%s", table(result))
    if options.out:
        write_text(Path(f"{options.out}.md"), table(result))
        write_text(Path(f"{options.out}.json"), json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    run_command(main)
