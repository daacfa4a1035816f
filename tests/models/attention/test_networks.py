"""Every attention block inside a network: it trains, folds without a difference, and leaves in an ONNX file."""

import numpy as np
import pytest
import torch

from models import build_model
from models.attention import ATTENTIONS
from models.exporters import Format, export_onnx
from models.loss import DetectionLoss
from tests.models.attention.cases import CHANNELS, stir
from utils.hyp import load_hyp
from utils.optim import build_optimizer

SETTINGS = [*((cls.__name__, []) for cls in ATTENTIONS), ("PSA", ["sequential"])]
every_block = pytest.mark.parametrize(
    ("word", "args"), SETTINGS, ids=["-".join([word, *args]) for word, args in SETTINGS]
)
TARGETS = torch.tensor([[0, 1, 0.5, 0.5, 0.3, 0.4], [1, 2, 0.3, 0.6, 0.2, 0.2]])


def build(word, args):
    torch.manual_seed(0)
    rows = [[-1, 1, "Conv", [16, 6, 2, 2]], [-1, 1, "Conv", [CHANNELS, 3, 2]], [-1, 1, word, [CHANNELS, *args]]]
    return build_model(
        {
            "nc": 3,
            "depth_multiple": 1.0,
            "width_multiple": 1.0,
            "anchors": [[10, 13, 16, 30, 33, 23]],
            "backbone": [*rows, [-1, 1, "Conv", [32, 3, 2]]],
            "head": [[[3], 1, "Detect", ["nc", "anchors"]]],
        }
    )


def images(*size, batch=2):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@every_block
def test_one_step_of_training(word, args):
    model = build(word, args).train()
    hyp = load_hyp("hyp.scratch-low.yaml")
    optimizer = build_optimizer(model, "SGD", hyp["lr0"], hyp["momentum"], hyp["weight_decay"])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss, terms = DetectionLoss(model, hyp, 64)(model(images(64, 64)), TARGETS)
    loss.backward()
    assert terms.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name for name, p in model.named_parameters() if p.grad.abs().sum() > 1e-6} <= moved
    assert any(name.startswith("model.2.") for name in moved)


@every_block
def test_fusing_changes_no_prediction(word, args):
    model, x = stir(build(word, args)).eval().double(), images(32, 64).double()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.copy_(torch.linspace(0.4, 2.5, module.num_features))
    with torch.no_grad():
        before = model.predict(x)
        after = model.fuse().predict(x)
        again = model.fuse().predict(x)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(again, before, rtol=1e-9, atol=1e-9)


@every_block
def test_the_exported_network_predicts_the_same_at_other_sizes(word, args, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model, path = stir(build(word, args)).eval().fuse(), tmp_path / "network.onnx"
    with torch.no_grad():
        export_onnx(model, images(32, 32, batch=1), path, Format(dynamic=True))
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for x in (images(32, 32, batch=1), images(64, 40)):
            wanted = model.predict(x).numpy()
            np.testing.assert_allclose(session.run(None, {"images": x.numpy()})[0], wanted, rtol=1e-3, atol=1e-3)
