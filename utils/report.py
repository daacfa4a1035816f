"""What a training run writes while it goes: results.csv and TensorBoard events."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from utils.errors import LOG
from utils.files import named_errors, write_text

COLUMNS = (
    "epoch",
    "train/box_loss",
    "train/obj_loss",
    "train/cls_loss",
    "metrics/precision",
    "metrics/recall",
    "metrics/mAP_0.5",
    "metrics/mAP_0.5:0.95",
    "val/box_loss",
    "val/obj_loss",
    "val/cls_loss",
    "x/lr0",
    "x/lr1",
    "x/lr2",
)


def results_text(history: Iterable[Sequence[float]]) -> str:
    """Return results.csv as text: one row of 14 numbers per epoch, each cell right-aligned to 20 characters."""
    lines = [",".join(f"{name:>20}" for name in COLUMNS)]
    for row in history:
        if len(row) != len(COLUMNS):
            raise ValueError(f"a row of results.csv has {len(COLUMNS)} numbers, not {len(row)}")
        lines.append(",".join(f"{value:>20.5g}" for value in row))
    return "\n".join(lines) + "\n"


def write_results(path: str | Path, history: Iterable[Sequence[float]]) -> None:
    """Write results.csv anew from all epochs so far, so that it never disagrees with the checkpoint's history."""
    write_text(path, results_text(history))


class TensorBoard:
    """Stock's scalars, the model's graph and the pictures of the end, as events in the run folder.

    Without the tensorboard package (or with `enabled` off) every method does nothing. `first_epoch` is where a resumed
    run goes on: what an interrupted run wrote beyond it disappears from view.
    """

    def __init__(self, folder: str | Path, first_epoch: int = 0, enabled: bool = True) -> None:
        self._writer: Any = None
        self._folder = Path(folder)
        if not enabled:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter  # a second to import, and optional
        except ImportError:
            LOG.info("tensorboard is not installed: no events are written (pip install tensorboard)")
            return
        with named_errors(folder):
            self._writer = SummaryWriter(str(folder), purge_step=first_epoch if first_epoch else None)
        start = f"'tensorboard --logdir {self._folder.parent}'"
        LOG.info(f"TensorBoard: start with {start}, view at http://localhost:6006/")

    def add_epoch(self, row: Sequence[float]) -> None:
        """Write one row of results.csv as 13 scalars at its epoch."""
        if not self._writer:
            return
        with named_errors(self._folder):
            for name, value in zip(COLUMNS[1:], row[1:], strict=True):
                self._writer.add_scalar(name, value, int(row[0]))
            self._writer.flush()

    def add_graph(self, model: nn.Module, images: torch.Tensor) -> None:
        """Write the graph of `model` in the mode that it is in; a model that cannot be traced costs one line."""
        if not self._writer:
            return
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tracing is deprecated, but what TensorBoard draws
                self._writer.add_graph(_Flat(model).train(model.training), images, use_strict_trace=False)
        except Exception as error:  # tracing may fail in any way, and training does not need it
            LOG.info(f"TensorBoard: the model's graph was not written ({str(error).splitlines()[0]})")

    def add_images(self, files: Iterable[Path], epoch: int) -> None:
        """Write picture files under their stems; those that are not there are left out."""
        if not self._writer:
            return
        for file in files:
            if file.is_file():
                picture = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
                self._writer.add_image(file.stem, picture[..., ::-1], epoch, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write what is pending."""
        if self._writer:
            self._writer.close()


class _Flat(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.model(images))
