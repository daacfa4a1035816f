import json

import pytest
import torch

from benchmarks import train_step
from benchmarks.train_step import BOXES, StepOptions, main, make_batch, measure, prepare, summarise
from utils.errors import UserError


def test_a_made_up_batch_is_one_that_a_loader_could_give():
    images, targets = make_batch(3, 64, 10, 0)
    assert images.shape == (3, 3, 64, 64) and images.dtype == torch.uint8
    assert targets.shape == (3 * BOXES, 6) and targets[:, 0].unique().tolist() == [0, 1, 2]
    assert targets[:, 1].min() >= 0 and targets[:, 1].max() <= 9
    low, high = targets[:, 2:4] - targets[:, 4:] / 2, targets[:, 2:4] + targets[:, 4:] / 2
    assert low.min() >= 0 and high.max() <= 1 and targets[:, 4:].min() > 0


def test_a_step_trains():
    step, model, _ = prepare(StepOptions(cfg="yolov5n-ema.yaml", nc=2, imgsz=64, batch_size=2), torch.device("cpu"))
    before = {name: value.clone() for name, value in model.named_parameters()}
    step(0)
    assert any(not torch.equal(before[name], value) for name, value in model.named_parameters())


def test_what_is_measured():
    threads = torch.get_num_threads()
    found = measure(StepOptions("yolov5n-ema.yaml", 2, 64, 2, device="cpu", threads=threads, iterations=2, warmup=1))
    assert found["cfg"] == "yolov5n-ema.yaml" and found["nc"] == 2 and found["kind"] == "cpu"
    assert found["milliseconds"] > 0 and found["clock"] == "wall"
    assert found["peak_bytes"] > 50 << 20  # weights, gradients, momentum and average alone, and PyTorch itself


def test_hours():
    found = summarise({"batch_size": 4, "milliseconds": 500.0}, images=7200, epochs=10)
    assert found["images_per_second"] == 8 and found["hours"] == pytest.approx(2.5)


def test_the_command_writes_what_a_child_measured(tmp_path, monkeypatch):
    arguments = ["train_step", "--batch", "4", "--images", "7200", "--epochs", "10", "--out", str(tmp_path / "a.json")]
    monkeypatch.setattr("sys.argv", arguments)
    measured = {"batch_size": 4, "milliseconds": 500.0}
    monkeypatch.setattr(train_step, "in_child_processes", lambda module, given, count: [measured])
    main()
    assert json.loads((tmp_path / "a.json").read_text())["hours"] == pytest.approx(2.5)


def test_no_iterations(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train_step", "--iterations", "0"])
    with pytest.raises(UserError, match="--iterations 0"):
        main()


def test_processor_time_of_several_threads(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train_step", "--processor", "--device", "cpu", "--threads", "2"])
    with pytest.raises(UserError, match="add --device cpu --threads 1"):
        main()
