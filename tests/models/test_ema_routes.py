"""The attention through PyTorch's other ways to run a module: compiled, exported, traced, distributed, recomputed."""

import copy
import io
import shutil

import numpy as np
import pytest
import torch
import torch.multiprocessing as processes
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from tests.models.attention_cases import make_input, make_module, run

SIZES = [(2, 64, 9, 7), (1, 64, 1, 1), (3, 64, 6, 20)]  # tried after tracing or exporting at another
compiler = pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")

quiet = pytest.mark.filterwarnings(  # tracing is old, and freezes the sizes of weights
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning"
)


def module_and_input(evaluation=None):
    if evaluation == "fused":  # the interpreter is slow
        return make_module(4, 2).float().use(evaluation), make_input((1, 4, 2, 3)).float()
    return make_module(64).float().use(evaluation), make_input((2, 64, 8, 12)).float()


interpreted = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the kernels refuse the CPU")
ALL_THREE = ["reference", "folded", pytest.param("fused", marks=interpreted)]


@pytest.mark.parametrize("evaluation", ALL_THREE)
def test_gradients_by_finite_differences(evaluation):
    module = make_module(4, 2).use(evaluation)
    names = [name for name, _ in module.named_parameters()]

    def call(x, *parameters):
        return torch.func.functional_call(module, dict(zip(names, parameters)), (x,))

    x = make_input((1, 4, 2, 3)).requires_grad_()
    assert torch.autograd.gradcheck(call, (x, *module.parameters()), fast_mode=True)


@pytest.mark.parametrize(
    ("evaluation", "backend"), [("reference", "aot_eager"), pytest.param(None, "inductor", marks=compiler)]
)
def test_compiled_whole(evaluation, backend):
    module, x = module_and_input(evaluation)
    wanted = run(module.use("reference"), x)
    module.use(evaluation).compile(fullgraph=True, backend=backend)
    for got, expected in zip(run(module, x), wanted):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@quiet
@pytest.mark.parametrize("fused", [False, True])
def test_traced_at_one_size_right_at_others(fused):
    module, x = module_and_input()
    if fused:
        module.eval().fuse()
    file = io.BytesIO()
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(module, x), file)
        file.seek(0)
        traced = torch.jit.load(file)
        for size in SIZES:
            x = make_input(size).float()
            torch.testing.assert_close(traced(x), module.use("reference")(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("evaluation", ["reference", None])
def test_exported_with_free_sizes(evaluation):
    module, x = module_and_input(evaluation)
    free = torch.export.Dim.DYNAMIC
    program = torch.export.export(module, (x,), dynamic_shapes=({0: free, 2: free, 3: free},)).module()
    for size in [SIZES[0], SIZES[2]]:
        x = make_input(size).float()
        torch.testing.assert_close(program(x), module.use("reference")(x), rtol=1e-4, atol=1e-5)


@quiet
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
def test_onnx(fused, dynamic):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    module, x = module_and_input()
    module.eval()
    if fused:
        module.fuse()
    file, axes = io.BytesIO(), {0: "batch", 2: "height", 3: "width"}
    torch.onnx.export(
        module,
        (x,),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": axes, "y": axes} if dynamic else None,
    )
    session = runtime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for size in [tuple(x.shape), *(SIZES if dynamic else [])]:
        x = make_input(size).float()
        with torch.no_grad():
            wanted = module.use("reference")(x).numpy()
        np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("evaluation", ALL_THREE)
def test_copies_are_equal(evaluation):
    module, x = module_and_input(evaluation)
    other = copy.deepcopy(module)
    assert other.evaluation == evaluation
    assert torch.equal(module.train()(x), other.eval()(x))
    module.eval().fuse()
    with torch.no_grad():
        assert torch.equal(module(x), copy.deepcopy(module)(x))


@pytest.mark.parametrize("evaluation", ALL_THREE)
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing(evaluation, use_reentrant):
    module, x = module_and_input(evaluation)
    wanted = run(module, x)
    x = x.clone().requires_grad_()
    module.zero_grad()
    y = checkpoint(module, x, use_reentrant=use_reentrant)
    y.backward(torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).to(x.dtype))
    gradients = torch.cat([p.grad.flatten().double() for p in module.parameters()])
    for got, expected in zip((y.double(), x.grad.double(), gradients), wanted):
        assert torch.equal(got, expected)


def test_two_processes_share_their_gradients(tmp_path):
    module, x = module_and_input("folded")
    processes.spawn(learn_half, (str(tmp_path), module.state_dict(), x), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert torch.equal(parts[0], parts[1])
    module.zero_grad()
    module(x).square().sum().backward()
    wanted = torch.cat([p.grad.flatten() for p in module.parameters()]) / 2
    torch.testing.assert_close(parts[0], wanted, rtol=1e-3, atol=1e-3)


def learn_half(rank, folder, weights, x):
    """One of two processes: the gradients that both agree on, into a file."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    module = make_module(64).float().use("folded")
    module.load_state_dict(weights)
    model = DistributedDataParallel(module)
    model(x[rank : rank + 1]).square().sum().backward()
    torch.save(torch.cat([p.grad.flatten() for p in module.parameters()]), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
