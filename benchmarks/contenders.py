"""The evaluations of the EMA attention that benchmarks/ema.py lets compete."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.timing import Work
from models.ema import EMA

BASELINE = "authors"


class Authors(nn.Module):
    """The operations of the authors' released module in their order, adaptive pooling included. Here only: its backward
    is not deterministic on a GPU, and it cannot be exported with free sizes."""

    def __init__(self, channels: int, factor: int = 32):
        super().__init__()
        n = channels // factor
        self.groups = factor
        self.softmax = nn.Softmax(-1)
        self.whole, self.over_width = nn.AdaptiveAvgPool2d((1, 1)), nn.AdaptiveAvgPool2d((None, 1))
        self.over_height = nn.AdaptiveAvgPool2d((1, None))
        self.gn, self.conv1x1, self.conv3x3 = nn.GroupNorm(n, n), nn.Conv2d(n, n, 1), nn.Conv2d(n, n, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        count, n = b * self.groups, c // self.groups
        grouped = x.reshape(count, n, h, w)
        strip = torch.cat((self.over_width(grouped), self.over_height(grouped).permute(0, 1, 3, 2)), 2)
        rows, columns = self.conv1x1(strip).split((h, w), 2)
        gated = self.gn(grouped * rows.sigmoid() * columns.permute(0, 1, 3, 2).sigmoid())
        local = self.conv3x3(grouped)
        from_gated = self.softmax(self.whole(gated).reshape(count, n, 1).permute(0, 2, 1))
        from_local = self.softmax(self.whole(local).reshape(count, n, 1).permute(0, 2, 1))
        t = from_gated @ local.reshape(count, n, -1) + from_local @ gated.reshape(count, n, -1)
        return (grouped * t.reshape(count, 1, h, w).sigmoid()).reshape(b, c, h, w)


def make_contenders(channels: int, device: torch.device, dtype: torch.dtype, compiled: bool) -> dict[str, nn.Module]:
    """Modules of equal weights: the authors', the evaluations that run here, and what is taken by itself."""
    torch.manual_seed(0)
    ours = EMA(channels).to(device, dtype)
    authors = Authors(channels).to(device, dtype)
    authors.load_state_dict(ours.state_dict())
    found: dict[str, nn.Module] = {BASELINE: authors}
    if compiled:
        torch.compiler.reset()  # else the compiler gives up after eight shapes
        found["compiled"] = torch.compile(copy.deepcopy(authors), dynamic=False)
    evaluations = ("reference", "folded", "fused") if device.type == "cuda" else ("reference", "folded")
    found |= {name: copy.deepcopy(ours).use(name) for name in evaluations}
    return found | {"taken": ours}


def forward_of(module: nn.Module, x: Tensor) -> Work:
    """One evaluation without gradients."""

    def work() -> Tensor:
        with torch.no_grad():
            return module(x)

    return work


def learning_of(module: nn.Module, x: Tensor, slope: Tensor) -> Work:
    """One evaluation and the gradients of x and all parameters."""
    x = x.detach().requires_grad_()
    inputs = [x, *module.parameters()]
    return lambda: torch.autograd.grad(module(x), inputs, slope)


def replayed(work: Callable[[], Tensor], device: torch.device) -> Work:
    """`work` as a CUDA graph: without what starting a kernel costs the CPU."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        work()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def bytes_kept(module: nn.Module, x: Tensor) -> int:
    """Bytes that a forward pass keeps for backward, parameters not counted."""
    known = {p.data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = module(x.detach().requires_grad_())
    del y
    return sum(kept.values())
