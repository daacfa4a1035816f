"""What attention costs a whole network: yolov5s-ema against yolov5s at 640 pixels, as detect and val run them.

    python -m benchmarks.model [--quick]

Both are fused and in eval mode, input contiguous, and run from pictures to decoded boxes. Writes a table and JSON under
docs/benchmarks/. Figures are medians over processes of medians over calls that take turns.
"""

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.timing import Work, describe_device, hand_back, in_child_processes, is_child, take_turns
from models import build_model
from models.summary import count_gflops, count_parameters
from utils.device import select_device
from utils.errors import LOG, ROOT, run_command
from utils.files import write_text
from utils.options import option, parse_options

HEADER = "| model | input | ms | against {first} | parameters | GFLOPs |"


@dataclass(frozen=True)
class BenchmarkOptions:
    models: tuple[str, ...] = option(("yolov5s.yaml", "yolov5s-ema.yaml"), "model YAMLs; the first is compared with")
    device: str = option("", "cpu, or a GPU's number; empty = GPU if there is one")
    imgsz: int = option(640, "side of the pictures", flags=("--img",))
    batches: tuple[int, ...] = option((), "batch sizes; empty = 1 and 8, on a GPU 1 and 32")
    seconds: float = option(30.0, "time for each batch size and type")
    processes: int = option(3, "processes whose medians are taken")
    threads: int = option(2, "CPU threads")
    quick: bool = option(False, "one process, smallest batch, six seconds; prints, writes no file")
    out: str = option("docs/benchmarks", "folder of the results")


def measure(options: BenchmarkOptions) -> dict:
    """Milliseconds of a call: one row per batch size and type."""
    device = select_device(options.device)
    torch.set_num_threads(options.threads)
    on_gpu = device.type == "cuda"
    rows = []
    for dtype in (torch.float32, torch.bfloat16) if on_gpu else (torch.float32,):
        works = {name: _prepare(name, device, dtype) for name in options.models}
        for batch in options.batches or ((1, 32) if on_gpu else (1, 8)):
            x = torch.rand(batch, 3, options.imgsz, options.imgsz, device=device, dtype=dtype)
            calls: dict[str, Work] = {name: _call(model, x) for name, model in works.items()}
            rows.append(
                {
                    "input": f"{batch}x3x{options.imgsz}x{options.imgsz} {str(dtype).removeprefix('torch.')}",
                    "milliseconds": take_turns(calls, device, options.seconds),
                }
            )
    return {"device": describe_device(device), "kind": device.type, "rows": rows}


def join(results: list[dict], options: BenchmarkOptions) -> dict:
    """Medians over processes, with each model's parameters and GFLOPs."""
    joined = results[0] | {"processes": len(results)}
    for i, row in enumerate(joined["rows"]):
        times = [result["rows"][i]["milliseconds"] for result in results]
        ratios = {name: [t[name] / t[options.models[0]] for t in times] for name in options.models}
        row["against"] = {name: statistics.median(values) for name, values in ratios.items()}
        row["milliseconds"] = {name: statistics.median(t[name] for t in times) for name in options.models}
    models = {name: build_model(name) for name in options.models}
    joined["parameters"] = {name: count_parameters(model) for name, model in models.items()}
    joined["gflops"] = {name: count_gflops(model, options.imgsz) for name, model in models.items()}
    return joined


def table(result: dict) -> str:
    """The result as Markdown."""
    first = next(iter(result["parameters"]))
    about = (
        f"Measured by `python -m benchmarks.model` on {result['device']}; medians over {result['processes']} processes."
    )
    lines = [
        "# Attention in a whole network: speed",
        "",
        about,
        "",
        HEADER.format(first=first),
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        for name, time in row["milliseconds"].items():
            more = f"{100 * (row['against'][name] - 1):+.1f} %"
            size = f"{result['parameters'][name]:,} | {result['gflops'][name]:.2f}"
            lines.append(f"| {name} | {row['input']} | {time:.2f} | {more} | {size} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    options = parse_options(BenchmarkOptions, __doc__)
    if options.quick:
        options = BenchmarkOptions(**vars(options) | {"batches": (1,), "processes": 1, "seconds": 6.0})
    if is_child():
        hand_back(measure(options))
        return
    result = join(in_child_processes("benchmarks.model", sys.argv[1:], options.processes), options)
    LOG.info("%s", table(result))
    if not options.quick:
        folder = ROOT / Path(options.out)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"model-{result['kind']}.json", json.dumps(result, indent=1) + "\n")
        write_text(folder / f"model-{result['kind']}.md", table(result))


def _prepare(name: str, device: torch.device, dtype: torch.dtype) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(name).to(device).eval().fuse().to(dtype).requires_grad_(False)


def _call(model: torch.nn.Module, x: torch.Tensor) -> Work:
    def work() -> torch.Tensor:
        with torch.inference_mode():
            return model.predict(x)

    return work


if __name__ == "__main__":
    run_command(main)
