import numpy as np
import pytest
import torch

from models import build_model
from models.assigner import assign
from models.loss import DetectionLoss
from tests.models.reference import GOLDEN

HYP = {"box": 0.05, "cls": 0.5, "obj": 1.0, "cls_pw": 1.0, "obj_pw": 1.0, "anchor_t": 4.0, "fl_gamma": 0.0}


def made_up_maps(seed, size, channels, batch=3):
    random = np.random.RandomState(seed)
    shapes = [(batch, 3, size // stride, size // stride, channels) for stride in (8, 16, 32)]
    return [torch.from_numpy(random.standard_normal(shape) * 1.2).requires_grad_() for shape in shapes]


def test_no_targets_leave_only_objectness():
    loss = DetectionLoss(build_model("yolov5n.yaml", nc=4), HYP, 64)
    total, terms = loss(made_up_maps(0, 64, 9), torch.zeros(0, 6))
    assert terms[0] == 0 and terms[2] == 0 and terms[1] > 0
    assert float(total.detach()) == pytest.approx(3 * float(terms.sum()))


@pytest.mark.parametrize("case", range(5))
def test_equals_yolov5s(case):
    golden = np.load(GOLDEN / "loss.npz")
    nc, smoothing, gamma, _, size = golden[f"c{case}_meta"]
    hyp = HYP | {"fl_gamma": float(gamma)}
    raw = made_up_maps(case, int(size), 5 + int(nc))
    loss = DetectionLoss(build_model("yolov5n.yaml", nc=int(nc)).double(), hyp, int(size), float(smoothing))
    total, terms = loss(raw, torch.from_numpy(golden[f"c{case}_targets"]))
    total.backward()
    assert total.item() == pytest.approx(golden[f"c{case}_loss"].item(), rel=1e-6)
    np.testing.assert_allclose(terms.numpy(), golden[f"c{case}_items"].ravel(), rtol=1e-5)
    for i, x in enumerate(raw):
        np.testing.assert_allclose(x.grad.flatten()[::509].numpy(), golden[f"c{case}_grad{i}_sub"], atol=1e-9)
        assert x.grad.abs().sum().item() == pytest.approx(golden[f"c{case}_grad{i}_abssum"].item(), rel=1e-6)


def test_hyper_parameters_are_not_changed():
    hyp = dict(HYP)
    DetectionLoss(build_model("yolov5n.yaml", nc=4), hyp, 320)
    assert hyp == HYP


ANCHORS = torch.tensor([[1.0, 1.0], [4.0, 4.0]])
ASSIGNMENTS = [  # centre and size in cells of a 4 x 4 map -> (anchor, row, column)
    ((2.2, 2.7, 1.0, 1.0), {(0, 2, 2), (0, 2, 1), (0, 3, 2)}),  # left half, lower half
    ((0.2, 0.3, 1.0, 1.0), {(0, 0, 0)}),  # its neighbours would lie beyond the map
    ((3.9, 3.9, 1.0, 1.0), {(0, 3, 3)}),
    ((2.2, 2.7, 3.0, 3.0), {(a, r, c) for a in (0, 1) for r, c in ((2, 2), (2, 1), (3, 2))}),
    ((2.2, 2.7, 1.0, 9.0), set()),  # too tall for either
]


@pytest.mark.parametrize(("box", "wanted"), ASSIGNMENTS)
def test_assignment_by_hand(box, wanted):
    target = torch.tensor([[1.0, 3.0, *(value / 4 for value in box)]])
    positives = assign(target, ANCHORS, (4, 4), 4.0)
    got = zip(positives.anchor.tolist(), positives.row.tolist(), positives.column.tolist())
    assert set(got) == wanted and len(positives.anchor) == len(wanted)
    assert set(positives.image.tolist()) <= {1} and set(positives.classes.tolist()) <= {3}
    torch.testing.assert_close(positives.boxes[:, 2:], torch.tensor([box[2:]]).expand(len(wanted), 2))


def test_training_on_one_picture_lowers_the_loss():
    torch.manual_seed(0)
    model = build_model("yolov5n-ema.yaml", nc=2)
    loss, images = DetectionLoss(model, HYP, 64), torch.rand(2, 3, 64, 64)
    targets = torch.tensor([[0, 0, 0.5, 0.5, 0.4, 0.3], [1, 1, 0.3, 0.6, 0.2, 0.5]])
    optimizer = torch.optim.AdamW(model.parameters(), 0.003)
    history = []
    for _ in range(25):
        total, _ = loss(model(images), targets)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append(total.item())
    assert history[-1] < 0.7 * history[0]
