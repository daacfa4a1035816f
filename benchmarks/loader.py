"""How fast one thread makes training samples, against how fast it only reads the same images with `cv2.imread`.

    python -m benchmarks.loader --images FOLDER_OR_DATA_YAML

Prints samples per second of the training pipeline (mosaic, perspective, flips, HSV, batching; no cache; the
hyper-parameters of data/hyps/hyp.scratch-low.yaml), images per second of `cv2.imread`, their ratio, and what each stage
costs. Both run in a process of their own, by turns, on one thread; the samples' process is set up as a loader's worker.
Times are processor times and figures medians over the rounds, so that others on the machine disturb little.
"""

import cProfile
import json
import multiprocessing
import pstats
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data import augment, images, labels, loader, mosaic
from data.dataset import DetectionDataset, Pick
from data.headers import image_shape
from data.pipelines import TrainPipeline
from data.spec import load_spec
from utils.errors import LOG, ROOT, UserError, run_command
from utils.files import read_yaml
from utils.options import option, parse_options

STAGES = {
    "decode": images.read_image,
    "warp": mosaic.paint_upright,
    "boxes": augment.move_boxes,
    "hsv": augment.random_hsv,
    "planes": loader.to_planes,
}


@dataclass(frozen=True)
class BenchmarkOptions:
    images: str = option("", "folder of images, or a data YAML whose train split is taken")
    imgsz: int = option(640, "side of a sample in pixels", flags=("--img",))
    batch_size: int = option(16, "samples in a batch")
    batches: int = option(6, "batches in a round")
    rounds: int = option(5, "rounds; the figures are medians")
    seed: int = option(0, "seed of the augmentation")
    json: bool = option(False, "print one line of JSON instead of the table")


def measure(options: BenchmarkOptions) -> dict:
    """Rates, their ratio and the stages' milliseconds per sample."""
    data = dataset_of(options)
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, cv2.setNumThreads, (0,)) as reader, context.Pool(1, loader.start_worker, (0,)) as maker:
        read, made = [], []
        for number in range(options.rounds + 1):
            read.append(reader.apply(_reading_rate, (data.images,)))
            made.append(maker.apply(_making_rate, (data, options, number)))
        stages = maker.apply(_stages, (data, options))
    read, made = np.array(read[1:]), np.array(made[1:])  # the first round filled the system's file cache
    return {
        "images": len(data),
        "image_size": options.imgsz,
        "samples_per_second": round(float(np.median(made)), 2),
        "imread_per_second": round(float(np.median(read)), 2),
        "ratio": round(float(np.median(made / read)), 4),
        "milliseconds_per_sample": stages,
    }


def main() -> None:
    options = parse_options(BenchmarkOptions, __doc__)
    if not options.images:
        raise UserError("--images: give a folder of images or a data YAML")
    found = measure(options)
    if options.json:
        LOG.info(json.dumps(found))
        return
    LOG.info("%d images, samples of %d x %d", found["images"], options.imgsz, options.imgsz)
    LOG.info("%8.1f samples/s   %8.1f imread/s   ratio %.3f", *list(found.values())[2:5])
    for stage, cost in found["milliseconds_per_sample"].items():
        LOG.info("%8s %7.2f ms", stage, cost)


def dataset_of(options: BenchmarkOptions) -> DetectionDataset:
    """The training samples of a data YAML, or of a folder's images with made-up boxes."""
    hyp = read_yaml(ROOT / "data" / "hyps" / "hyp.scratch-low.yaml")
    pipeline = TrainPipeline(options.imgsz, hyp)
    place = Path(options.images)
    if place.suffix in (".yaml", ".yml"):
        found = labels.read_labels(load_spec(place), "train")
        return DetectionDataset(found.images, found.labels, found.shapes, pipeline, options.seed)
    files = sorted(path for path in place.rglob("*") if path.suffix.lower() in images.IMAGE_SUFFIXES)
    if not files:
        raise UserError(f"{place}: holds no images; give another folder")
    shapes = np.array([image_shape(file) for file in files])
    rng = np.random.default_rng(0)
    boxes = [np.concatenate((np.zeros((20, 1)), rng.uniform(0.2, 0.3, (20, 4))), 1).astype(np.float32) for _ in files]
    return DetectionDataset(files, boxes, shapes, pipeline, options.seed)


def _reading_rate(files: list[Path]) -> float:
    start = time.process_time()
    for file in files:
        cv2.imread(str(file))
    return len(files) / (time.process_time() - start)


def _making_rate(data: DetectionDataset, options: BenchmarkOptions, number: int) -> float:
    start = time.process_time()
    count = _make(data, options, number)
    return count / (time.process_time() - start)


def _make(data: DetectionDataset, options: BenchmarkOptions, number: int) -> int:
    picks = [Pick(number, index % len(data)) for index in range(options.batches * options.batch_size)]
    for first in range(0, len(picks), options.batch_size):
        loader.collate([data[pick] for pick in picks[first : first + options.batch_size]])
    return len(picks)


def _stages(data: DetectionDataset, options: BenchmarkOptions) -> dict[str, float]:
    """Milliseconds per sample of each stage, by a profiled round of its own."""
    profile = cProfile.Profile(time.process_time)
    count = profile.runcall(_make, data, options, 0)
    stats = pstats.Stats(profile)
    costs = {}
    for name, function in STAGES.items():
        code = function.__code__
        entry = stats.stats.get((code.co_filename, code.co_firstlineno, code.co_name))
        costs[name] = entry[3] if entry else 0.0
    costs["rest"] = stats.total_tt - sum(costs.values())
    return {name: round(seconds / count * 1e3, 3) for name, seconds in costs.items()}


if __name__ == "__main__":
    run_command(main)
