"""Run by test_resume.py: trains once without a break, and once killed with -9 at three random moments and resumed.

python tests/resume_driver.py FOLDER WORKERS SEED
"""

import io
import json
import os
import random
import signal
import sys
from pathlib import Path

import torch

from tools.training_run import Run
from train import fit
from utils import checkpoint
from utils.learner import Learner
from utils.train_options import TrainOptions


def in_child(action):
    """Run `action` in a process of its own; returns the signal that killed it, 0 where none did."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a training run failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(number, function, instead):
    """`function`, but the call of this number (from 1) is `instead`'s."""
    calls = 0

    def counted(*args, **kwargs):
        nonlocal calls
        calls += 1
        return (instead if calls == number else function)(*args, **kwargs)

    return counted


def die_in_an_epoch(number):
    Learner.train_step = at_call(number, Learner.train_step, lambda *args, **kwargs: die())


def die_while_writing(number):
    def write_half(content, path):
        whole = io.BytesIO()
        save(content, whole)
        Path(path).write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
        die()

    save = torch.save
    checkpoint.torch.save = at_call(number, save, write_half)


def die_before_saving(number):
    Run.save = at_call(number, Run.save, lambda *args, **kwargs: die())


def main():
    torch.set_num_threads(1)
    folder, workers, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    options = json.loads((folder / "options.json").read_text()) | {"workers": workers}
    random_ = random.Random(seed)
    print("whole", in_child(lambda: fit(TrainOptions(**options, name="whole"))))
    moments = [
        (die_in_an_epoch, random_.randint(2, 5)),
        (die_while_writing, random_.randint(1, 4)),
        (die_before_saving, random_.randint(1, 2)),
    ]
    again = {"resume": str(folder / "runs" / "killed" / "weights" / "last.pt")}
    flags = options | {"name": "killed"}
    for arrange, number in moments:
        print(arrange.__name__, number, in_child(lambda: (arrange(number), fit(TrainOptions(**flags)))))  # noqa: B023
        flags = again
    print("rest", in_child(lambda: fit(TrainOptions(**again))))


if __name__ == "__main__":
    main()
