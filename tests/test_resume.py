"""A run that was killed and resumed equals one that never stopped."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny import write_tiny

ROOT = Path(__file__).resolve().parent.parent
EPOCHS = 7


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("workers", "seed"), [(0, 0), (2, 1)])
def test_killed_three_times_equals_never_stopped(tmp_path, workers, seed):
    flags = write_tiny(tmp_path) | {"epochs": EPOCHS, "noplots": True}
    (tmp_path / "options.json").write_text(json.dumps(flags))
    command = [sys.executable, "-m", "tests.resume_driver", str(tmp_path), str(workers), str(seed)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    ends = [line.split()[-1] for line in done.stdout.splitlines()]
    assert ends == ["0", "9", "9", "9", "0"], done.stdout
    whole, killed = tmp_path / "runs" / "whole", tmp_path / "runs" / "killed"
    assert (killed / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
    assert len((killed / "results.csv").read_text().splitlines()) == 1 + EPOCHS
    for name in ("best.pt", "last.pt"):
        expected, found = (torch.load(run / "weights" / name, weights_only=True) for run in (whole, killed))
        assert found["epoch"] == expected["epoch"]
        assert found["best_fitness"] == expected["best_fitness"] > 0
        assert found["state_dict"].keys() == expected["state_dict"].keys()
        assert all(torch.equal(value, found["state_dict"][key]) for key, value in expected["state_dict"].items())
        assert found["training"] is None
    assert sorted(path.name for path in killed.rglob("*.*") if path.suffix != ".0") == sorted(
        path.name for path in whole.rglob("*.*") if path.suffix != ".0"
    )
