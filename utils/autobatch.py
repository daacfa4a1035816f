"""--batch-size -1: the largest batch that a GPU's free memory is likely to hold."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from utils.errors import LOG, UserError

DEFAULT_BATCH = 16
MEMORY_PART = 0.8
PROBES = (1, 2, 4, 8, 16)


def choose_batch_size(model: nn.Module, image_size: int, dtype: torch.dtype, part: float = MEMORY_PART) -> int:
    """Return a batch size that fills `part` of the GPU's memory: a forward and a backward pass are measured for a few
    batches and a line fitted. Off CUDA there is nothing to measure: 16, in one sentence."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        LOG.info(f"autobatch: memory can only be measured on a CUDA GPU; using batch {DEFAULT_BATCH}")
        return DEFAULT_BATCH
    total = torch.cuda.get_device_properties(device).total_memory
    probes, used = [], []
    for batch in PROBES:
        memory = _measure(model, batch, image_size, dtype)
        if memory is None:
            break
        probes.append(batch)
        used.append(memory)
    if not probes:
        raise UserError("--batch-size -1: not even one image fits the GPU's memory; use a smaller --imgsz or model")
    torch.cuda.empty_cache()  # what PyTorch keeps in reserve is ours to use
    free = torch.cuda.mem_get_info(device)[0]
    held = total - free  # what other processes and the model itself hold
    batch = fit_batch_size(probes, used, part * total - held)
    if len(probes) < len(PROBES):
        batch = min(batch, probes[-1])  # the next one did not fit
    LOG.info(f"autobatch: batch {batch} should use {part:.0%} of {total / 2**30:.1f} GiB on {device}")
    return batch


def fit_batch_size(probes: Sequence[int], used: Sequence[float], budget: float) -> int:
    """Return the batch at which the line through (probes, bytes used) meets `budget` bytes, from 1 up; 16 where fewer
    than two batches could be measured or the line does not rise."""
    if len(probes) < 2:
        return DEFAULT_BATCH
    slope, start = np.polyfit(probes, used, deg=1)
    return max(int((budget - start) / slope), 1) if slope > 0 else DEFAULT_BATCH


def _measure(model: nn.Module, batch: int, image_size: int, dtype: torch.dtype) -> float | None:
    """Peak bytes of one training pass beyond what was allocated before; None where the memory does not suffice."""
    device = next(model.parameters()).device
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    try:
        images = torch.zeros(batch, 3, image_size, image_size, device=device)
        with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
            raw = model(images)
        sum(level.float().mean() for level in raw).backward()
        return float(torch.cuda.max_memory_allocated(device) - before)
    except torch.cuda.OutOfMemoryError:
        return None
    finally:
        model.zero_grad(set_to_none=True)
        model.load_state_dict(state)  # running means have seen the probes
