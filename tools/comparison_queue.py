"""Running the runs of a comparison: a process each, one at a time on every device."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.comparison import Job, Plan
from utils.device import select_device
from utils.errors import LOG, ROOT
from utils.progress import progress

POLL = 0.5  # seconds
LOG_FILE = "train.log"


@dataclass
class Running:
    """A run that has a device at the moment."""

    job: Job
    process: subprocess.Popen
    began: float


def run_all(plan: Plan, device: str, workers: int) -> dict[str, str]:
    """Train every run that is not finished; returns the names of those that failed, with the reason. One bar counts
    the epochs of all. Ctrl-C ends the runs in hand; the same command goes on with them."""
    devices = [part.strip() for part in device.split(",")] if device else [""]
    for name in devices:
        select_device(name)
    jobs = plan.jobs()
    waiting = [job for job in jobs if not job.is_finished()]
    LOG.info(f"{plan.folder}: {len(jobs)} runs of {plan.epochs} epochs, {len(jobs) - len(waiting)} finished before")
    failures: dict[str, str] = {}
    total, before = plan.epochs * len(jobs), _epochs_done(plan, jobs)
    with progress(None, "comparing", total, "epoch", before) as bar, _hands_in() as running:
        while waiting or running:
            for name in devices:
                if name not in running and waiting:
                    job = waiting.pop(0)
                    running[name] = Running(job, _start(plan, job, name, workers), time.monotonic())
            bar.set_postfix_str(", ".join(entry.job.name for entry in running.values()), refresh=False)
            time.sleep(POLL)
            for name, entry in list(running.items()):
                if entry.process.poll() is not None:
                    failures |= _end(entry)
                    del running[name]
            done = _epochs_done(plan, jobs)
            if done > bar.n:  # an update by nothing would count for the rate
                bar.update(done - bar.n)
    return failures


def _epochs_done(plan: Plan, jobs: Sequence[Job]) -> int:
    return sum(min(job.epochs_done(), plan.epochs) for job in jobs)


@contextmanager
def _hands_in() -> Iterator[dict[str, Running]]:
    """The runs in hand, by device; when the block is left by an exception they are ended, too."""
    running: dict[str, Running] = {}
    try:
        yield running
    finally:
        for entry in running.values():
            entry.process.terminate()
        for entry in running.values():
            entry.process.wait()
            entry.job.add_note(time.monotonic() - entry.began, None)


def _start(plan: Plan, job: Job, device: str, workers: int) -> subprocess.Popen:
    """Begin the run, or go on with it from its last checkpoint."""
    resumable = job.last.is_file()
    if not resumable and job.folder.is_dir():
        shutil.rmtree(job.folder)  # it was stopped before its first checkpoint
    job.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "train.py")]
    command += ["--resume", str(job.last.absolute())] if resumable else _flags(plan, job, workers)
    command += ["--device", device] if device else []
    with (job.folder / LOG_FILE).open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _flags(plan: Plan, job: Job, workers: int) -> list[str]:
    values = {
        "--cfg": job.config.absolute(),
        "--weights": job.start.absolute(),
        "--data": plan.settings["data"],
        "--hyp": (plan.folder / "hyp.yaml").absolute(),
        "--epochs": plan.epochs,
        "--imgsz": plan.settings["imgsz"],
        "--batch-size": plan.settings["batch_size"],
        "--optimizer": plan.settings["optimizer"],
        "--seed": job.seed,
        "--patience": 0,
        "--workers": workers,
        "--project": job.folder.parent.absolute(),
        "--name": job.folder.name,
    }
    return [str(part) for pair in values.items() for part in pair] + ["--exist-ok", "--noplots"]


def _end(entry: Running) -> dict[str, str]:
    """Note how a run ended; {its name: the reason} where it failed."""
    failure = None if entry.process.returncode == 0 else _reason(entry.job.folder / LOG_FILE, entry.process.returncode)
    entry.job.add_note(time.monotonic() - entry.began, failure)
    return {} if failure is None else {entry.job.name: failure}


def _reason(log: Path, code: int) -> str:
    """The sentence that train.py ended with, or where to look."""
    errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("error: ")]
    return errors[-1].removeprefix("error: ") if errors else f"it ended with code {code}, see {log}"
