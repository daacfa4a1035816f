"""EMA: Efficient Multi-scale Attention with cross-spatial learning.

Ouyang et al., ICASSP 2023 (arXiv 2305.13563). Parameter names are the authors'. One function, evaluated in three ways:

reference  the paper's definition, below, line by line; means over an axis stand where the released module pools
           adaptively: the same numbers, but deterministic on a GPU and exportable at any size
folded     models/ema_folded.py: the 3x3 branch reduced to one channel; CPU, compilers and export
fused      models/ema_triton.py: Triton kernels, one pass over memory; CUDA
"""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ema_folded import EPS, Constants, Weights, constants_of, folded, weigh
from utils.errors import LOG, UserError

EVALUATIONS = ("reference", "folded", "fused")
FOLDED_FROM = 200_000  # values of x from which folded is faster than reference on a CPU
MOST_CHANNELS, MOST_VALUES = 64, 8192  # of a group, and in one row of it: what the fused kernels hold at once


class EMA(nn.Module):
    """Attention over `factor` groups of channels: (B, C, H, W) -> the same shape, type and memory layout, any H and W.

    channels: C, a multiple of `factor`, otherwise a `UserError` that lists factors that work. c2 is there for the model
    builder and must be C or None. 10 n^2 + 4 n parameters with n = C / factor; train and eval mode agree. `evaluation`:
    one of EVALUATIONS, or None for the fastest that applies.
    """

    def __init__(self, channels: int, c2: int | None = None, factor: int = 32):
        super().__init__()
        _check(channels, c2, factor)
        self.groups = factor
        self.evaluation: str | None = None
        n = channels // factor
        self.gn = nn.GroupNorm(n, n, EPS)
        self.conv1x1 = nn.Conv2d(n, n, 1)
        self.conv3x3 = nn.Conv2d(n, n, 3, padding=1)
        self.register_buffer("folded_kernel", None, persistent=False)
        self.register_buffer("folded_bias", None, persistent=False)

    def use(self, evaluation: str | None) -> "EMA":
        """Force one of EVALUATIONS, or with None let the fastest be chosen; returns self."""
        if evaluation not in (None, *EVALUATIONS):
            raise UserError(f"EMA: no evaluation is called {evaluation!r}; these are: {', '.join(EVALUATIONS)}")
        self.evaluation = evaluation
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.folded_kernel is not None and self.training and torch.is_grad_enabled():
            raise UserError("EMA: fuse() made this network one for inference only; load the weights again to train")
        weights = self._weights()
        evaluation = self.evaluation or choose(x, self.groups)
        if evaluation == "fused":
            return _fused(x, weights, self.groups, forced=self.evaluation is not None)
        if evaluation == "folded":
            constants = None if self.folded_kernel is None else Constants(self.folded_kernel, self.folded_bias)
            return folded(x, weights, self.groups, constants)
        return reference(x, weights, self.groups)

    def fuse(self) -> None:
        """Compute once what follows from the weights alone, for inference. No weights can be loaded afterwards."""
        if self.folded_kernel is None:
            with torch.no_grad():
                self.folded_kernel, self.folded_bias = constants_of(self._weights())
            self.register_load_state_dict_pre_hook(_refuse_weights)

    def _weights(self) -> Weights:
        gn, one, three = self.gn, self.conv1x1, self.conv3x3
        return Weights(gn.weight, gn.bias, one.weight, one.bias, three.weight, three.bias)


