"""From a checked model YAML to a network."""

from collections.abc import Mapping

import torch
from torch import nn

from models.common import Concat, Conv
from models.config import Config, Layer, read_activation
from models.conv import BN_EPS, BN_MOMENTUM
from models.head import Detect
from models.registry import Scale, find_block
from models.summary import measure_strides
from models.tta import predict_augmented
from utils.errors import UserError


class DetectionModel(nn.Module):
    """A YOLOv5 network. State-dict names are YOLOv5's: model.0.conv.weight, model.24.m.0.weight, ...

    `forward` gives raw maps (what the loss judges), `predict` decoded boxes (what post-processing takes); both in train
    and eval mode. `model` is the Sequential of layers; each has `index`, `source` and `word` of its YAML line.
    """

    fixed_shape = None  # takes any batch and picture size, unlike some exported files

    def __init__(self, config: Config, ch: int = 3, names: Mapping[int, str] | None = None):
        super().__init__()
        self.is_fused = False
        self.yaml = config.content | {"ch": ch}
        self.model = nn.Sequential(*_build_layers(config, ch))
        self.saved = {i for layer in self.model for i in layer.source if i != layer.index - 1}
        self.nc = self.head.nc
        self.names = dict(names) if names else {i: str(i) for i in range(self.nc)}
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = BN_EPS, BN_MOMENTUM
        if "activation" in self.yaml:
            _set_activation(self, read_activation(config.name, self.yaml["activation"]))
        try:
            self.head.set_strides(measure_strides(self, ch))
        except UserError as error:
            raise UserError(f"{config.name}, {error}") from None

    @property
    def head(self) -> Detect:
        """The detection head, the last layer."""
        return self.model[-1]

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels per cell of each level."""
        return self.head.strides

    @property
    def max_stride(self) -> int:
        """What picture sides must be a multiple of."""
        return max(self.strides)

    @property
    def device(self) -> torch.device:
        return self.head.anchors.device

    @property
    def dtype(self) -> torch.dtype:
        """What `predict` and `forward` take."""
        return self.head.m[0].weight.dtype

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) in 0..1 -> one raw map (B, na, H/s, W/s, 5+nc) per level. H, W multiples of `max_stride`."""
        if self.is_fused and self.training and torch.is_grad_enabled():
            raise UserError("fuse() made this network one for inference only; load the weights again to train")
        x, kept = images, {}
        for layer in self.model:
            if layer.takes_many or layer.source != (layer.index - 1,):
                inputs = [x if i == layer.index - 1 else kept[i] for i in layer.source]
                x = inputs if layer.takes_many else inputs[0]
            x = layer(x)
            if layer.index in self.saved:
                kept[layer.index] = x
        return x

    def predict(self, images: torch.Tensor, augment: bool = False) -> torch.Tensor:
        """(B, 3, H, W) in 0..1 -> (B, N, 5+nc): cx, cy, w, h in input pixels, objectness, class scores.

        augment: predict at three sizes, one of them mirrored, and give all boxes.
        """
        return predict_augmented(self, images) if augment else self.head.decode(self(images))

    def fuse(self) -> "DetectionModel":
        """Fold what does not depend on the picture (batch norms into convolutions, EMA's constants); returns self.

        For inference only: in train mode a fused network refuses to run with gradients (`UserError`).
        """
        for module in list(self.modules()):
            if module is not self and callable(getattr(module, "fuse", None)):
                module.fuse()
        self.is_fused = True
        return self


def _build_layers(config: Config, ch: int) -> list[nn.Module]:
    content = config.content
    scale = Scale(content["depth_multiple"], content["width_multiple"], content.get("channel_multiple", 8))
    channels: list[int] = []
    layers = []
    for layer in config.layers:
        inputs = [ch if i == -1 else channels[i] for i in layer.source]
        module, out = _build_layer(config, layer, inputs, scale)
        layers.append(module)
        channels.append(out)
    if not isinstance(layers[-1], Detect):
        raise config.fail(config.layers[-1], "the last layer must be Detect")
    return layers


def _build_layer(config: Config, layer: Layer, inputs: list[int], scale: Scale) -> tuple[nn.Module, int]:
    try:
        block = find_block(layer.word)
        plan = block.rule(inputs, layer.args, scale.repeats(layer.repeats), scale)
        copies = [block.cls(*plan.args) for _ in range(plan.repeats)]
    except (UserError, TypeError, ValueError, RuntimeError) as error:
        raise config.fail(layer, str(error).partition("\n")[0]) from None
    module = copies[0] if len(copies) == 1 else nn.Sequential(*copies)
    module.index, module.source, module.word, module.arguments = layer.index, layer.source, layer.word, plan.args
    module.takes_many = len(layer.source) > 1 or isinstance(module, Concat | Detect)
    return module, plan.channels


def _set_activation(model: nn.Module, activation: nn.Module) -> None:
    """Replace what `activation:` in the YAML replaces: the default activation of every Conv."""
    for module in model.modules():
        if isinstance(module, Conv) and isinstance(module.act, nn.SiLU):
            module.act = activation
