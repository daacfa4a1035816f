import cv2
import numpy as np
import pytest
import torch

from models import build_model
from models.ema import EMA
from tests.command import run_cli
from tools import gates
from utils.checkpoint import save_checkpoint
from utils.errors import UserError


def test_gates_are_what_the_block_multiplies_by():
    torch.manual_seed(0)
    block, x = EMA(64), torch.randn(2, 64, 5, 7)
    found = gates.gates_of(x, block(x), 32)
    assert found.shape == (2, 32, 5, 7)
    torch.testing.assert_close(found.repeat_interleave(2, 1).float() * x, block(x), rtol=1e-4, atol=1e-5)


def test_a_place_without_values_has_no_gate():
    zeros = torch.zeros(1, 4, 2, 2)
    assert torch.equal(gates.gates_of(zeros, zeros, 2), torch.zeros(1, 2, 2, 2, dtype=torch.float64))


def test_every_block_is_watched():
    model = build_model("yolov5n-ema.yaml", nc=2).eval()
    found = gates.watch_gates(model)
    with torch.no_grad():
        model.predict(torch.rand(1, 3, 64, 96))
    assert {name: tuple(map_.shape) for name, map_ in found.items()} == {
        "layer 7 (EMA)": (4, 6),
        "layer 10 (EMA)": (2, 3),
    }
    assert all(map_.min() > 0 and map_.max() < 1 for map_ in found.values())


def test_a_model_without_ema_is_an_error():
    with pytest.raises(UserError, match="no EMA block"):
        gates.watch_gates(build_model("yolov5n.yaml", nc=2))


def test_the_command_draws_a_panel_per_block(tmp_path):
    model = build_model("yolov5n-ema.yaml", nc=2)
    content = {"yaml": model.yaml, "names": model.names, "state_dict": dict(model.state_dict()), "dtype": "float32"}
    save_checkpoint(
        tmp_path / "m.pt", content | {"epoch": 0, "best_fitness": 0.0, "date": "2000-01-01", "training": None}
    )
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 100, 3), 90, np.uint8))
    flags = ["--weights", str(tmp_path / "m.pt"), "--source", str(tmp_path / "a.png"), "--imgsz", "96"]
    outcome = run_cli("tools.gates", [*flags, "--project", str(tmp_path / "runs")])
    assert outcome.code == 0, outcome.err
    drawn = cv2.imread(str(tmp_path / "runs" / "exp" / "a.jpg"))
    assert drawn.shape == (64 + gates.BAR, 3 * 96, 3)
