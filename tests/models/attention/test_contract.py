"""What every attention block keeps to (models/attention/contract.py), whatever it computes."""

import warnings

import numpy as np
import pytest
import torch

from models import attention
from models.attention import ATTENTIONS
from models.registry import BLOCKS, same
from tests.models.attention.cases import CASES, CHANNELS, GOLDEN, IMPOSSIBLE, make_input, stir
from utils.errors import UserError

SIZES = ((1, 1), (1, 9), (8, 12), (12, 8))
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def build(case, training=False):
    torch.manual_seed(0)
    return stir(case.build()).train(training)


def test_the_registry_knows_all():
    assert all(BLOCKS[cls.__name__] == (cls, same) for cls in ATTENTIONS)
    assert {cls.__name__ for cls in ATTENTIONS} | {"ATTENTIONS"} == set(attention.__all__)


def test_every_block_has_reference_figures_and_impossible_arguments():
    assert {case.cls for case in GOLDEN.values()} == set(ATTENTIONS)
    assert {cls for cls, _, _ in IMPOSSIBLE} <= set(ATTENTIONS)


@every_case
def test_empty_batch(case):
    assert build(case)(make_input(5, 7, batch=0)).shape == (0, CHANNELS, 5, 7)


@every_case
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_any_size_and_batch(case, training):
    """One picture and one pixel included; gradients are finite and the input is as it was."""
    for size in SIZES:
        for batch in (1, 2):
            module, x = build(case, training), make_input(*size, batch=batch)
            before = x.clone()
            y = module(x.requires_grad_())
            y.square().sum().backward()
            assert y.shape == x.shape and y.dtype == x.dtype
            assert torch.equal(x.detach(), before), f"{size}: the input was changed"
            for name, tensor in {"y": y, "x": x.grad, **{k: p.grad for k, p in module.named_parameters()}}.items():
                assert tensor is not None and tensor.isfinite().all(), f"{name} at batch {batch}, {size}"
            assert all(buffer.isfinite().all() for buffer in module.buffers())


@every_case
def test_constant_maps_have_finite_gradients(case):
    """Without any deviation, as in a grey picture, there are no NaN."""
    for value in (0.0, 0.7):
        module, x = build(case, training=True), torch.full((2, CHANNELS, 4, 5), value, requires_grad=True)
        module(x).square().sum().backward()
        assert all(tensor.grad.isfinite().all() for tensor in (x, *module.parameters()))


@every_case
def test_the_input_survives_its_gradient(case):
    """An intermediate map goes in, as in a network: nothing may be written into what autograd still needs."""
    source = make_input(6, 7).requires_grad_()
    x = source.sigmoid()
    before = x.detach().clone()
    build(case, training=True)(x).sum().backward()
    assert torch.equal(x.detach(), before) and source.grad.isfinite().all()


@every_case
def test_every_parameter_gets_a_gradient(case):
    """In eval mode: with batch statistics a bias before a norm has none, by right."""
    module = build(case)
    module(make_input(6, 7)).pow(3).sum().backward()
    assert {name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0} == set()


@every_case
def test_memory_layout_changes_nothing(case):
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        module = build(case, training=True).double()
        x = make_input(6, 7).double().to(memory_format=layout).requires_grad_()
        y = module(x)
        y.pow(3).sum().backward()
        results.append((y, x.grad, *(p.grad for p in module.parameters())))
    for contiguous, channels_last in zip(*results):
        torch.testing.assert_close(channels_last, contiguous)


@every_case
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("autocast", [False, True], ids=["bfloat16", "autocast"])
def test_bfloat16(case, autocast, training):
    """Close to float64 on the same values, forward and backward, and the type that came in comes out."""
    dtype = torch.float32 if autocast else torch.bfloat16
    module, x = build(case, training).to(dtype), make_input(8, 12).to(dtype)
    exact = build(case, training)
    exact.load_state_dict(module.state_dict())
    wanted = _run(exact.double(), x.double())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got = _run(module, x)
    for name, mine, other in zip(("y", "dx"), got, wanted):
        assert mine.dtype == dtype and mine.isfinite().all()
        error = float((mine.double() - other).norm() / other.norm())
        assert error < 0.03, f"{name}: {error:.3f}"
    assert all(p.grad.isfinite().all() for p in module.parameters())


def _run(module, x):
    x = x.clone().requires_grad_()
    y = module(x)
    y.backward(make_input(*x.shape[2:]).to(x).cos())
    return y.detach(), x.grad


@every_case
def test_a_trace_holds_at_other_sizes(case):
    module, x = build(case), make_input(8, 12)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is old
        traced = torch.jit.trace(module, x, check_trace=False)
        for other in (x, make_input(12, 8, batch=1), make_input(5, 3, batch=3), make_input(1, 1)):
            torch.testing.assert_close(traced(other), module(other), rtol=1e-4, atol=1e-5)


@every_case
@pytest.mark.parametrize("opset", [12, 17])
def test_onnx_holds_at_other_sizes(case, opset, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    module, path = build(case), tmp_path / "block.onnx"
    axes = {name: {0: "batch", 2: "height", 3: "width"} for name in ("x", "y")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (make_input(8, 12),),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
        )
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for x in (make_input(8, 12), make_input(12, 8, batch=1), make_input(5, 3, batch=3), make_input(1, 1)):
        with torch.no_grad():
            wanted = module(x).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("cls", ATTENTIONS)
def test_channels_are_kept(cls):
    assert cls(CHANNELS, CHANNELS) is not None
    with pytest.raises(UserError, match=f"^{cls.__name__} keeps its 128 channels; 64 cannot come out$"):
        cls(CHANNELS, 64)


@pytest.mark.parametrize(("cls", "arguments", "message"), IMPOSSIBLE)
def test_impossible_arguments(cls, arguments, message):
    with pytest.raises(UserError) as caught:
        cls(*arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)