def reference(x: Tensor, weights: Weights, groups: int) -> Tensor:
    """The definition. x (B, C, H, W), `groups` groups of n channels; y = x * sigmoid(t), one map t per group."""
    b, c, h, w = x.shape
    gamma, beta, w1, b1, w3, b3 = weights
    grouped, n = x.reshape(b * groups, c // groups, h, w), len(gamma)
    # row and column means pass one shared 1x1 convolution and become gates
    rows, columns = grouped.mean(3, keepdim=True), grouped.mean(2, keepdim=True).transpose(2, 3)
    row_gates, column_gates = F.conv2d(torch.cat((rows, columns), 2), w1, b1).sigmoid().split((h, w), 2)
    gated = torch.group_norm(grouped * row_gates * column_gates.transpose(2, 3), n, gamma, beta, EPS)
    local = F.conv2d(grouped, w3, b3, padding=1)
    # each branch's pooled channels, softmaxed, weigh the other branch's maps
    from_gated = gated.mean((2, 3), keepdim=True).softmax(1)
    from_local = local.mean((2, 3), keepdim=True).softmax(1)
    t = (from_gated * local).sum(1, keepdim=True) + (from_local * gated).sum(1, keepdim=True)
    return weigh(x, t.sigmoid(), groups)


def choose(x: Tensor, groups: int) -> str:
    """The evaluation that is fastest for x, as measured (docs/ema.md), among those that can run where x is."""
    if x.device.type == "meta":
        return "reference"  # shapes and operations are counted by the definition
    exporting = torch.jit.is_tracing() or getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)()
    if x.is_cuda and not exporting:
        n = x.shape[1] // groups
        fits = n <= MOST_CHANNELS and _power_of_two(n) * _power_of_two(x.shape[3]) <= MOST_VALUES
        return "fused" if fits and _kernels_ready() else "folded"
    if exporting or torch.compiler.is_compiling():
        return "folded"  # sizes may change afterwards
    least = FOLDED_FROM // 2 if torch.is_grad_enabled() else FOLDED_FROM  # the backward gains more than the forward
    return "folded" if x.numel() >= least else "reference"


def _power_of_two(size: int) -> int:
    """The smallest one that is not below `size`: what a kernel's block is rounded up to."""
    return 1 << max(size - 1, 0).bit_length()


def _fused(x: Tensor, weights: Weights, groups: int, forced: bool) -> Tensor:
    if forced or torch.compiler.is_compiling():
        _kernels_ready()
        return torch.ops.yolov5_ema.attend(x, *weights, groups)[0]
    try:
        return torch.ops.yolov5_ema.attend(x, *weights, groups)[0]
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler or driver raises
        _give_up(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        return folded(x, weights, groups)


_unusable: list[str] = []  # why the kernels cannot run here, once that is known


@torch.compiler.assume_constant_result
def _kernels_ready() -> bool:
    """Load the fused kernels; whether they can run on this machine's GPU. Why not is said once."""
    if not _unusable:
        reason = _load_kernels()
        if reason:
            _give_up(reason)
    return not _unusable


@functools.cache
def _load_kernels() -> str:
    """Why the kernels cannot run; nothing if they can."""
    try:
        import models.ema_triton  # noqa: F401  registers torch.ops.yolov5_ema; needs Triton
    except ImportError as error:
        return f"Triton cannot be imported ({error})"
    if torch.cuda.is_available() and torch.version.hip:
        return "they were written for NVIDIA GPUs"
    if torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0):
        return "the GPU is older than they need (compute capability 8.0)"
    return ""


def _give_up(reason: str) -> None:
    if not _unusable:
        LOG.info("EMA: the fused kernels cannot run here, the folded evaluation is taken: %s", reason)
    _unusable.append(reason)


def _refuse_weights(module: nn.Module, *_: object) -> None:
    raise UserError("EMA: fuse() folded the weights into constants; load weights before fuse()")


def _check(channels: int, c2: int | None, factor: int) -> None:
    if c2 not in (None, channels):
        raise UserError(f"EMA keeps its {channels} channels; {c2} cannot come out")
    if not isinstance(factor, int) or factor < 1 or channels % factor:
        fitting = [f for f in range(1, channels + 1) if channels % f == 0 and f <= 128]
        raise UserError(f"EMA: {channels} channels are not divisible by the factor {factor}; these work: {fitting}")
