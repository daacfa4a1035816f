import copy

import pytest
import torch

from models.ema import EMA
from tests.models.reference import attention_errors
from utils.errors import UserError


def test_empty_batch():
    assert EMA(64)(torch.zeros(0, 64, 5, 7)).shape == (0, 64, 5, 7)


@pytest.mark.parametrize(("file", "args"), [("ema_c64", (64,)), ("ema_c512", (512,)), ("ema_f8_c64", (64, None, 8))])
def test_equals_the_authors_module(file, args):
    errors = attention_errors(f"{file}.npz", EMA(*args))
    assert max(errors.values()) < 1e-9, errors


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 5), (13, 17)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_size_keeps_shape_and_input(size, layout):
    torch.manual_seed(0)
    module, x = EMA(64), torch.randn(2, 64, *size).to(memory_format=layout)
    before = x.clone()
    y = module(x)
    assert y.shape == x.shape and y.isfinite().all()
    assert torch.equal(x, before)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    module = EMA(64)
    module(torch.randn(2, 64, 6, 7)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


def test_train_and_eval_agree_and_copies_are_equal():
    torch.manual_seed(0)
    module, x = EMA(64), torch.randn(2, 64, 6, 7)
    assert torch.equal(module.train()(x), copy.deepcopy(module).eval()(x))


def test_parameter_count():
    n = 512 // 32
    assert sum(p.numel() for p in EMA(512).parameters()) == 10 * n**2 + 4 * n


@pytest.mark.parametrize(("channels", "c2", "factor"), [(100, None, 32), (64, 32, 32), (64, None, 0)])
def test_impossible_channels(channels, c2, factor):
    with pytest.raises(UserError):
        EMA(channels, c2, factor)


def test_error_lists_factors_that_work():
    with pytest.raises(UserError, match=r"100 channels are not divisible by the factor 32.*\[1, 2, 4, 5, 10, 20, 25, 50"):
        EMA(100)
