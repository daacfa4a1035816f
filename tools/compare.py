"""Train several models alike and compare them: same start, data order, schedule and budget, over several seeds.

    python -m tools.compare --models yolov5n yolov5n-ema yolov5n-cbam --data demo.yaml --hyp hyp.demo.yaml \
        --img 320 --batch 8 --epochs 4 --optimizer AdamW --seeds 0 1 2

The first model is the base. For every seed it is initialised once (or starts from --weights), and every model starts
with those weights in the layers that it shares with the base. Runs lie in --project/--name, one folder each; the same
command again goes on where it was stopped and skips what is finished.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data.prepare import ensure_data
from data.spec import load_spec
from tools.comparison import Plan
from tools.comparison_plot import plot_comparison
from tools.comparison_queue import run_all, split_devices
from tools.comparison_start import make_plan
from tools.comparison_table import compare_runs, latencies, markdown, models_csv, runs_csv
from utils.errors import LOG, UserError, run_command
from utils.files import write_text
from utils.optim import OPTIMIZERS
from utils.options import option, parse_options


@dataclass(frozen=True)
class CompareOptions:
    """What the command takes; what is not explained here means the same as for train.py."""

    models: tuple[str, ...] = option((), "model YAMLs; the first is the base that the others are compared with")
    data: str = option("demo.yaml", "data set YAML")
    hyp: str = option("data/hyps/hyp.scratch-low.yaml", "hyper-parameter YAML")
    epochs: int = option(100, "number of epochs of each run")
    seeds: tuple[int, ...] = option((0, 1, 2), "seeds; three at least make a comparison")
    weights: str = option("", "what the base starts from; '' = from scratch")
    batch_size: int = option(16, "images per batch")
    imgsz: int = option(640, "image size in pixels", flags=("--img", "--img-size"))
    optimizer: str = option("SGD", "optimizer", choices=OPTIMIZERS)
    device: str = option("", "cpu, or GPUs such as 0,1: a run at a time on each")
    workers: int = option(8, "loader processes of each run, at most one per CPU core")
    project: str = option("runs/compare", "folder that collects comparisons")
    name: str = option("exp", "the comparison's folder in --project")


def main() -> None:
    """Plan, train what is not trained yet, write the tables and the figure."""
    options = parse_options(CompareOptions, __doc__)
    devices = split_devices(options.device)
    spec = load_spec(options.data)
    ensure_data(spec, ("train", "val"))
    plan = make_plan(options, spec.names)
    failures = run_all(plan, devices, options.workers)
    report(plan, devices)
    if failures:
        first, reason = next(iter(failures.items()))
        more = f" and {len(failures) - 1} more runs" if len(failures) > 1 else ""
        raise UserError(f"{first}{more} failed: {reason}; the tables say so, and the same command tries again")


def report(plan: Plan, devices: Sequence[str]) -> None:
    """Write comparison.csv, .md and .png and runs.csv into the comparison's folder, and print the table."""
    rows = compare_runs(plan)
    if not any(row.seeds for row in rows):
        raise UserError(f"{plan.folder}: no run is finished, so nothing can be compared; the train.log files say why")
    speed = latencies(plan, devices)
    write_text(plan.folder / "runs.csv", runs_csv(plan))
    write_text(plan.folder / "comparison.csv", models_csv(rows, speed))
    write_text(plan.folder / "comparison.md", markdown(plan, rows, speed))
    plot_comparison(rows, plan.folder / "comparison.png")
    LOG.info("\n%s", markdown(plan, rows, speed))
    LOG.info("Results saved to %s", plan.folder)


if __name__ == "__main__":
    run_command(main)
