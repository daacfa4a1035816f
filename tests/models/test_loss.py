import numpy as np
import pytest
import torch

from models import build_model
from models.assigner import assign
from models.ignored import ignored_cells
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


REGIONS = torch.tensor([[0, 0.2, 0.3, 0.7, 0.3, 0.7, 0.8, 0.2, 0.8], [2, 0.5, 0.1, 0.9, 0.5, 0.5, 0.9, 0.1, 0.5]])
TARGETS = torch.tensor([[0, 1, 0.45, 0.55, 0.3, 0.2], [1, 0, 0.3, 0.3, 0.2, 0.2], [2, 3, 0.8, 0.8, 0.05, 0.1]])


def losses_and_gradients(targets, *regions, size=128, nc=4, **changes):
    raw = made_up_maps(1, size, 5 + nc)
    loss = DetectionLoss(build_model("yolov5n.yaml", nc=nc).double(), HYP | changes, size)
    total, terms = loss(raw, targets, *regions)
    total.backward()
    return total.detach(), terms, [x.grad for x in raw], loss


@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_no_regions_change_no_bit(gamma):
    plain = losses_and_gradients(TARGETS, fl_gamma=gamma)
    for regions in (None, torch.zeros(0, 9)):
        other = losses_and_gradients(TARGETS, regions, fl_gamma=gamma)
        assert torch.equal(plain[0], other[0]) and torch.equal(plain[1], other[1])
        assert all(torch.equal(a, b) for a, b in zip(plain[2], other[2]))


@pytest.mark.parametrize("gamma", [0.0, 1.5])
@pytest.mark.parametrize("obj_pw", [1.0, 2.0])
def test_ignored_cells_lose_their_objectness_and_nothing_else(gamma, obj_pw):
    _, terms, plain, loss = losses_and_gradients(TARGETS, fl_gamma=gamma, obj_pw=obj_pw)
    _, less, masked, _ = losses_and_gradients(TARGETS, REGIONS, fl_gamma=gamma, obj_pw=obj_pw)
    assert less[1] < terms[1] and torch.equal(less[[0, 2]], terms[[0, 2]])
    for level, (before, after) in enumerate(zip(plain, masked)):
        size = before.shape[2:4]
        found = assign(TARGETS.double(), loss.head.anchors[level], size, HYP["anchor_t"])
        positive = torch.zeros(before.shape[:4], dtype=torch.bool)
        positive[found.image, found.anchor, found.row, found.column] = True
        gone = ignored_cells(REGIONS, (3, *size))[:, None].expand_as(positive) & ~positive
        assert gone[[0, 2]].flatten(1).any(1).all() and not gone[1].any()
        assert (ignored_cells(REGIONS, (3, *size))[:, None] & positive).any() == bool(len(found.image))
        expected = before.clone()
        expected[..., 4][gone] = 0
        assert torch.equal(after, expected) and (before[..., 4][gone] > 0).all()


def test_a_region_over_everything_leaves_the_positives():
    everything = torch.tensor([[i, 0.0, 0, 1, 0, 1, 1, 0, 1] for i in range(3)])
    _, terms, gradients, loss = losses_and_gradients(TARGETS, everything)
    counts = [len(assign(TARGETS.double(), loss.head.anchors[i], (s, s), 4.0).image) for i, s in enumerate((16, 8, 4))]
    assert 0 < terms[1] < 0.1 and all((x[..., 4] != 0).sum() <= n for x, n in zip(gradients, counts))
    _, terms, gradients, _ = losses_and_gradients(torch.zeros(0, 6), everything)
    assert not terms.any() and not any(x.any() for x in gradients)
