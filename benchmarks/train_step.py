"""What a training iteration costs: forward pass, loss, backward pass, optimizer and average, as train.py runs them.

    python -m benchmarks.train_step --cfg yolov5s-ema.yaml --img 640 --batch 64 --device 0 --images 118287 --epochs 300

Batches are made up (uint8 pictures, 8 boxes each) and lie in memory: reading images and validating are not in it.
Prints the median time, pictures per second, the peak of memory (a GPU's: what PyTorch's allocator held; a CPU's: the
process's resident set) and the hours that so many images and epochs would take. --out FILE.json writes the same;
docs/paper.md is made of such files.
"""

import json
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.timing import describe_device, hand_back, in_child_processes, is_child
from models import build_model
from models.loss import DetectionLoss
from utils.device import select_device
from utils.errors import LOG, ROOT, UserError, run_command
from utils.files import write_text
from utils.hyp import load_hyp
from utils.learner import Learner
from utils.letterbox import check_image_size
from utils.optim import build_optimizer
from utils.options import option, parse_options

HYP = "data/hyps/hyp.scratch-low.yaml"
LEARNING_RATE = 1e-4  # noise cannot be learned, and with the usual rate the loss might overflow; the time is the same
BOXES = 8  # per picture, as many as COCO has on average
BATCHES = 4  # different ones, in turn


@dataclass(frozen=True)
class StepOptions:
    """What is measured."""

    cfg: str = option("yolov5s-ema.yaml", "model YAML, a path or a name in models/")
    nc: int | None = option(None, "number of classes (the YAML's if not given)")
    imgsz: int = option(640, "side of the pictures", flags=("--img", "--img-size"))
    batch_size: int = option(16, "pictures in a batch")
    device: str = option("", "cpu, or a GPU's number; empty = GPU if there is one")
    threads: int = option(2, "CPU threads")
    processor: bool = option(False, "count the time of the processor, where others use it too; for one CPU thread")
    iterations: int = option(20, "iterations whose median counts")
    warmup: int = option(3, "iterations before them")
    images: int = option(118287, "images of the data set whose training time is computed (COCO's)")
    epochs: int = option(300, "its epochs")
    out: str = option("", "JSON file to write, relative to the repository")


def measure(options: StepOptions) -> dict:
    """Time iterations in this process; milliseconds, memory in bytes."""
    device = select_device(options.device)
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True  # as train.py does where shapes repeat
    torch.manual_seed(0)
    step, model, dtype = prepare(options, device)
    clock, times = time.process_time if options.processor else time.perf_counter, []
    for number in range(options.warmup + options.iterations):
        _wait(device)
        start = clock()
        step(number)
        _wait(device)
        times.append((clock() - start) * 1e3)
    return {
        "cfg": Path(options.cfg).name,
        "nc": model.nc,
        "image_size": options.imgsz,
        "batch_size": options.batch_size,
        "device": describe_device(device),
        "kind": device.type,
        "dtype": str(dtype).removeprefix("torch."),
        "iterations": options.iterations,
        "clock": "processor" if options.processor else "wall",
        "milliseconds": statistics.median(times[options.warmup :]),
        "peak_bytes": peak_bytes(device),
    }


def prepare(options: StepOptions, device: torch.device) -> tuple[Callable[[int], None], torch.nn.Module, torch.dtype]:
    """A function that trains on made-up batch number so and so, the network and the type that layers compute in."""
    hyp = load_hyp(HYP)
    model = build_model(options.cfg, nc=options.nc).to(device).to(memory_format=torch.channels_last).train()
    size = check_image_size(options.imgsz, model.max_stride)[0]
    learner = Learner.start(model, build_optimizer(model, "SGD", LEARNING_RATE, hyp["momentum"], hyp["weight_decay"]))
    loss = DetectionLoss(model, hyp, size)
    batches = [make_batch(options.batch_size, size, model.nc, number) for number in range(BATCHES)]
    if device.type == "cuda":
        batches = [(images.pin_memory(), targets.pin_memory()) for images, targets in batches]

    def step(number: int) -> None:
        images, targets = batches[number % BATCHES]
        images = images.to(device, non_blocking=True)
        images = images.to(torch.float32, memory_format=torch.channels_last).div_(255)
        if learner.train_step(images, targets.to(device, non_blocking=True), loss, update=True) is None:
            raise UserError(f"--cfg {options.cfg}: the loss of noise is not finite after {number} iterations")

    return step, model, learner.dtype


def make_batch(count: int, size: int, nc: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise (count, 3, size, size) uint8 and targets (count * BOXES, 6): image, class, cx, cy, w, h in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    boxes = torch.rand(count * BOXES, 4, generator=generator)
    sides = 0.02 + 0.4 * boxes[:, 2:] ** 2  # small boxes are frequent
    centres = sides / 2 + boxes[:, :2] * (1 - sides)
    numbers = torch.arange(count).repeat_interleave(BOXES)[:, None].float()
    classes = torch.randint(0, nc, (count * BOXES, 1), generator=generator).float()
    return images, torch.cat((numbers, classes, centres, sides), 1)


def summarise(measured: dict, images: int, epochs: int) -> dict:
    """`measured` with pictures per second and the hours that `epochs` over `images` take at that pace."""
    rate = measured["batch_size"] * 1e3 / measured["milliseconds"]
    return measured | {
        "images_per_second": rate,
        "images": images,
        "epochs": epochs,
        "hours": images * epochs / rate / 3600,
    }


def peak_bytes(device: torch.device) -> int:
    """The most memory that the process has held: on a GPU PyTorch's allocator, on a CPU all of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure in a child process whose allocator keeps its memory, then print and write."""
    options = parse_options(StepOptions, __doc__)
    for flag, value in (("--batch", options.batch_size), ("--iterations", options.iterations)):
        if value < 1:
            raise UserError(f"{flag} {value}: is not a number from 1; give one")
    if options.processor and (options.threads != 1 or select_device(options.device).type != "cpu"):
        raise UserError("--processor: the processor's time is that of one thread; add --device cpu --threads 1")
    if is_child():
        hand_back(measure(options))
        return
    (measured,) = in_child_processes("benchmarks.train_step", sys.argv[1:], 1)
    text = json.dumps(summarise(measured, options.images, options.epochs), indent=1)
    LOG.info("%s", text)
    if options.out:
        write_text(ROOT / options.out, text + "\n")


if __name__ == "__main__":
    run_command(main)
