"""The house limits: sizes, layers, no execution of data, no side effects at import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "data", "utils", "tools", "benchmarks")
SCRIPTS = ("train", "val", "detect", "export")
FILES = sorted([*(path for p in PACKAGES for path in (ROOT / p).rglob("*.py")), *(ROOT / f"{s}.py" for s in SCRIPTS)])
ALLOWED = {"utils": {"utils"}, "models": {"models", "utils"}, "data": {"data", "utils"}}
NAMES = {path: str(path.relative_to(ROOT)) for path in FILES}
LAZY = {"models/ema.py": {"models.ema_triton"}}  # kernels that compile on first use


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node):
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""] + [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def is_ours(name):
    return name.split(".")[0] in (*PACKAGES, *SCRIPTS)


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_sizes(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [a.arg for a in arguments if a.arg not in ("self", "cls")]
            assert len(names) <= 8, f"{node.name} takes {len(names)} parameters"
            assert node.end_lineno - node.lineno + 1 <= 60, f"{node.name} is too long"


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_nothing_is_executed_and_nothing_hidden(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "__import__"), f"line {node.lineno}"
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            pair = (node.arg, node.value.value)
            assert pair not in (("shell", True), ("weights_only", False), ("allow_pickle", True)), f"line {node.lineno}"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=NAMES.get)
def test_arrows(path):
    package = path.relative_to(ROOT).parts[0]
    tree = tree_of(path)
    for node in ast.walk(tree):
        for name in filter(is_ours, imported(node)):
            target = name.split(".")[0]
            if package in ALLOWED:
                assert target in ALLOWED[package], f"{NAMES[path]} imports {name}"
            if target in SCRIPTS:
                assert package in ("tools", "benchmarks") or (package, target) == ("train.py", "val"), name
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            inner = {name for node in ast.walk(function) for name in imported(node) if is_ours(name)}
            assert inner <= LAZY.get(NAMES[path], set()), f"{function.name} imports {inner}"


def test_no_import_cycles():
    known = {module_name(path): path for path in FILES}
    edges = {
        name: {target for node in tree_of(path).body for target in imported(node) if target in known and target != name}
        for name, path in known.items()
    }
    done: set[str] = set()

    def visit(name, trail):
        assert name not in trail, f"import cycle: {' -> '.join([*trail, name])}"
        if name not in done:
            for target in sorted(edges[name]):
                visit(target, [*trail, name])
            done.add(name)

    for name in edges:
        visit(name, [])


IMPORT_PROBE = """
import importlib, os, socket, sys
import cv2, matplotlib, numpy, torch, torch.utils.tensorboard, torchvision, onnx, onnxruntime
def refuse(*args, **kwargs): raise RuntimeError("network at import")
socket.socket.connect = refuse
def state():
    return (dict(os.environ), numpy.get_printoptions(), str(torch._tensor_str.PRINT_OPTS), torch.get_num_threads(),
            torch.get_default_dtype(), cv2.getNumThreads(), dict(matplotlib.rcParams), torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(), sorted(torch.load.__dict__), torch.backends.cudnn.benchmark)
before = state()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert state() == before, [i for i, (a, b) in enumerate(zip(before, state())) if a != b]
"""


def test_importing_changes_nothing():
    names = [module_name(path) for path in FILES if "triton" not in path.name]
    run = subprocess.run([sys.executable, "-c", IMPORT_PROBE, *names], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]), ids=lambda path: path.name
)
def test_documents_name_files_that_exist(path):
    text = path.read_text(encoding="utf-8")
    assert "FIG_" not in text, "a figure is still open"
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (path.parent / target).exists(), target
