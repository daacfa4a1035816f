import pytest
import torch
from torch import nn

from models import build_model
from models.common import C3TR
from utils.errors import UserError
from utils.optim import build_optimizer, describe_groups, freeze_layers, split_parameters


class Odd(nn.Module):
    """Parameters with names of their own, as some attention modules have: a scale, and a matrix."""

    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, 3, 1, 1))
        self.mixed = nn.Parameter(torch.ones(3, 2))


def make_model():
    torch.manual_seed(0)
    shared = nn.Conv2d(4, 4, 1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), shared, nn.GroupNorm(2, 4), shared, Odd())


def test_each_parameter_is_in_one_group():
    model = make_model()
    biases, decayed, norms = split_parameters(model)
    assert [id(p) for p in biases] == [id(p) for p in (model[0].bias, model[1].bias, model[2].bias, model[3].bias)]
    assert [id(p) for p in decayed] == [id(p) for p in (model[0].weight, model[2].weight, model[5].mixed)]
    assert [id(p) for p in norms] == [id(p) for p in (model[1].weight, model[3].weight, model[5].alpha)]


@pytest.mark.parametrize("build", [lambda: build_model("yolov5n.yaml", nc=1), lambda: C3TR(8, 8)], ids=["n", "C3TR"])
def test_stocks_blocks_have_stocks_groups(build):
    """By the names alone, but for the bias that PyTorch's attention calls in_proj_bias: stock decays it."""
    with torch.device("meta"):
        model = build()
    names = {parameter: name for name, parameter in model.named_parameters()}
    biases, decayed, norms = ([names[parameter] for parameter in group] for group in split_parameters(model))
    assert biases == [name for name in names.values() if name.endswith(".bias")]
    assert norms == [name for name in names.values() if name.endswith((".bn.weight", "in_proj_bias"))]
    assert set(decayed) == set(names.values()) - set(biases) - set(norms)


@pytest.mark.parametrize(
    ("name", "kind"), [("SGD", torch.optim.SGD), ("Adam", torch.optim.Adam), ("AdamW", torch.optim.AdamW)]
)
def test_groups_stand_in_stock_order(name, kind):
    optimizer = build_optimizer(make_model(), name, 0.01, 0.9, 5e-4)
    assert type(optimizer) is kind
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 5e-4, 0.0]
    first = optimizer.param_groups[0]
    if name == "SGD":
        assert first["momentum"] == 0.9
        assert first["nesterov"]
    else:
        assert first["betas"] == (0.9, 0.999)
    assert "4 biases, 3 weights (decay=0.0005), 3 norm weights" in describe_groups(optimizer)


def test_a_step_equals_the_formula_in_any_memory_layout():
    """Nesterov SGD's first step: w -= lr * (1 + momentum) * (g + decay * w); channels_last changes nothing."""
    steps = []
    for layout in (torch.contiguous_format, torch.channels_last):
        model = make_model().to(memory_format=layout)
        optimizer = build_optimizer(model, "SGD", 0.1, 0.9, 0.01)
        weight = model[0].weight
        before = weight.detach().clone()
        gradient = torch.arange(weight.numel(), dtype=torch.float32).view(weight.shape) / 100
        weight.grad = gradient.to(memory_format=layout)
        optimizer.step()
        torch.testing.assert_close(weight.detach(), before - 0.1 * 1.9 * (gradient + 0.01 * before))
        steps.append(weight.detach().contiguous())
    assert torch.equal(*steps)


def test_unknown_optimizer_is_named():
    with pytest.raises(UserError, match="Lion.*SGD, Adam, AdamW"):
        build_optimizer(make_model(), "Lion", 0.1, 0.9, 0.0)


def test_frozen_layers_stay():
    model = make_model()
    assert freeze_layers(model, ()) == 0
    assert freeze_layers(model, ("0.", "1.")) == 4
    assert [parameter.requires_grad for parameter in model.parameters()] == [False] * 4 + [True] * 6
