import pytest
import torch

from benchmarks.contenders import bytes_kept
from models.ema_folded import constants_of, seen_by_taps
from tests.models.attention.golden import golden_errors
from tests.models.attention_cases import check_errors, make_input, make_module, run

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
SHAPES = [
    (2, 64, 1, 1),
    (2, 64, 1, 9),
    (1, 320, 2, 5),
    (2, 128, 13, 17),
    (1, 32, 160, 160),
    (1, 96, 80, 80),
    (2, 512, 8, 7),
    (1, 640, 6, 6),
    (1, 1280, 5, 3),
]


def folded(channels, factor=32):
    return make_module(channels, factor).use("folded")


def test_empty_batch():
    module, x = folded(64), torch.zeros(0, 64, 5, 7, dtype=torch.float64)
    y, dx, gradients = run(module, x)
    assert y.shape == dx.shape == (0, 64, 5, 7)
    assert not gradients.any()


@pytest.mark.parametrize("factor", [1, 3, 6])
def test_gradients_are_the_derivatives(factor):
    module, x = folded(6, factor), make_input((2, 6, 3, 4)).requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def call(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters)), (x,))

    assert torch.autograd.gradcheck(call, (x, *module.parameters()))


@pytest.mark.parametrize(("file", "args"), [("ema_c64", (64,)), ("ema_c512", (512,)), ("ema_f8_c64", (64, 8))])
def test_equals_the_authors_module(file, args):
    assert max(golden_errors(file, folded(*args)).values()) < 1e-9


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("near_constant", [False, True])
def test_errors_in_float32(shape, near_constant):
    check_errors(make_module(shape[1]), "folded", make_input(shape, near_constant), torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(2, 64, 1, 1), (2, 64, 1, 9), (2, 128, 13, 17)], ids=str)
@pytest.mark.parametrize("near_constant", [False, True])
@pytest.mark.parametrize("channels_last", [False, True])
def test_errors_in_every_type_and_layout(dtype, shape, near_constant, channels_last):
    x = make_input(shape, near_constant, channels_last)
    check_errors(make_module(shape[1]), "folded", x, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("near_constant", [False, True])
def test_errors_under_autocast(dtype, near_constant):
    module, x = make_module(64), make_input((2, 64, 9, 6), near_constant)
    check_errors(module, "folded", x, torch.bfloat16, autocast=True)
    module = module.float().use("folded")
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x.to(dtype))
    assert y.dtype == dtype
    torch.testing.assert_close(y, module(x.to(dtype)))


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 1), (2, 2), (5, 7)])
def test_what_a_tap_sees(size):
    x = make_input((2, 3, *size))
    eye = torch.eye(9, dtype=x.dtype).reshape(9, 1, 3, 3)  # one output channel per tap
    wanted = torch.nn.functional.conv2d(x.reshape(6, 1, *size), eye, padding=1).mean((2, 3)).reshape(2, 3, 3, 3)
    torch.testing.assert_close(seen_by_taps(x, x.mean(3), x.mean(2)), wanted)


def test_gated_branch_pools_to_beta():
    """The identity that folding rests on."""
    module, x = make_module(64), make_input((2, 64, 7, 5))
    normed = module.gn(x.reshape(64, 2, 7, 5) * torch.rand(64, 2, 7, 5))
    torch.testing.assert_close(normed.mean((2, 3)), module.gn.bias.expand(64, 2))


def test_constants_are_the_branch_summed():
    module = make_module(96)
    q1, constants = module.gn.bias.softmax(0), constants_of(module._weights())
    torch.testing.assert_close(constants.kernel, torch.einsum("o,oikl->ikl", q1, module.conv3x3.weight).reshape(3, 9))
    torch.testing.assert_close(constants.bias, q1 @ module.conv3x3.bias)


def test_runs_are_bit_equal_under_deterministic_algorithms(recwarn):
    module, x = folded(128).float(), make_input((2, 128, 13, 17)).float()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = run(module, x), run(module, x)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert not recwarn.list


def test_keeps_x_and_small_vectors():
    module, x = folded(512).float(), torch.randn(2, 512, 20, 20)
    assert bytes_kept(module, x) <= 1.2 * x.nbytes
