import math

import pytest
import torch
from torch import nn

from utils.averaging import WeightAverage, decay_at


def make_model(value):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)
    return model


def test_decay_grows_from_zero():
    assert decay_at(1) == pytest.approx(0.9999 * (1 - math.exp(-1 / 2000)))
    assert decay_at(100_000) == pytest.approx(0.9999)


def test_average_follows_the_formula_for_weights_and_buffers():
    model = make_model(0.0)
    average = WeightAverage(model, decay=0.9, tau=2.0)
    expected = 0.0
    for update, value in enumerate((1.0, 2.0, -3.0), start=1):
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.fill_(value)
        average.update(model)
        kept = 0.9 * (1 - math.exp(-update / 2.0))
        expected = kept * expected + (1 - kept) * value
    average.copy_counters(model)
    assert average.updates == 3
    for name, tensor in average.model.state_dict().items():
        wanted = -3 if name.endswith("num_batches_tracked") else expected
        torch.testing.assert_close(tensor, torch.full_like(tensor, wanted))


def test_average_is_apart_from_the_model():
    model = make_model(1.0)
    average = WeightAverage(model)
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    average.update(model)
    average.model[0].weight.zero_()
    assert model[0].weight.min() == 1
    assert model.training
