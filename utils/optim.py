"""The optimizer: which parameters are decayed, and stock YOLOv5's order of groups."""

from collections.abc import Iterator

import torch
from torch import nn

from utils.errors import UserError

OPTIMIZERS = ("SGD", "Adam", "AdamW")
NORMS = tuple(kind for name, kind in vars(nn).items() if "Norm" in name and isinstance(kind, type))
# layers of which every weight is decayed, also one of a single row or column
WEIGHTED = tuple(
    kind for name, kind in vars(nn).items() if name.startswith(("Conv", "Linear")) and isinstance(kind, type)
)
MAX_GRADIENT_NORM = 10.0


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Return (biases, decayed, norm weights), in the order of the modules; each parameter stands in exactly one.

    A bias is what is called `bias`, a norm weight the `weight` of any normalisation layer. With them go the scales and
    shifts that a block holds itself, whatever they are called: parameters with fewer than two dimensions larger than 1,
    outside of convolutions and linear layers. Everything else is decayed, so a model of stock's blocks has stock's
    groups, but for C3TR's in_proj_bias, which stock decays. Frozen parameters stay in their group, without effect.
    """
    biases, decayed, norms = [], [], []
    for module, name, parameter in _own_parameters(model):
        if name == "bias":
            biases.append(parameter)
        elif (name == "weight" and isinstance(module, NORMS)) or _is_scale(module, parameter):
            norms.append(parameter)
        else:
            decayed.append(parameter)
    return biases, decayed, norms


def build_optimizer(
    model: nn.Module, name: str, lr: float, momentum: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Build SGD (Nesterov), Adam or AdamW (betas = momentum, 0.999) over three groups: biases, decayed weights, norm
    weights. Only the second has weight decay, and the first group's learning rate is the biases' (x/lr0)."""
    biases, decayed, norms = split_parameters(model)
    groups = [
        {"params": biases, "weight_decay": 0.0},
        {"params": decayed, "weight_decay": weight_decay},
        {"params": norms, "weight_decay": 0.0},
    ]
    # one pass over each tensor: a third of foreach's time on the CPU
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    if name == "SGD":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True, fused=fused)
    if name in ("Adam", "AdamW"):
        kind = torch.optim.Adam if name == "Adam" else torch.optim.AdamW
        return kind(groups, lr=lr, betas=(momentum, 0.999), fused=fused)
    raise UserError(f"--optimizer {name}: is not offered; use one of {', '.join(OPTIMIZERS)}")


def freeze_layers(model: nn.Module, prefixes: tuple[str, ...]) -> int:
    """Stop training the parameters whose names start so; returns how many there are. Running means of frozen layers
    still follow the data, as in stock."""
    frozen = [parameter for name, parameter in model.named_parameters() if name.startswith(prefixes)]
    for parameter in frozen:
        parameter.requires_grad_(False)
    return len(frozen)


def describe_groups(optimizer: torch.optim.Optimizer) -> str:
    """One line: the optimizer, its learning rate and how many parameters are in each group."""
    counts = [len(group["params"]) for group in optimizer.param_groups]
    decay, rate = optimizer.param_groups[1]["weight_decay"], optimizer.param_groups[0]["lr"]
    return (
        f"optimizer: {type(optimizer).__name__}(lr={rate:g}), parameters: {counts[0]} biases, "
        f"{counts[1]} weights (decay={decay:g}), {counts[2]} norm weights"
    )


def _is_scale(module: nn.Module, parameter: nn.Parameter) -> bool:
    return not isinstance(module, WEIGHTED) and sum(size > 1 for size in parameter.shape) < 2


def _own_parameters(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:  # a parameter that two modules share is trained once
                seen.add(id(parameter))
                yield module, name, parameter
