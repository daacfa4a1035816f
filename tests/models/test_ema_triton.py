"""The fused kernels: on the GPU where there is one, else in the interpreter (slow, so everything here is small)."""

import logging

import pytest
import torch

from benchmarks.contenders import bytes_kept
from models import ema
from models.ema import EMA
from tests.models.attention.golden import golden_errors
from tests.models.attention_cases import check_errors, make_input, make_module, run
from utils.errors import LOG, UserError

pytest.importorskip("triton", reason="Triton is not installed")
on_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the kernels refuse the CPU")
from models import ema_triton  # noqa: E402  needs Triton

pytestmark = [pytest.mark.filterwarnings("ignore:overflow encountered in exp")]  # numpy's, in places unused


@pytest.fixture
def streamed(monkeypatch):
    """Chunks so small that a tile takes several."""
    monkeypatch.setattr(ema_triton, "CHUNK", 512)


def fused(channels, factor):
    return make_module(channels, factor).use("fused")


def assert_equal(module, x):
    """Values and gradients of the fused evaluation are the reference's, in float64."""
    for got, wanted in zip(run(module.use("fused"), x), run(module.use("reference"), x)):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


def test_empty_batch():
    y, dx, gradients = run(fused(64, 32), torch.zeros(0, 64, 5, 7, dtype=torch.float64))
    assert y.shape == dx.shape == (0, 64, 5, 7)
    assert not gradients.any()


@pytest.mark.parametrize("shape", [(2, 2, 1, 1), (1, 4, 1, 9), (1, 6, 7, 1), (1, 10, 2, 5)], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
def test_values_and_gradients_are_the_references(shape, channels_last):
    assert_equal(make_module(shape[1], 2), make_input(shape, channels_last=channels_last))


@pytest.mark.parametrize("channels_last", [False, True])
def test_tiles_in_several_chunks(streamed, channels_last):
    assert_equal(make_module(3, 1), make_input((1, 3, 13, 17), channels_last=channels_last))


def test_many_channels():
    """Products of matrices too wide for one block are summed channel by channel."""
    assert_equal(make_module(40, 1), make_input((1, 40, 6, 5)))


@on_cpu
def test_equals_the_authors_module(monkeypatch):
    monkeypatch.setattr(ema_triton, "CHUNK", 8192)  # whole tiles: fewer steps to interpret
    assert max(golden_errors("ema_f8_c64", fused(64, 8), ("eval",)).values()) < 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (1, 12, 5, 7)], ids=str)
@pytest.mark.parametrize("near_constant", [False, True])
def test_errors(dtype, shape, near_constant):
    check_errors(make_module(shape[1], 2), "fused", make_input(shape, near_constant), dtype)


def test_errors_of_chunks_under_autocast(streamed):
    check_errors(make_module(10, 1), "fused", make_input((1, 10, 9, 6), True), torch.bfloat16, autocast=True)


@on_cpu
def test_strided_input_and_gradient():
    module, x = make_module(4, 2), make_input((1, 4, 5, 8))[..., ::2]
    y = module.use("fused")(x)
    torch.testing.assert_close(y, module.use("reference")(x))


@on_cpu
def test_runs_are_bit_equal(recwarn):
    module, x = fused(8, 2).float(), make_input((1, 8, 5, 6)).float()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = run(module, x), run(module, x)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    assert not recwarn.list


@on_cpu
def test_keeps_x_and_two_vectors():
    module, x = fused(16, 1).bfloat16(), make_input((1, 16, 20, 20)).bfloat16()
    assert bytes_kept(module, x) <= 1.02 * x.nbytes


@on_cpu
def test_the_operator_is_registered_rightly():
    module, x = make_module(4, 2), make_input((1, 4, 2, 3), channels_last=True).requires_grad_()
    torch.library.opcheck(torch.ops.yolov5_ema.attend.default, (x, *module._weights(), 2))


@on_cpu
def test_compiles_whole():
    module, x = fused(4, 2), make_input((1, 4, 3, 2))
    wanted = run(module, x)
    module.compile(fullgraph=True, backend="aot_eager")
    for got, expected in zip(run(module, x), wanted):
        torch.testing.assert_close(got, expected)


@on_cpu
def test_needs_a_gpu_unless_interpreted(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(UserError, match="needs a CUDA device"):
        EMA(64).use("fused")(torch.zeros(1, 64, 2, 2))


@on_cpu
def test_falls_back_with_one_line(monkeypatch, caplog):
    """Whatever a compiler or driver raises, the folded evaluation answers, and says so once."""
    monkeypatch.delenv("TRITON_INTERPRET")  # as if the kernels could not start
    monkeypatch.setattr(ema, "_unusable", [])
    module, x = make_module(64), make_input((1, 64, 3, 4))
    with caplog.at_level(logging.INFO, logger=LOG.name):
        results = [ema._fused(x, module._weights(), 32, forced=False) for _ in range(2)]
    assert len(caplog.records) == 1 and "folded evaluation is taken" in caplog.text
    assert not ema._kernels_ready()
    for y in results:
        torch.testing.assert_close(y, module.use("folded")(x))


def test_gradients_fall_back_too(monkeypatch, caplog):
    """A kernel that fails on the way back costs one line, not the run."""
    module, x = make_module(64), make_input((1, 64, 3, 4))
    wanted = run(module.use("reference"), x)

    def fail(*_):
        raise RuntimeError("out of resource")

    monkeypatch.setattr(ema_triton, "_partial", fail)
    ema_triton._say_once.cache_clear()
    with caplog.at_level(logging.INFO, logger=LOG.name):
        got = [run(module.use("fused"), x) for _ in range(2)]
    assert len(caplog.records) == 1 and "out of resource" in caplog.text
    for one in got:
        for mine, theirs in zip(one, wanted):
            torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)
