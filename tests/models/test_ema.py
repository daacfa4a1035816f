import copy

import pytest
import torch

from models import build_model
from models.ema import EMA, FOLDED_FROM, choose
from tests.models.attention.golden import golden_errors
from tests.models.attention_cases import make_input, make_module, run
from utils.errors import UserError


def test_empty_batch():
    assert EMA(64)(torch.zeros(0, 64, 5, 7)).shape == (0, 64, 5, 7)


@pytest.mark.parametrize(("file", "args"), [("ema_c64", (64,)), ("ema_c512", (512,)), ("ema_f8_c64", (64, None, 8))])
def test_equals_the_authors_module(file, args):
    errors = golden_errors(file, EMA(*args).use("reference"))
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
    with pytest.raises(
        UserError, match=r"100 channels are not divisible by the factor 32.*\[1, 2, 4, 5, 10, 20, 25, 50"
    ):
        EMA(100)


@pytest.mark.parametrize("evaluation", ["reference", "folded"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_layout_and_type_come_out_as_they_went_in(evaluation, channels_last, autocast):
    module = make_module(64).float().use(evaluation)
    run(module, make_input((2, 64, 5, 7), channels_last=channels_last).float(), autocast)  # run() checks both


def test_the_faster_evaluation_is_taken():
    small, large = torch.zeros(1, 64, 4, 4), torch.zeros(1, 64, 1, FOLDED_FROM // 64)
    half = large[..., : large.shape[3] // 2 + 1]
    with torch.no_grad():
        assert [choose(x, 32) for x in (small, half, large)] == ["reference", "reference", "folded"]
    assert [choose(x, 32) for x in (small, half, large)] == ["reference", "folded", "folded"]
    assert choose(large.to("meta"), 32) == "reference"


def test_an_evaluation_can_be_forced():
    torch.manual_seed(0)
    module, x = EMA(64), torch.randn(2, 64, 6, 7)
    assert module.use("folded") is module
    torch.testing.assert_close(module(x), module.use("reference")(x))
    assert module.use(None).evaluation is None
    with pytest.raises(UserError, match="'quick'.*reference, folded, fused"):
        module.use("quick")


@pytest.mark.parametrize("evaluation", ["reference", "folded"])
def test_fused_constants_change_nothing(evaluation):
    module, x = make_module(64).eval().use(evaluation), make_input((2, 64, 6, 7))
    names = set(module.state_dict())
    before = module(x)
    module.fuse()
    module.fuse()
    torch.testing.assert_close(module(x), before)
    torch.testing.assert_close(module.float()(x.float()).double(), before, rtol=1e-4, atol=1e-4)
    assert set(module.state_dict()) == names


def test_a_fused_module_refuses_to_train_or_load():
    module, x = EMA(64), torch.randn(1, 64, 3, 3)
    module.fuse()
    with pytest.raises(UserError, match="load the weights again to train"):
        module.train()(x)
    with torch.no_grad():
        module(x)
    module.eval()(x.requires_grad_()).sum().backward()  # explaining a picture is no training
    with pytest.raises(UserError, match="load weights before fuse"):
        module.load_state_dict(EMA(64).state_dict())


def test_a_fused_network_refuses_to_train():
    model = build_model("yolov5n-ema.yaml", nc=1).fuse()
    assert all(module.folded_kernel is not None for module in model.modules() if isinstance(module, EMA))
    with pytest.raises(UserError, match="load the weights again to train"):
        model.train()(torch.zeros(1, 3, 64, 64))
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
