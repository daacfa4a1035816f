"""How long the official VisDrone score takes beside pycocotools' own evaluation of the same boxes, in one run:

OMP_NUM_THREADS=1 taskset -c 1 python -m benchmarks.score
"""

import contextlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from utils.coco_json import write_json
from utils.errors import LOG, run_command
from utils.options import option, parse_options
from utils.visdrone import evaluate

HEIGHT, WIDTH = 1080, 1920
SHARES = (0.23, 0.08, 0.03, 0.4, 0.07, 0.03, 0.02, 0.01, 0.02, 0.11)  # of VisDrone's classes, rounded


@dataclass(frozen=True)
class Options:
    """The command line; the defaults are VisDrone's validation split."""

    images: int = option(548, "pictures")
    detections: int = option(500, "detections in each")
    objects: int = option(70, "objects in each")
    regions: int = option(2, "ignored regions in each")
    out: str = option("", "write the figures to this JSON file")


def main() -> None:
    """Read the command line, measure and print."""
    options = parse_options(Options, __doc__.partition("\n")[0])
    figures = measure(options)
    LOG.info(
        "%d images x %d detections, one run, one after the other, processor time:", options.images, options.detections
    )
    LOG.info("  official VisDrone score        %7.2f s", figures["visdrone_s"])
    LOG.info("  pycocotools, bbox, maxDets 500 %7.2f s", figures["pycocotools_s"])
    LOG.info("  ratio                          %7.3f", figures["ratio"])
    if options.out:
        sizes = {key: value for key, value in vars(options).items() if key != "out"}
        write_json(Path(options.out), sizes | figures)


def measure(options: Options) -> dict[str, float]:
    """Seconds of both scorers on the same made-up pictures, and ours over theirs. Making the pictures, and putting them
    into COCO's form and index, is not counted."""
    images = make_images(options)
    ours = seconds(lambda: evaluate(images))
    truth, found = coco_form(images)

    def theirs() -> None:
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.maxDets = [1, 10, 100, 500]
        evaluation.evaluate()
        evaluation.accumulate()

    with contextlib.redirect_stdout(io.StringIO()):
        reference = seconds(theirs)
    return {"visdrone_s": ours, "pycocotools_s": reference, "ratio": ours / reference}


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call: neighbours on the machine do not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def make_images(options: Options) -> list[dict[str, Any]]:
    """Pictures like VisDrone's in the form of `utils.visdrone.evaluate`: most detections lie near an object of their
    class, the rest anywhere; by falling score."""
    rng = np.random.default_rng(0)
    return [_image(rng, f"{number:06}", options) for number in range(options.images)]


def _image(rng: np.random.Generator, name: str, options: Options) -> dict[str, Any]:
    sizes = rng.lognormal(3.4, 0.6, (options.objects, 2)).clip(3, 400).round()
    places = rng.uniform(0, 1, (options.objects, 2)) * (WIDTH, HEIGHT) - sizes / 2
    kinds = rng.choice(10, options.objects, p=SHARES) + 1
    objects = _rows(places.round(), sizes, np.ones(options.objects), kinds)
    corners = rng.uniform(0, 1, (options.regions, 2)) * (WIDTH - 300, HEIGHT - 300)
    empty = np.zeros(options.regions)
    regions = _rows(corners.round(), rng.uniform(50, 300, (options.regions, 2)).round(), empty, empty)
    near = rng.integers(0, options.objects, options.detections)
    moved = places[near] + rng.normal(0, 0.15, (options.detections, 2)) * sizes[near]
    stray = rng.random(options.detections) < 0.3
    moved[stray] = rng.uniform(0, 1, (int(stray.sum()), 2)) * (WIDTH, HEIGHT)
    resized = sizes[near] * rng.lognormal(0, 0.15, (options.detections, 2))
    scores = np.sort(rng.random(options.detections))[::-1]
    results = _rows(moved, resized, scores, kinds[near])
    annotations = np.concatenate((objects, regions))
    return {"name": name, "height": HEIGHT, "width": WIDTH, "annotations": annotations, "results": results}


def _rows(places: np.ndarray, sizes: np.ndarray, scores: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    return np.column_stack((places, sizes, scores, kinds, np.full((len(kinds), 2), -1.0)))


def coco_form(images: list[dict[str, Any]]) -> tuple[COCO, COCO]:
    """The same objects and detections, indexed by pycocotools; the ignored regions are left out."""
    entries = [{"id": number} for number in range(1, len(images) + 1)]
    categories = [{"id": number} for number in range(1, 11)]
    sides = []
    for key in ("annotations", "results"):
        rows = [(number, row) for number, image in enumerate(images, 1) for row in image[key].tolist() if row[5]]
        annotations = [
            {"id": i, "image_id": number, "category_id": int(row[5]), "bbox": row[:4], "score": row[4]}
            | {"area": row[2] * row[3], "iscrowd": 0}
            for i, (number, row) in enumerate(rows, 1)
        ]
        coco = COCO()
        coco.dataset = {"images": entries, "annotations": annotations, "categories": categories}
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        sides.append(coco)
    return sides[0], sides[1]


if __name__ == "__main__":
    run_command(main)
