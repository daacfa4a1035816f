"""The networks behind the EMA paper's tables, built without memory for their weights, and the ways to count them.

`block` is the name of a class in models.attention, or None for the plain network.
"""

from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import mobilenet_v2, resnet50, resnet101
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import Bottleneck

from models import DetectionModel, attention
from models.config import find_config, read_config
from models.summary import count_parameters
from tools.insert import build_text, insert
from utils.files import read_yaml

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)
CIFAR_CLASSES = 100
EMA_LEAST = (
    144  # MobileNetV2: EMA stands only where there are more channels (its authors' rule; 32 divides all of those)
)


def coco_network(block: str | None) -> DetectionModel:
    """YOLOv5s, 80 classes, with the block after the last two C3 of the backbone."""
    path = find_config("yolov5s.yaml")
    text = path.read_text(encoding="utf-8") if block is None else insert(path, block, ["backbone-last2"])
    return build_text(text, path.name)


def visdrone_network(block: str | None) -> DetectionModel:
    """YOLOv5x with a P2 level, 10 classes; with a block: the published wiring, the block in place of its five EMAs."""
    plain = read_yaml(find_config(f"visdrone-yolov5x-p2{'' if block is None else '-ema'}.yaml"))
    head = [[source, n, block if word == "EMA" else word, args] for source, n, word, args in plain["head"]]
    with torch.device("meta"):
        return DetectionModel(read_config(plain | {"head": head}))


def cifar_network(depth: int, block: str | None, stem: int = 3) -> nn.Module:
    """ResNet-50 or -101 for CIFAR-100: 3x3 stem (or 7x7), no pooling after it, the block after every bottleneck's last
    norm, before the sum."""
    with torch.device("meta"):
        network = {50: resnet50, 101: resnet101}[depth](num_classes=CIFAR_CLASSES)
        network.conv1 = nn.Conv2d(3, 64, stem, padding=stem // 2, bias=False)
        network.maxpool = nn.Identity()
        for module in list(network.modules()):
            if block and isinstance(module, Bottleneck):
                module.bn3 = nn.Sequential(module.bn3, _make(block, module.bn3.num_features))
    return network


def mobilenet_network(block: str | None, reduction: int | None = None, biased: bool = False) -> nn.Module:
    """MobileNetV2 for ImageNet, the block between the depthwise and the projecting convolution of every expanding
    inverted residual; EMA only where there are more than EMA_LEAST channels.

    reduction: the block's, None for its own default. biased: give linear layers of the block a bias if they lack one.
    """
    with torch.device("meta"):
        network = mobilenet_v2()
        for module in list(network.modules()):
            if not block or not isinstance(module, InvertedResidual) or len(module.conv) < 4:
                continue
            *before, project, norm = module.conv
            if block != "EMA" or project.in_channels > EMA_LEAST:
                made = _make(block, project.in_channels, reduction)
                if biased:
                    _add_biases(made)
                module.conv = nn.Sequential(*before, made, project, norm)
    return network


def count_without_norms(network: nn.Module) -> int:
    """Trainable values outside of batch and group norms."""
    return count_parameters(network) - sum(count_parameters(m) for m in network.modules() if isinstance(m, NORMS))


def count_folded(network: DetectionModel) -> int:
    """Trainable values when the batch norms behind the network's own convolutions have become their biases, as `val.py`
    of YOLOv5 prints it; the blocks keep theirs. Changes the network."""
    return count_parameters(network.fuse())


def count_layers(network: DetectionModel, word: str | None) -> int:
    """Trainable values of the layers of this word."""
    return sum(count_parameters(layer) for layer in network.model if layer.word == word)


def count_mflops(network: nn.Module, size: int = 224) -> float:
    """Multiply-adds of one picture, in 1e6, as ImageNet tables count them: convolutions and linear layers."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops() / 2e6


def _make(block: str, channels: int, reduction: int | None = None) -> nn.Module:
    make = partial(getattr(attention, block), channels)
    return make() if reduction is None else make(reduction=reduction)


def _add_biases(block: nn.Module) -> None:
    for layer in block.modules():
        if isinstance(layer, nn.Linear) and layer.bias is None:
            layer.bias = nn.Parameter(layer.weight.new_zeros(layer.out_features))
