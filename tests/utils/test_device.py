import pytest
import torch

from utils.device import select_device
from utils.errors import UserError


@pytest.fixture
def gpus(monkeypatch):
    def pretend(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return pretend


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("", 0, "cpu"),
        ("", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        (" CPU ", 0, "cpu"),
        ("1", 2, "cuda:1"),
        ("cuda:1", 2, "cuda:1"),
        ("cuda", 1, "cuda:0"),
    ],
)
def test_choices(gpus, text, count, expected):
    gpus(count)
    assert select_device(text) == torch.device(expected)


@pytest.mark.parametrize(
    ("text", "count", "words"),
    [
        ("0", 0, "0 CUDA GPUs were found"),
        ("2", 2, "2 CUDA GPUs were found"),
        ("0,1", 2, "several GPUs come in a later version"),
        ("tpu", 0, "is not a device"),
        ("mps", 0, "no Apple GPU"),
    ],
)
def test_what_is_not_there_is_refused(gpus, text, count, words):
    gpus(count)
    with pytest.raises(UserError, match=f"--device {text}: .*{words}"):
        select_device(text)
