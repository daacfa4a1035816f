import pytest
import torch
from torch import nn

from utils.autobatch import choose_batch_size, fit_batch_size


def test_without_a_gpu_it_is_16_in_one_sentence(caplog):
    caplog.set_level("INFO")
    assert choose_batch_size(nn.Conv2d(3, 4, 1), 64, torch.float32) == 16
    assert "only be measured on a CUDA GPU; using batch 16" in caplog.text


@pytest.mark.parametrize(
    ("probes", "used", "budget", "batch"),
    [
        ([], [], 100.0, 16),
        ([1], [10.0], 100.0, 16),
        ([1, 2, 4], [12.0, 14.0, 18.0], 110.0, 50),  # 10 + 2 per image
        ([1, 2], [5.0, 5.0], 100.0, 16),
        ([1, 2], [12.0, 14.0], 1.0, 1),
    ],
)
def test_line_through_the_probes(probes, used, budget, batch):
    assert fit_batch_size(probes, used, budget) == batch


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_it_measures_and_leaves_the_model_alone():
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)).cuda()
    model.forward = lambda images: [nn.Sequential.forward(model, images)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert choose_batch_size(model, 256, torch.float32) >= 16
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
