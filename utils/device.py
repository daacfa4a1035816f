"""Choosing the one device that a process works on."""

import torch

from utils.errors import UserError


def select_device(text: str = "") -> torch.device:
    """'' = the first GPU, else the CPU; 'cpu', 'mps', '0' or 'cuda:0'. A device that is not there is an error."""
    name = str(text).strip().lower().removeprefix("cuda:")
    if "," in name:
        raise UserError(f"--device {text}: several GPUs come in a later version; give one, e.g. --device 0")
    if name in ("", "cuda"):
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("--device mps: this machine has no Apple GPU; use --device cpu")
        return torch.device("mps")
    if not name.isdigit():
        raise UserError(f"--device {text}: is not a device; use cpu, mps or a GPU's number such as 0")
    found = torch.cuda.device_count()
    if int(name) >= found:
        raise UserError(f"--device {text}: {found} CUDA GPUs were found; use --device cpu or a lower number")
    torch.cuda.set_device(int(name))  # so that questions about "the" GPU are about this one
    return torch.device(f"cuda:{name}")
