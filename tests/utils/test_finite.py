import math

import torch
from torch import nn

from utils.finite import find_nonfinite, find_nonfinite_gradient


def make_model():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.SiLU())
    return nn.Sequential(nn.Conv2d(3, 4, 1), inner, nn.Conv2d(4, 2, 1))


def test_all_finite():
    model = make_model()
    assert find_nonfinite(model, lambda: model(torch.rand(2, 3, 4, 4))) is None
    assert find_nonfinite_gradient(model) is None


def test_the_innermost_first_module_is_named_and_hooks_are_gone():
    model = make_model()
    with torch.no_grad():
        model[1][0].weight[0, 0] = math.inf
    found = find_nonfinite(model, lambda: model(torch.rand(2, 3, 4, 4)))
    assert found == "1.0 (Conv2d), whose weight holds 1 such value"
    assert not any(module._forward_hooks for module in model.modules())


def test_a_layer_that_overflows_by_itself_is_named_without_a_parameter():
    model = make_model()
    with torch.no_grad():
        model[2].weight.fill_(3e38)
    found = find_nonfinite(model, lambda: model(torch.randn(2, 3, 4, 4)))
    assert found is not None
    assert found.startswith("2 (Conv2d)")
    assert "holds" not in found


def test_the_last_bad_gradient_is_named():
    model = make_model()
    model(torch.rand(2, 3, 4, 4)).sum().backward()
    model[1][0].weight.grad[0] = math.nan
    assert find_nonfinite_gradient(model) == "1.0.weight"
