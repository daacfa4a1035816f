"""What single blocks promise beyond the common contract."""

import pytest
import torch

from models.attention import BAM, ECA, NAM, SGE, ShuffleAttention
from tests.models.attention.cases import make_input, stir


@pytest.mark.parametrize(
    ("channels", "kernel"), [(1, 1), (2, 1), (8, 3), (64, 3), (127, 3), (128, 5), (512, 5), (1024, 5), (2048, 7)]
)
def test_ecas_kernel_follows_the_papers_rule(channels, kernel):
    """The odd number nearest to log2(C) / 2 + 1 / 2, the larger of two."""
    assert ECA(channels).conv.weight.shape == (1, 1, kernel)


def test_bams_channel_branch_takes_the_running_statistics_for_one_picture():
    module = stir(BAM(64)).double()
    branch, x = module.channel_att, make_input(4, 5, batch=1, channels=64).double()
    before = {name: buffer.clone() for name, buffer in branch.named_buffers()}
    wanted = branch.eval()(x)
    torch.testing.assert_close(branch.train()(x), wanted)
    assert all(torch.equal(buffer, before[name]) for name, buffer in branch.named_buffers())
    branch(torch.cat((x, 2 * x)))
    assert not any(torch.equal(buffer, before[name]) for name, buffer in branch.named_buffers())


def test_bam_sees_the_whole_of_a_map_that_is_not_square():
    module, x = stir(BAM(64)).eval(), make_input(3, 9, channels=64)
    changed = x.clone()
    changed[..., 5:] += 1  # beyond the first square
    assert not torch.allclose(module.channel_att(x), module.channel_att(changed))


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_sge_without_any_deviation_is_its_bias(size):
    module = stir(SGE(64, None, 8)).double()  # the rounding errors of a mean are divided by 1e-5
    x = torch.ones(2, 64, *size) * make_input(1, 1, channels=64).double()
    gates = module.bias.sigmoid().repeat_interleave(8, 1)
    torch.testing.assert_close(module(x), x * gates)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sge_keeps_small_deviations_in_half_precision(dtype):
    x = (10 + 0.1 * make_input(8, 12, channels=64)).to(dtype)
    module = stir(SGE(64, None, 8)).to(dtype)
    wanted = stir(SGE(64, None, 8)).to(dtype).double()(x.double())
    assert float(((module(x).double() - wanted).norm() / wanted.norm()).detach()) < torch.finfo(dtype).eps


def test_nam_weighs_by_the_size_of_its_scales():
    """Their sign counts in the batch norm alone; without any scale the gate is a half."""
    module, x = NAM(4).eval().double(), make_input(3, 5, channels=4).double()
    scale = torch.tensor([0.5, -1.5, 0.0, 2.0], dtype=torch.float64)
    norm = module.Channel_Att["bn2"]
    norm.weight.data.copy_(scale)
    normed = scale[:, None, None] * x / (1 + norm.eps) ** 0.5
    torch.testing.assert_close(module(x), x * (scale.abs()[:, None, None] / 4 * normed).sigmoid())
    norm.weight.data.zero_()
    torch.testing.assert_close(module(x), x / 2)


def test_shuffle_interleaves_the_halves_of_the_channels():
    module = ShuffleAttention(8, None, 2)  # fresh gates are all sigmoid(1)
    x = torch.arange(8.0).reshape(1, 8, 1, 1).expand(1, 8, 2, 2)
    wanted = torch.tensor([0.0, 4, 1, 5, 2, 6, 3, 7]) * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(module(x)[0, :, 0, 0], wanted)
