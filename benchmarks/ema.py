"""What the EMA attention costs: the authors' operations against this project's evaluations.

    python -m benchmarks.ema [--quick]

Shapes: where EMA stands in yolov5{n,s,m,l,x}-ema at 640 pixels, at batches of 1, 8 and 32, and (64, 128, 80, 80).
Writes a table, JSON and a plot under docs/benchmarks/. Figures are medians over processes of medians over calls that
take turns.
"""

import json
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.contenders import BASELINE, bytes_kept, forward_of, learning_of, make_contenders, replayed
from benchmarks.timing import describe_device, hand_back, in_child_processes, is_child, take_turns
from utils.device import select_device
from utils.errors import LOG, ROOT, UserError, run_command
from utils.files import atomic_path, write_text
from utils.options import option, parse_options
from utils.plots import new_figure

WIDTHS = {"n": 0.25, "s": 0.5, "m": 0.75, "l": 1.0, "x": 1.25}
LARGEST = (64, 128, 80, 80)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

ABOUT = """Measured by `python -m benchmarks.ema` on {device}; medians over {processes} processes. Copying memory runs
at {speed:.0f} GB/s. `authors`: milliseconds of their operations in eager mode; other columns: how many times faster.
`taken` is what `EMA` takes by itself, `kept` the bytes that it keeps for backward in units of x, `share` its share of
the copy bandwidth in the forward pass (x read once and written once). `taken` and the column whose evaluation it takes
run the same code: what they differ by is noise, a few percent."""


@dataclass(frozen=True)
class BenchmarkOptions:
    device: str = option("", "cpu, or a GPU's number; empty = GPU if there is one")
    sizes: tuple[str, ...] = option(tuple(WIDTHS), "model sizes whose shapes are measured", choices=tuple(WIDTHS))
    batches: tuple[int, ...] = option((1, 8, 32), "batch sizes")
    dtypes: tuple[str, ...] = option((), "types; empty = float32, on a GPU bfloat16 too", choices=tuple(DTYPES))
    seconds: float = option(2.0, "time for each shape, type and direction")
    processes: int = option(3, "processes whose medians are taken")
    threads: int = option(2, "CPU threads")
    compile: bool = option(False, "torch.compile of the authors' operations competes too (on a GPU always)")
    quick: bool = option(False, "one process, yolov5s at a batch of 8, half a second each; prints, writes no file")
    out: str = option("docs/benchmarks", "folder of the results")


def shapes(options: BenchmarkOptions) -> list[tuple[int, int, int, int]]:
    """(B, C, H, W) of every place, each once."""
    places = [(int(512 * WIDTHS[s]), 40) for s in options.sizes] + [(int(1024 * WIDTHS[s]), 20) for s in options.sizes]
    found = [(batch, channels, side, side) for channels, side in places for batch in options.batches]
    return found if options.quick else [*found, LARGEST]


def measure(options: BenchmarkOptions) -> dict:
    """All figures of this process: one row per shape and type."""
    device = select_device(options.device)
    torch.set_num_threads(options.threads)
    dtypes = options.dtypes or (tuple(DTYPES) if device.type == "cuda" else ("float32",))
    bandwidth = _copy_bandwidth(device)
    rows = []
    for name in dtypes:
        for shape in shapes(options):
            row = _measure_shape(shape, DTYPES[name], device, options)
            share = {k: 2 * row["bytes"] / (v * 1e-3) / bandwidth for k, v in row["forward"].items()}
            rows.append({"shape": list(shape), "dtype": name, **row, "bandwidth_share": share})
            LOG.info("%s %s: %s", shape, name, _ratios(row["forward"]))
    return {"device": describe_device(device), "kind": device.type, "copy_bytes_per_second": bandwidth, "rows": rows}


def join(results: list[dict]) -> dict:
    """Medians over processes, figure by figure."""
    first = dict(results[0])
    first["rows"] = [_join_rows(rows) for rows in zip(*(result["rows"] for result in results))]
    first["copy_bytes_per_second"] = statistics.median(result["copy_bytes_per_second"] for result in results)
    first["processes"] = len(results)
    return first


