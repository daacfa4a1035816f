import math

import pytest
import torch
from torch import nn

from utils.learner import Learner, autocast_dtype
from utils.optim import build_optimizer


def make_learner(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    optimizer = build_optimizer(model, "AdamW", 0.01, 0.9, 0.1)
    return Learner.start(model, optimizer)


def loss(raw, targets):
    terms = torch.stack([(raw * targets).square().mean(), raw.mean()])
    return terms.sum(), terms.detach()


def train(learner, steps):
    for step in range(steps):
        images = torch.full((2, 1, 2, 2), float(step)) + torch.arange(8.0).view(2, 1, 2, 2)
        assert learner.train_step(images, torch.arange(4.0).view(2, 2), loss, update=True)


def test_learner_goes_on_as_if_never_stopped(tmp_path):
    whole, first, second = make_learner(0), make_learner(0), make_learner(1)
    train(whole, 3)
    train(first, 3)
    averaged = dict(first.average.model.state_dict())
    torch.save((first.pack(), averaged), tmp_path / "state.pt")
    second.restore(*torch.load(tmp_path / "state.pt", weights_only=True))
    for learner in (whole, second):
        train(learner, 2)
    for part in ("model", "average"):
        expected, found = getattr(whole, part), getattr(second, part)
        expected, found = (getattr(value, "model", value).state_dict() for value in (expected, found))
        assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert second.average.updates == 5


def test_state_of_another_shape_is_refused():
    learner = make_learner(0)
    train(learner, 1)
    packed, averaged = learner.pack(), dict(learner.average.model.state_dict())
    packed["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"exp_avg of \(3,\) for weights of"):
        make_learner(1).restore(packed, averaged)


def test_without_update_gradients_add_up():
    learner = make_learner(0)
    images, targets = torch.rand(2, 1, 2, 2), torch.ones(2, 2)
    before = {name: value.clone() for name, value in learner.model.named_parameters()}
    first = learner.train_step(images, targets, loss, update=False)
    assert len(first) == 2
    assert all(torch.equal(value, before[name]) for name, value in learner.model.named_parameters())
    once = learner.model[0].weight.grad.clone()
    learner.train_step(images, targets, loss, update=False)
    torch.testing.assert_close(learner.model[0].weight.grad, 2 * once)
    learner.train_step(images, targets, loss, update=True)
    assert learner.model[0].weight.grad is None
    assert learner.average.updates == 1
    assert not torch.equal(learner.model[1].weight, before["1.weight"])


def test_gradients_are_clipped_to_norm_10():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 1))
    learner = Learner.start(model, build_optimizer(model, "SGD", 1.0, 0.0001, 0.0))
    before = torch.cat([value.detach().flatten() for value in model.parameters()])
    learner.train_step(torch.full((2, 1, 2, 2), 1e3), torch.full((2, 2), 1e3), loss, update=True)
    moved = torch.cat([value.detach().flatten() for value in model.parameters()]) - before
    assert moved.norm() == pytest.approx(10, rel=1e-2)


@pytest.mark.parametrize("update", [False, True])
def test_what_is_not_finite_leaves_the_weights_and_is_explained(update):
    learner = make_learner(0)
    images = torch.rand(2, 1, 2, 2)
    with torch.no_grad():
        learner.model[0].weight[1] = math.inf
    before = [value.clone() for value in learner.model.parameters()]
    assert learner.train_step(images, torch.ones(2, 2), loss, update) is None
    assert all(torch.equal(value, old) for value, old in zip(learner.model.parameters(), before))
    message = str(learner.explain(images, "epoch 3, batch 1", ["a.jpg", "b.jpg"]))
    assert message.startswith("epoch 3, batch 1: the loss is not finite: infinity or NaN first comes out of 0 (Conv2d)")
    assert message.endswith("images of the batch: a.jpg, b.jpg")


def test_a_gradient_that_is_not_finite_is_named():
    def steep(raw, targets):  # finite, but its slope at 0 is not
        return (raw - raw.detach()).abs().sqrt().sum(), torch.zeros(3)

    learner = make_learner(0)
    images = torch.rand(2, 1, 2, 2)
    assert learner.train_step(images, None, steep, update=True) is None
    assert "the gradient of 1.bias is not finite" in str(learner.explain(images, "here", []))


def test_only_the_gradient_that_is_not_finite_is_named():
    """Clipping comes after the check: before, a NaN norm would have spread to every gradient."""
    learner = make_learner(0)
    first = next(learner.model.parameters())
    first.register_hook(lambda gradient: gradient * float("nan"))
    images = torch.rand(2, 1, 2, 2)
    assert learner.train_step(images, None, lambda raw, _: (raw.sum(), torch.zeros(3)), update=True) is None
    finite = [p for p in learner.model.parameters() if p is not first]
    assert all(p.grad.isfinite().all() for p in finite) and not first.grad.isfinite().any()
    name = next(name for name, p in learner.model.named_parameters() if p is first)
    assert f"the gradient of {name} is not finite" in str(learner.explain(images, "here", []))


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [({}, torch.float32), ({"amx_bf16": False}, torch.float32), ({"amx_bf16": True}, torch.bfloat16)],
)
def test_precision_of_the_cpu(monkeypatch, capabilities, dtype):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert autocast_dtype(torch.device("cpu")) == dtype
    assert not make_learner(0).scaler.is_enabled()


def test_regions_reach_the_loss_only_where_there_are_any():
    learner, seen = make_learner(0), []

    def with_regions(raw, targets, *regions):
        seen.append(regions)
        return loss(raw, targets)

    images, regions = torch.rand(2, 1, 2, 2), torch.ones(1, 9)
    for given in (None, torch.zeros(0, 9), regions):
        learner.train_step(images, torch.ones(2, 2), with_regions, update=False, regions=given)
    assert seen == [(), (), (regions,)]
