"""Which parameters of the attention blocks weight decay pulls at: kernels, never norms, gates' scales and biases."""

import pytest

from models.attention import ATTENTIONS
from tests.models.attention.cases import CHANNELS
from utils.optim import build_optimizer

# block: decayed, then what goes with the norm weights; all others are biases
GROUPS = {
    "EMA": ("conv1x1.weight conv3x3.weight", "gn.weight"),
    "SE": ("fc.0.weight fc.2.weight", ""),
    "CBAM": (
        "ChannelGate.mlp.1.weight ChannelGate.mlp.3.weight SpatialGate.spatial.conv.weight",
        "SpatialGate.spatial.bn.weight",
    ),
    "BAM": (
        "channel_att.gate_c.gate_c_fc_0.weight channel_att.gate_c.gate_c_fc_final.weight "
        "spatial_att.gate_s.gate_s_conv_reduce0.weight spatial_att.gate_s.gate_s_conv_di_0.weight "
        "spatial_att.gate_s.gate_s_conv_di_1.weight spatial_att.gate_s.gate_s_conv_final.weight",
        "channel_att.gate_c.gate_c_bn_1.weight spatial_att.gate_s.gate_s_bn_reduce0.weight "
        "spatial_att.gate_s.gate_s_bn_di_0.weight spatial_att.gate_s.gate_s_bn_di_1.weight",
    ),
    "ECA": ("conv.weight", ""),
    "SGE": ("", "weight"),
    "CoordAtt": ("conv1.weight conv_h.weight conv_w.weight", "bn1.weight"),
    "ShuffleAttention": ("", "cweight cbias sweight sbias gn.weight"),
    "TripletAttention": (
        "cw.conv.conv.weight hc.conv.conv.weight hw.conv.conv.weight",
        "cw.conv.bn.weight hc.conv.bn.weight hw.conv.bn.weight",
    ),
    "PSA": ("conv_q_right.weight conv_v_right.weight conv_up.weight conv_q_left.weight conv_v_left.weight", ""),
    "NAM": ("", "Channel_Att.bn2.weight"),
    "GAM": (
        "channel_attention.0.weight channel_attention.2.weight spatial_attention.0.weight spatial_attention.3.weight",
        "spatial_attention.1.weight spatial_attention.4.weight",
    ),
    "ParNet": (
        "rbr_dense.conv.weight rbr_1x1.conv.weight se.cvsig.conv.weight",
        "rbr_identity.weight rbr_dense.bn.weight rbr_1x1.bn.weight",
    ),
    "ParNetAttention": (
        "sse.1.weight conv1x1.0.weight conv3x3.0.weight",
        "conv1x1.1.weight conv3x3.1.weight",
    ),
    "PSA-sequential": (
        "conv_q_right.weight conv_v_right.weight conv_up.0.weight conv_up.3.weight "
        "conv_q_left.weight conv_v_left.weight",
        "conv_up.1.weight",
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_groups(name):
    word, _, mode = name.partition("-")
    cls = next(cls for cls in ATTENTIONS if cls.__name__ == word)
    module = cls(CHANNELS, None, mode) if mode else cls(CHANNELS)
    decayed, scales = (set(names.split()) for names in GROUPS[name])
    names = {parameter: key for key, parameter in module.named_parameters()}
    optimizer = build_optimizer(module, "SGD", 0.01, 0.9, 5e-4)
    groups = [{names[parameter] for parameter in group["params"]} for group in optimizer.param_groups]
    assert groups == [set(names.values()) - decayed - scales, decayed, scales]
    assert all(key.endswith("bias") for key in groups[0])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0, 5e-4, 0]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)


def test_every_block_is_listed():
    assert {cls.__name__ for cls in ATTENTIONS} == {name.partition("-")[0] for name in GROUPS}