def table(result: dict) -> str:
    """The result as Markdown: milliseconds of the authors' operations, then how many times faster each other is."""
    names = [name for name in result["rows"][0]["forward"] if name != BASELINE]
    lines = ["# EMA attention: speed", "", ABOUT.format(**result, speed=result["copy_bytes_per_second"] / 1e9)]
    for direction, title in (("forward", "Forward"), ("learning", "Forward and backward")):
        lines += ["", f"## {title}", "", f"| shape | type | {BASELINE} ms | " + " | ".join(names) + " | kept | share |"]
        lines += ["|" + "---|" * (len(names) + 5)]
        lines += [_table_row(row, direction, names) for row in result["rows"]]
    return "\n".join(lines) + "\n"


def write(result: dict, folder: Path) -> None:
    """ema-KIND.md, .json and .png."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"ema-{result['kind']}"
    write_text(folder / f"{stem}.json", json.dumps(result, indent=1) + "\n")
    write_text(folder / f"{stem}.md", table(result) + f"\n![ratios]({stem}.png)\n")
    figure, axes = new_figure(10, 7, 2)
    labels = [
        "x".join(map(str, row["shape"])) + (" bf16" if row["dtype"] == "bfloat16" else "") for row in result["rows"]
    ]
    for axis, direction in zip(axes[:, 0], ("forward", "learning")):
        for name in result["rows"][0][direction]:
            values = [row[direction][BASELINE] / row[direction].get(name, float("nan")) for row in result["rows"]]
            axis.plot(labels, values, marker="o", markersize=3, linewidth=1, label=name)
        axis.set_ylabel(f"times {BASELINE}, {'forward' if direction == 'forward' else 'forward + backward'}")
        axis.tick_params(axis="x", rotation=90, labelsize=6)
        axis.legend(fontsize=7)
    with atomic_path(folder / f"{stem}.png") as part:
        figure.savefig(part, format="png", dpi=110)


def main() -> None:
    options = parse_options(BenchmarkOptions, __doc__)
    if options.quick:
        options = _quick(options)
    if is_child():
        hand_back(measure(options))
        return
    result = join(in_child_processes("benchmarks.ema", sys.argv[1:], options.processes))
    LOG.info("%s", table(result))
    if not options.quick:
        write(result, ROOT / options.out)


def _quick(options: BenchmarkOptions) -> BenchmarkOptions:
    fields = vars(options) | {"sizes": ("s",), "batches": (8,), "processes": 1, "seconds": 0.5}
    return BenchmarkOptions(**fields)


def _measure_shape(shape: tuple, dtype: torch.dtype, device: torch.device, options: BenchmarkOptions) -> dict:
    torch.manual_seed(0)
    x, slope = (torch.randn(shape, device=device).to(dtype) for _ in range(2))
    modules = make_contenders(shape[1], device, dtype, options.compile or device.type == "cuda")
    kept = {name: bytes_kept(module, x) / x.nbytes for name, module in modules.items() if name != "compiled"}
    if device.type == "cuda" and kept["fused"] > 1.2:
        raise UserError(f"fused keeps {kept['fused']:.2f} times x for backward at {shape}; at most 1.2 was promised")
    forward = {name: forward_of(module, x) for name, module in modules.items()}
    if device.type == "cuda":
        forward["fused, graph"] = replayed(forward["fused"], device)
    learning = {name: learning_of(module, x, slope) for name, module in modules.items()}
    return {
        "bytes": x.nbytes,
        "forward": take_turns(forward, device, options.seconds),
        "learning": take_turns(learning, device, options.seconds),
        "kept": kept,
    }


def _copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by a copy of 256 MiB."""
    source = torch.zeros(1 << 26, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / (take_turns({"copy": lambda: target.copy_(source)}, device, 0.5)["copy"] * 1e-3)


def _join_rows(rows: tuple[dict, ...]) -> dict:
    joined = dict(rows[0])
    for part in ("forward", "learning", "bandwidth_share"):
        joined[part] = {name: statistics.median(row[part][name] for row in rows) for name in rows[0][part]}
    return joined


def _ratios(times: dict[str, float]) -> str:
    return ", ".join(f"{name} {times[BASELINE] / value:.2f}x" for name, value in times.items())


def _table_row(row: dict, direction: str, names: list[str]) -> str:
    times = row[direction]
    cells = ["x".join(map(str, row["shape"])), row["dtype"], f"{times[BASELINE]:.3f}"]
    cells += [f"{times[BASELINE] / times[name]:.2f}" if name in times else "-" for name in names]
    cells += [f"{row['kept']['taken']:.2f}", f"{100 * row['bandwidth_share']['taken']:.0f} %"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    run_command(main)
