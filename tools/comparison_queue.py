"""Running the runs of a comparison: a process each, one at a time on every device."""

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.timing import describe_device
from tools.comparison import Job, Plan
from utils.device import select_device
from utils.errors import LOG, ROOT, UserError
from utils.progress import progress

POLL = 0.5  # seconds
LOG_FILE = "train.log"


@dataclass
class Running:
    """A run that has a device at the moment; of its log, `logged` bytes were there before."""

    job: Job
    process: subprocess.Popen
    began: float
    logged: int


def split_devices(text: str) -> tuple[str, ...]:
    """What --device names, as train.py takes it: 'cpu', 'mps' or a GPU's number each. `UserError` where one is not
    there, or named twice."""
    names = tuple(str(select_device(part)).removeprefix("cuda:") for part in text.split(","))
    if len(set(names)) < len(names):
        raise UserError(f"--device {text}: names a device twice, and each trains one run at a time; name each once")
    return names


def run_all(plan: Plan, devices: Sequence[str], workers: int) -> dict[str, str]:
    """Train every run that is not finished; returns the names of those that failed, with the reason. One bar counts
    the epochs of all. Ctrl-C ends the runs in hand; the same command goes on with them."""
    queue = Queue(plan, devices, workers)
    LOG.info(f"{plan.folder}: {len(plan.jobs())} runs of {plan.epochs} epochs, {queue.finished_before} finished before")
    total = plan.epochs * len(plan.jobs())
    with progress(None, "comparing", total, "epoch", _epochs_done(plan)) as bar, queue:
        while queue.occupy():
            bar.set_postfix_str(", ".join(queue.names()), refresh=False)
            time.sleep(POLL)
            queue.collect()
            done = _epochs_done(plan)
            if done > bar.n:  # an update by nothing would count for the rate
                bar.update(done - bar.n)
    return queue.failures


class Queue:
    """The runs that wait for a device, those that have one, and why others failed. As a context: what is running when
    the block is left is ended."""

    def __init__(self, plan: Plan, devices: Sequence[str], workers: int):
        self.plan, self.workers = plan, workers
        self.devices = {name: describe_device(select_device(name)) for name in devices}
        self.waiting = [job for job in plan.jobs() if not job.is_finished()]
        self.finished_before = len(plan.jobs()) - len(self.waiting)
        self.running: dict[str, Running] = {}
        self.failures: dict[str, str] = {}

    def __enter__(self) -> "Queue":
        return self

    def __exit__(self, *_: object) -> None:
        for entry in self.running.values():
            entry.process.terminate()
        for device, entry in self.running.items():
            entry.process.wait()
            self._note(device, entry, None)

    def names(self) -> list[str]:
        """Of the runs in hand."""
        return [entry.job.name for entry in self.running.values()]

    def occupy(self) -> bool:
        """Give every idle device a run while there are any; whether one is in hand."""
        for device in self.devices:
            if device not in self.running and self.waiting:
                self.running[device] = _start(self.plan, self.waiting.pop(0), device, self.workers)
        return bool(self.running)

    def collect(self) -> None:
        """Take in the runs that have ended, and note how."""
        for device, entry in list(self.running.items()):
            if entry.process.poll() is None:
                continue
            del self.running[device]
            failure = None if entry.process.returncode == 0 else _reason(entry)
            self._note(device, entry, failure)
            if failure is not None:
                self.failures[entry.job.name] = failure

    def _note(self, device: str, entry: Running, failure: str | None) -> None:
        entry.job.add_note(time.monotonic() - entry.began, failure, self.devices[device])


def _epochs_done(plan: Plan) -> int:
    return sum(min(job.epochs_done(), plan.epochs) for job in plan.jobs())


def _start(plan: Plan, job: Job, device: str, workers: int) -> Running:
    """Begin the run, or go on with it from its last checkpoint."""
    resumable = job.last.is_file()
    if not resumable and job.folder.is_dir():
        shutil.rmtree(job.folder)  # it was stopped before its first checkpoint
    job.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "train.py"), "--device", device]
    command += ["--resume", str(job.last.absolute())] if resumable else _flags(plan, job, workers)
    with (job.folder / LOG_FILE).open("ab") as log:
        logged = log.tell()
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    return Running(job, process, time.monotonic(), logged)


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
    return [str(part) for pair in values.items() for part in pair] + ["--exist-ok", "--noplots", "--allow-partial"]


def _reason(entry: Running) -> str:
    """The sentence that train.py ended with, or where to look."""
    log = entry.job.folder / LOG_FILE
    lines = log.read_bytes()[entry.logged :].decode(errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return errors[-1] if errors else f"it ended with code {entry.process.returncode}, see {log}"
