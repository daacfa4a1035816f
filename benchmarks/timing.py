"""How the benchmarks time: contenders take turns in one process, and medians count.

glibc gives large blocks of memory back and has them faulted in anew, which makes the same CPU code's time jump from
process to process. So everything is timed in child processes whose allocator keeps its memory.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from utils.errors import LOG, ROOT, UserError

ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 36)}
RESULT = "benchmark result: "
Work = Callable[[], object]


def in_child_processes(module: str, arguments: Sequence[str], count: int) -> list[Any]:
    """Run `python -m module arguments` so many times, one after the other, and collect what each gave `hand_back`."""
    results = []
    for number in range(count):
        LOG.info("process %d of %d", number + 1, count)
        command = [sys.executable, "-m", module, *arguments]
        child = subprocess.Popen(command, cwd=ROOT, env=os.environ | ALLOCATOR, stdout=subprocess.PIPE, text=True)
        found = None
        for line in child.stdout:
            if line.startswith(RESULT):
                found = json.loads(line.removeprefix(RESULT))
            else:
                LOG.info("%s", line.rstrip())
        if child.wait() or found is None:
            raise UserError(f"{module}: a measuring process ended with {child.returncode}; its output says why")
        results.append(found)
    return results


def is_child() -> bool:
    """Whether this process was started by `in_child_processes`."""
    return all(os.environ.get(name) == value for name, value in ALLOCATOR.items())


def hand_back(result: Any) -> None:
    """Give a result of plain data to the parent process."""
    LOG.info("%s%s", RESULT, json.dumps(result))


def take_turns(contenders: dict[str, Work], device: torch.device, seconds: float) -> dict[str, float]:
    """Median milliseconds of a call of each contender; all take turns until about `seconds` have passed, 5 rounds at
    least. Every round has an order of its own: what a contender finds in the caches is what the one before it left.
    On a GPU a turn is as many queued calls as fill 5 ms, between two events."""
    turns = {name: _turns(work, device) for name, work in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    end, order, names = time.perf_counter() + seconds, random.Random(0), list(contenders)
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name in order.sample(names, len(names)):
            times[name].append(_time(contenders[name], device, turns[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def describe_device(device: torch.device) -> str:
    """What was measured on, in words."""
    versions = f"PyTorch {torch.__version__.split('+')[0]}"
    if device.type == "cuda":
        return f"one {torch.cuda.get_device_name(device)}, {versions}"
    return f"a CPU with {torch.get_num_threads()} of {os.cpu_count()} cores in use, {versions}"


def _turns(work: Work, device: torch.device) -> int:
    for _ in range(3):
        work()
    return 1 if device.type != "cuda" else max(1, min(200, int(5 / max(_time(work, device, 3), 1e-3))))


def _time(work: Work, device: torch.device, calls: int) -> float:
    """Milliseconds per call."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - start) * 1e3 / calls
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / calls
