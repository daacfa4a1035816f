import math

import numpy as np
import pytest
import torch

from utils.schedules import Schedule, random_size, resize_batch


def make_schedule(**changes):
    values = {
        "epochs": 10,
        "batches": 50,
        "batch_size": 16,
        "nominal_batch": 64.0,
        "lr0": 0.01,
        "lrf": 0.1,
        "momentum": 0.937,
        "warmup_epochs": 3.0,
        "warmup_momentum": 0.8,
        "warmup_bias_lr": 0.1,
    }
    return Schedule(**values | changes)


def test_linear_and_cosine_end_points():
    linear, cosine = make_schedule(), make_schedule(cosine=True)
    assert linear.factor(0) == pytest.approx(1)
    assert linear.factor(10) == pytest.approx(0.1)
    assert linear.factor(5) == pytest.approx(0.55)
    assert cosine.factor(0) == pytest.approx(1)
    assert cosine.factor(10) == pytest.approx(0.1)
    assert cosine.factor(5) == pytest.approx(0.55)
    assert cosine.factor(2) == pytest.approx((1 - math.cos(0.2 * math.pi)) / 2 * (0.1 - 1) + 1)


def test_warm_up_is_at_least_100_steps():
    assert make_schedule().warmup_steps == 150
    assert make_schedule(batches=3).warmup_steps == 100
    assert make_schedule(warmup_epochs=0.0).warmup_steps == 100


@pytest.mark.parametrize("step", [0, 1, 40, 75, 149, 150, 151, 420])
def test_warm_up_equals_interpolation(step):
    """Against numpy.interp over [0, warm-up], which is how stock writes it."""
    schedule = make_schedule()
    target = 0.01 * schedule.factor(step // 50)
    bias, weights, norms = schedule.learning_rates(step)
    assert bias == pytest.approx(np.interp(step, [0, 150], [0.1, target]))
    assert weights == norms == pytest.approx(np.interp(step, [0, 150], [0.0, target]))
    assert schedule.momentum_at(step) == pytest.approx(np.interp(step, [0, 150], [0.8, 0.937]))
    assert schedule.accumulation(step) == max(1, round(float(np.interp(step, [0, 150], [1, 4]))))


@pytest.mark.parametrize(
    ("batch", "batches_per_step", "scale"), [(16, 4, 1.0), (64, 1, 1.0), (128, 1, 2.0), (48, 1, 0.75)]
)
def test_accumulation_and_decay_scale(batch, batches_per_step, scale):
    schedule = make_schedule(batch_size=batch)
    assert schedule.full_accumulation == batches_per_step
    assert schedule.accumulation(10_000) == batches_per_step
    assert schedule.decay_scale() == pytest.approx(scale)


def test_every_epoch_ends_with_an_update_and_none_is_carried_over():
    schedule = make_schedule(batches=6)
    first = 20 * 6  # past the warm-up
    assert [schedule.is_update(first + batch) for batch in range(6)] == [False, False, False, True, False, True]
    small = make_schedule(batches=2)
    assert [small.is_update(step) for step in range(200, 204)] == [False, True, False, True]


def test_apply_sets_groups_and_momentum():
    weight = torch.nn.Parameter(torch.zeros(1))
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)] + [{"params": [weight]}]
    schedule = make_schedule()
    sgd = torch.optim.SGD(groups, lr=1.0, momentum=0.5, nesterov=True)
    schedule.apply(sgd, 0)
    assert [group["lr"] for group in sgd.param_groups] == [0.1, 0.0, 0.0]
    assert {group["momentum"] for group in sgd.param_groups} == {0.8}
    adam = torch.optim.AdamW([{"params": group["params"]} for group in sgd.param_groups], betas=(0.9, 0.999))
    schedule.apply(adam, 499)
    assert all("momentum" not in group and group["betas"][0] == 0.9 for group in adam.param_groups)


def test_random_size_is_a_function_of_seed_epoch_and_batch():
    drawn = [random_size(320, 32, 0, 3, batch) for batch in range(200)]
    assert drawn == [random_size(320, 32, 0, 3, batch) for batch in range(200)]
    assert drawn != [random_size(320, 32, 1, 3, batch) for batch in range(200)]
    assert all(size % 32 == 0 for size in drawn)
    assert min(drawn) == 160
    assert max(drawn) == 480 + 32 - 32
    assert random_size(32, 32, 0, 0, 0) >= 32


def test_resize_batch_keeps_the_stride():
    images = torch.rand(2, 3, 64, 128)
    assert resize_batch(images, 128, 32) is images
    assert resize_batch(images, 96, 32).shape == (2, 3, 64, 96)
