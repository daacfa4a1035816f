"""The tables of a comparison: what every model costs and scores, and how far it is from the base."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.timing import in_child_processes
from models.summary import count_gflops, count_parameters
from tools.comparison import Job, Plan
from utils.paired import Estimate, estimate

Latency = Mapping[str, Mapping[str, float]]  # 'CPU' or 'GPU' -> model -> milliseconds
SECONDS = "10"  # of measuring in each process
PROCESSES = 3
READING = (
    "Scores are percent on the validation split after the last epoch (averaged weights), mean ± standard deviation "
    "over seeds; differences are paired by seed, with their 95 % interval (Student's t), of which one in twenty leaves "
    "out zero by chance alone. Milliseconds are those of one picture, fused, float32 on a CPU and bfloat16 on a GPU, "
    "with the YAML's own number of classes. They and the GFLOPs are of this project's evaluation of the blocks, in "
    "which some do less than their authors' code (PSA; EMA in its milliseconds, while its GFLOPs are its definition's)."
)


@dataclass(frozen=True)
class Row:
    """One model. `seeds` are those whose runs are finished; map50 and map of each, in 0..1, and the differences from
    the base over the seeds that both have; `missing` says of the other seeds why they are not there."""

    model: str
    parameters: int
    gflops: float
    seeds: tuple[int, ...]
    map50: tuple[float, ...]
    map: tuple[float, ...]
    difference50: Estimate
    difference: Estimate
    minutes: float
    missing: str


def compare_runs(plan: Plan) -> list[Row]:
    """A row per model, the base first."""
    finished = {model: _finished(plan, model) for model in plan.models}
    base = finished[plan.base]
    rows = []
    for model, jobs in finished.items():
        network = plan.build(model)
        scores = {seed: job.scores() for seed, job in jobs.items()}
        pairs = [(scores[seed], base[seed].scores()) for seed in scores if seed in base]
        rows.append(
            Row(
                model=model,
                parameters=count_parameters(network),
                gflops=count_gflops(network, plan.settings["imgsz"]),
                seeds=tuple(scores),
                map50=tuple(score[0] for score in scores.values()),
                map=tuple(score[1] for score in scores.values()),
                difference50=estimate([ours[0] - theirs[0] for ours, theirs in pairs]),
                difference=estimate([ours[1] - theirs[1] for ours, theirs in pairs]),
                minutes=estimate([job.note()["seconds"] / 60 for job in jobs.values()]).mean,
                missing=_why_missing(plan, model, jobs),
            )
        )
    return rows


def latencies(plan: Plan, devices: Sequence[str]) -> Latency:
    """Milliseconds for one picture, all models taking turns, in processes of their own (see `benchmarks.model`); on the
    CPU and, where there is one, a GPU: the first of `devices` (as --device has them) that is one."""
    paths = [str(path.absolute()) for path in plan.models.values()]
    arguments = ["--models", *paths, "--imgsz", str(plan.settings["imgsz"]), "--batches", "1", "--seconds", SECONDS]
    arguments += ["--threads", str(torch.get_num_threads())]
    gpu = next((device for device in devices if device.isdigit()), "0")
    found = {}
    for title, device in (("CPU", "cpu"), ("GPU", gpu)):
        if title == "CPU" or torch.cuda.is_available():
            results = in_child_processes("benchmarks.model", [*arguments, "--device", device], PROCESSES)
            times = [result["rows"][-1]["milliseconds"] for result in results]
            found[title] = {
                model: sorted(time[path] for time in times)[PROCESSES // 2] for model, path in zip(plan.models, paths)
            }
    return found


def runs_csv(plan: Plan) -> str:
    """A line per run that is finished."""
    lines: list[Sequence[Any]] = [("model", "seed", "mAP50", "mAP50-95", "seconds")]
    for model in plan.models:
        for seed, job in _finished(plan, model).items():
            lines.append((model, seed, *job.scores(), round(job.note()["seconds"], 1)))
    return _csv(lines)


def models_csv(rows: Sequence[Row], speed: Latency) -> str:
    """A line per model, scores in 0..1; an empty cell where there is no value."""
    scores = ("mAP50", "mAP50_sd", "mAP50-95", "mAP50-95_sd")
    differences = ("mAP50_difference", "mAP50_margin", "mAP50-95_difference", "mAP50-95_margin", "distinguishable")
    times = [f"{title.lower()}_ms" for title in speed]
    lines: list[Sequence[Any]] = [
        ("model", "seeds", "parameters", "gflops", *times, *scores, *differences, "minutes", "missing")
    ]
    for row in rows:
        means = [part for values in (row.map50, row.map) for part in estimate(values)[:2]]
        gains = [row.difference50.mean, row.difference50.margin, row.difference.mean, row.difference.margin]
        gains = [math.nan] * 4 if row is rows[0] else gains
        known = "" if row is rows[0] or math.isnan(row.difference.mean) else row.difference.is_distinguishable
        cost = [row.parameters, row.gflops, *(times[row.model] for times in speed.values())]
        cells = [row.model, len(row.seeds), *cost, *means, *gains, known, row.minutes, row.missing]
        lines.append(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells])
    return _csv(lines)


def markdown(plan: Plan, rows: Sequence[Row], speed: Latency) -> str:
    """The table for people, scores in percent, with what was done in words above it."""
    titles = ["parameters", "GFLOPs", *(f"{title} ms" for title in speed), "mAP50", "mAP50-95"]
    titles += ["mAP50 against base", "mAP50-95 against base", "minutes"]
    lines = [_about(plan), "", f"| model | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for row in rows:
        is_base = row is rows[0]
        cells = [f"{row.parameters:,}", f"{row.gflops:.2f}", *(f"{times[row.model]:.1f}" for times in speed.values())]
        cells += [_spread(row.map50), _spread(row.map)]
        cells += ["base"] * 2 if is_base else [_difference(row.difference50), _difference(row.difference)]
        cells += [_number(row.minutes, ".1f")]
        lines.append(f"| {row.model} | {' | '.join(cells)} |")
    notes = [f"{row.model}: {row.missing}." for row in rows if row.missing]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _about(plan: Plan) -> str:
    given = plan.settings
    devices = sorted({job.note()["device"] for job in plan.jobs() if job.is_finished()} - {""})
    trained_on = f"; trained on {' and '.join(devices)}" if devices else ""
    return (
        f"{len(plan.seeds)} seeds ({', '.join(map(str, plan.seeds))}), {plan.epochs} epochs of {given['data']} at "
        f"{given['imgsz']} pixels, batch {given['batch_size']}, {given['optimizer']}, "
        f"start: {given['weights'] or 'from scratch'}{trained_on}.\n{READING}"
    )


def _spread(values: Sequence[float]) -> str:
    found = estimate(values)
    return f"{_number(100 * found.mean, '.2f')} ± {_number(100 * found.sd, '.2f')}"


def _difference(found: Estimate) -> str:
    if math.isnan(found.mean):
        return "-"
    text = f"{100 * found.mean:+.2f} ± {_number(100 * found.margin, '.2f')}"
    return text if found.is_distinguishable else f"{text}, not distinguishable"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _finished(plan: Plan, model: str) -> dict[int, Job]:
    jobs = {seed: plan.job(model, seed) for seed in plan.seeds}
    return {seed: job for seed, job in jobs.items() if job.is_finished()}


def _why_missing(plan: Plan, model: str, finished: Mapping[int, Job]) -> str:
    missing = [(seed, plan.job(model, seed).note()["failure"]) for seed in plan.seeds if seed not in finished]
    return "; ".join(f"seed {seed} failed: {why}" if why else f"seed {seed} is not trained" for seed, why in missing)


def _csv(lines: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
