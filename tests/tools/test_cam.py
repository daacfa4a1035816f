import pytest
import torch
from torch.autograd import grad

from models.ema import EMA
from tools import cam

# box (of no account), objectness, two class scores
ROWS = [
    [9, 9, 9, 9, 0.5, 0.8, 0.2],  # confidence 0.4, of class 1: 0.1
    [0, 0, 0, 0, 1.0, 0.3, 0.9],  # 0.9; 0.9
    [0, 0, 0, 0, 0.1, 1.0, 1.0],  # 0.1; 0.1
]


@pytest.mark.parametrize(
    ("class_id", "threshold", "top", "score", "found"),
    [
        (None, 0.25, 100, 1.3, 2),
        (None, 0.25, 1, 0.9, 1),
        (None, 0.0, 100, 1.4, 3),
        (0, 0.25, 100, 0.7, 2),
        (1, 0.25, 100, 0.9, 1),
        (1, 0.95, 100, 0.0, 0),
    ],
)
def test_the_score(class_id, threshold, top, score, found):
    value, count = cam.target_score(torch.tensor(ROWS), class_id, threshold, top)
    assert count == found
    assert float(value) == pytest.approx(score)


def test_the_score_of_nothing_is_zero_and_has_a_gradient():
    rows = torch.tensor(ROWS, requires_grad=True)
    for predictions in (rows, rows[:0]):
        value, count = cam.target_score(predictions, threshold=1.0)
        assert (value.item(), count) == (0, 0)
    assert not grad(cam.target_score(rows, threshold=1.0)[0], rows)[0].any()


def test_gradcam_by_hand():
    activations = torch.tensor([[[1.0, 2], [3, 4]], [[0, 1], [1, 0]]])
    gradients = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[-4.0, 0], [0, 0]]])  # means 0.5 and -1
    assert torch.equal(cam.gradcam(activations, gradients), torch.tensor([[0.5, 0.0], [0.5, 2.0]]))


def test_gradcam_plus_plus_by_hand():
    activations = torch.tensor([[[1.0, 3.0]], [[2.0, 0.0]]])
    gradients = torch.tensor([[[1.0, -2.0]], [[0.5, 0.5]]])
    # alphas 1 / (2 + 4 * 1) and 1 / (2 + 2 * 0.5) twice: weights 1 / 6 and 2 * 0.5 / 3 = 1 / 3
    torch.testing.assert_close(cam.gradcam_plus_plus(activations, gradients), torch.tensor([[5 / 6, 0.5]]))


def test_gradcam_plus_plus_is_equation_19_of_its_paper():
    torch.manual_seed(0)
    activations = torch.rand(3, 2, 4, dtype=torch.float64, requires_grad=True)
    slopes = torch.randn(3, 2, 4, dtype=torch.float64) / 4
    first = grad((activations * slopes).sum().exp(), activations, create_graph=True)[0]
    derivatives = [[], []]  # the second and the third, place by place
    for index in torch.cartesian_prod(*map(torch.arange, activations.shape)).tolist():
        second = grad(first[tuple(index)], activations, create_graph=True)[0][tuple(index)]
        derivatives[0].append(second)
        derivatives[1].append(grad(second, activations, retain_graph=True)[0][tuple(index)])
    second, third = (torch.stack(values).detach().view(3, 2, 4) for values in derivatives)
    a, y = activations.detach(), (activations * slopes).sum().exp().item()
    alphas = second / (2 * second + a.sum((1, 2), keepdim=True) * third)
    weights = (alphas * first.detach().clamp(min=0)).sum((1, 2))
    expected = (weights[:, None, None] * a).sum(0).clamp(min=0)
    torch.testing.assert_close(cam.gradcam_plus_plus(a, slopes) * y, expected)


@pytest.mark.parametrize("total", [-2.0, -2.5, 0.0])
def test_negative_activations_make_no_pole(total):
    activations, gradients = torch.tensor([[[total - 1, 1.0]]]), torch.ones(1, 1, 2)  # unclamped: alpha 1 / (2 + total)
    assert torch.equal(cam.gradcam_plus_plus(activations, gradients), torch.tensor([[0.0, 1.0]]))


def test_without_gradients_nothing_is_seen():
    activations, zeros = torch.rand(4, 3, 5), torch.zeros(4, 3, 5)
    for method in (cam.gradcam, cam.gradcam_plus_plus):
        assert torch.equal(method(activations, zeros), torch.zeros(3, 5))


def test_eigencam_of_one_pattern_is_the_pattern():
    pattern = torch.tensor([[0.0, 1.0, 5.0], [2.0, 0.0, 0.0]])
    activations = torch.stack((3 * pattern, 4 * pattern))  # |(3, 4)| = 5
    torch.testing.assert_close(cam.eigencam(activations).float(), 5 * pattern)


def test_eigencam_sign():
    """An object among slightly negative values, as SiLU leaves them, is what stands out; also in a channel alone."""
    activations = torch.full((3, 4, 4), -0.2)
    activations[:, 1, 2] = torch.tensor([4.0, 3.0, 0.1])
    found = cam.eigencam(activations)
    assert found.argmax() == 6
    assert (found[activations[0] < 0] < 0).all()
    assert cam.eigencam(activations[:1]).argmax() == 6


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 2, 5), (5, 2, 2)])
def test_eigencam_of_any_shape(shape):
    assert not cam.eigencam(torch.zeros(shape)).any()
    assert cam.eigencam(torch.ones(shape)).shape == shape[1:]


def test_gates_are_what_the_block_multiplies_by():
    torch.manual_seed(0)
    block, x = EMA(64), torch.randn(2, 64, 5, 7)
    found = cam.gates(x, block(x), 32)
    assert found.shape == (2, 32, 5, 7)
    torch.testing.assert_close(found.repeat_interleave(2, 1).float() * x, block(x), rtol=1e-4, atol=1e-5)


def test_a_place_without_values_has_no_gate():
    zeros = torch.zeros(1, 4, 2, 2)
    assert torch.equal(cam.gates(zeros, zeros, 2), torch.zeros(1, 2, 2, 2, dtype=torch.float64))
