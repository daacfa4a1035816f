"""EMA.md's criterion for an evaluation's errors, shared by the tests of the folded and of the fused evaluation."""

import torch

from models.ema import EMA

# one unit of error of y, dx and the parameters' gradients, relative L2 against float64
UNITS = {
    torch.float64: (1e-12, 1e-12, 1e-11),
    torch.float32: (7e-8, 1e-7, 9e-6),
    torch.bfloat16: (3e-3, 5e-3, 9e-3),
    torch.float16: (3e-4, 5e-4, 7e-4),
}


def make_input(shape: tuple[int, ...], near_constant: bool = False, channels_last: bool = False) -> torch.Tensor:
    """Well-scaled values in float64, or channels that hardly vary around different values."""
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if near_constant:
        x = torch.linspace(-2, 3, shape[1], dtype=torch.float64).reshape(1, -1, 1, 1) + 1e-3 * x
    return x.to(memory_format=torch.channels_last) if channels_last else x


def make_module(channels: int, factor: int = 32) -> EMA:
    """A module in float64 whose group norm is not at its start."""
    torch.manual_seed(1)
    module = EMA(channels, None, factor).double()
    module.gn.weight.data.add_(torch.randn(channels // factor, dtype=torch.float64), alpha=0.3)
    module.gn.bias.data.add_(torch.randn(channels // factor, dtype=torch.float64), alpha=0.3)
    return module


def run(module: EMA, x: torch.Tensor, autocast: torch.dtype | None = None) -> tuple[torch.Tensor, ...]:
    """y, dx and all parameters' gradients in one row, for a fixed gradient of y; type and layout of y are checked."""
    device = "cuda" if module.evaluation == "fused" and torch.cuda.is_available() else "cpu"
    x = x.detach().clone().to(device).requires_grad_()
    module.to(device).zero_grad()
    with torch.autocast(device, autocast or torch.bfloat16, enabled=autocast is not None):
        y = module(x)
    assert y.dtype == x.dtype and y.shape == x.shape
    assert y.numel() == 0 or y.stride() == x.stride() or 1 in y.shape
    slope = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).to(x)
    y.backward(slope)
    assert x.grad.dtype == x.dtype
    gradients = torch.cat([p.grad.flatten().double() for p in module.parameters()])
    return y.detach().double().cpu(), x.grad.double().cpu(), gradients.cpu()


def check_errors(module: EMA, evaluation: str, x: torch.Tensor, dtype: torch.dtype, autocast: bool = False) -> None:
    """Errors against float64 on the same rounded input and weights: at most 3 x the definition's, plus one unit."""
    module = _rounded(module, torch.float32 if autocast else dtype)
    exact = run(_rounded(module, torch.float64).use("reference"), x.to(dtype).double())
    got = run(module.use(evaluation), x.to(dtype), dtype if autocast else None)
    definition = run(module.use("reference"), x.to(dtype), dtype if autocast else None)
    for name, unit, wanted, mine, other in zip(("y", "dx", "dparameters"), UNITS[dtype], exact, got, definition):
        assert mine.isfinite().all(), name
        bound = 3 * _error(other, wanted) + unit
        assert _error(mine, wanted) <= bound, f"{name}: {_error(mine, wanted):.2e} > {bound:.2e}"


def _rounded(module: EMA, dtype: torch.dtype) -> EMA:
    copy = EMA(module.conv1x1.in_channels * module.groups, None, module.groups).to(dtype)
    copy.load_state_dict(module.state_dict())
    return copy


def _error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((got - wanted).norm() / wanted.norm().clamp(min=1e-30))
