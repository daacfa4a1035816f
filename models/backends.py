"""Exported files as predictors: what val and detect need of a model, whatever wrote it.

A predictor has `predict(images, augment=False)`, `names`, `nc`, `max_stride`, `fixed_shape`, `device` and `dtype`
(float images (B, 3, H, W) in 0..1 of that dtype -> (B, N, 5+nc)); a DetectionModel is one itself. `load_predictor`
chooses by the file's suffix. Files that stock YOLOv5 exported work too.
"""

import ast
import json
import math
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from models.loading import find_weights, load_model
from utils.errors import LOG, UserError
from utils.extras import require


class Predictor(Protocol):
    """What val and detect need of a model. fixed_shape: the (batch, height, width) it is frozen to, or None."""

    names: dict[int, str]
    nc: int
    max_stride: int
    fixed_shape: tuple[int, int, int] | None
    device: torch.device
    dtype: torch.dtype

    def predict(self, images: Tensor, augment: bool = False) -> Tensor: ...


class ExportedPredictor(Predictor):
    """The part that all exported files share; a subclass sets the attributes and runs the file."""

    path: Path

    def predict(self, images: Tensor, augment: bool = False) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, N, 5+nc) on `device`. A file frozen to a batch size runs as often as it takes."""
        if augment:
            raise UserError(f"{self.path}: --augment needs the .pt file; an exported one holds a single pass")
        images = images.to(self.device, self.dtype)
        if self.fixed_shape is None:
            return self._run(images)
        batch, *size = self.fixed_shape
        if tuple(images.shape[2:]) != tuple(size):
            raise UserError(
                f"{self.path}: is frozen to images of {size[0]} x {size[1]}, given {images.shape[2]} x "
                f"{images.shape[3]}; use --imgsz {size[0]} {size[1]}, or export it with --dynamic"
            )
        return torch.cat([self._run_part(part, batch) for part in images.split(batch)])

    def _run_part(self, part: Tensor, batch: int) -> Tensor:
        """The last part of a batch may be small: black images fill it up and their boxes are dropped."""
        filler = part.new_zeros(batch - len(part), *part.shape[1:])
        return self._run(torch.cat((part, filler)))[: len(part)]

    @abstractmethod
    def _run(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) of the file's shape and dtype -> (B, N, 5+nc) on `device`."""


class OnnxPredictor(ExportedPredictor):
    """An .onnx file in onnxruntime: on the GPU where one is asked for and the package can, else on the CPU."""

    def __init__(self, path: Path, device: torch.device) -> None:
        runtime = require("onnxruntime", f"running {path}")
        self.path, self.device = path, device
        try:
            self.session = runtime.InferenceSession(str(path), providers=_onnx_providers(runtime, device))
            (source,), (target, *_) = self.session.get_inputs(), self.session.get_outputs()
        except Exception as error:  # onnxruntime's own exceptions have no common base
            raise UserError(f"{path}: cannot be read as an ONNX detection model ({_first_line(error)})") from None
        self.input = source.name
        self.dtype = torch.float16 if source.type == "tensor(float16)" else torch.float32
        batch, _, height, width = source.shape if len(source.shape) == 4 else (None,) * 4
        frozen = isinstance(height, int) and isinstance(width, int)
        self.fixed_shape = (batch if isinstance(batch, int) else 1, height, width) if frozen else None
        meta = self.session.get_modelmeta().custom_metadata_map
        self.max_stride = int(_parse(path, meta.get("stride", "32")))
        self.nc, self.names = _classes(path, meta.get("names"), target.shape)

    def _run(self, images: Tensor) -> Tensor:
        (output, *_) = self.session.run(None, {self.input: images.cpu().numpy()})
        return torch.from_numpy(output).to(self.device)


class TorchScriptPredictor(ExportedPredictor):
    """A .torchscript file; what it was made for stands in its config.txt (JSON: shape, stride, names, dynamic)."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device = path, device
        extra = {"config.txt": ""}
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
                self.module = torch.jit.load(str(path), map_location=device, _extra_files=extra).eval()
        except Exception as error:  # whatever a damaged archive leads to
            raise UserError(f"{path}: cannot be read as TorchScript ({_first_line(error)})") from None
        config = _parse(path, extra["config.txt"] or "{}")
        if not isinstance(config, dict) or not {"shape", "stride", "names"} <= set(config):
            raise UserError(f"{path}: says nothing of its image size and class names; export it with export.py")
        batch, _, height, width = config["shape"]
        self.fixed_shape = None if config.get("dynamic") else (batch, height, width)
        self.max_stride = int(config["stride"])
        self.nc, self.names = _classes(path, config["names"], ())
        self.dtype = next((p.dtype for p in self.module.parameters()), torch.float32)

    @torch.no_grad()
    def _run(self, images: Tensor) -> Tensor:
        output = self.module(images)
        return output[0] if isinstance(output, tuple) else output  # stock's file gives (decoded, raw maps)


class EnsemblePredictor:
    """Several models of the same classes: their boxes together, for one NMS."""

    fixed_shape = None

    def __init__(self, models: Sequence[Any], paths: Sequence[Path]) -> None:
        first = models[0]
        for model, path in zip(models, paths):
            if model.names != first.names:
                raise UserError(
                    f"{path}: {_difference(model.names, first.names, paths[0])}; an ensemble needs the same"
                )
        self.models = list(models)
        self.names, self.nc = first.names, first.nc
        self.device, self.dtype = first.device, first.dtype
        self.max_stride = math.lcm(*(model.max_stride for model in models))  # fits every one of them

    def predict(self, images: Tensor, augment: bool = False) -> Tensor:
        """(B, 3, H, W) in 0..1 -> (B, N of all models, 5+nc)."""
        return torch.cat(self.predict_each(images, augment), 1)

    def predict_each(self, images: Tensor, augment: bool = False) -> list[Tensor]:
        """(B, 3, H, W) in 0..1 -> per model (B, its N, 5+nc)."""
        return [model.predict(images, augment=augment) for model in self.models]


BACKENDS = {".onnx": OnnxPredictor, ".torchscript": TorchScriptPredictor}


def load_predictor(
    paths: str | Path | Sequence[str | Path], device: str | torch.device, half: bool = False
) -> Predictor:
    """Load a .pt, .onnx or .torchscript file, or several .pt as an ensemble, for inference.

    half: float16 for .pt files on a GPU; the CPU stays at float32 and an exported file at what it was exported to,
    which is said.
    """
    device = torch.device(device)
    names = [paths] if isinstance(paths, str | Path) else list(paths)
    if not names:
        raise UserError("--weights: names no file")
    unknown = [name for name in names if Path(name).suffix not in (".pt", *BACKENDS)]
    if unknown:
        known = ", ".join((".pt", *BACKENDS))
        raise UserError(f"{unknown[0]}: this kind of file cannot be run; use one of {known}")
    if len(names) > 1 and any(Path(name).suffix in BACKENDS for name in names):
        raise UserError(f"{', '.join(map(str, names))}: an ensemble takes .pt files only; give one exported file alone")
    files = [find_weights(name) for name in names]
    if files[0].suffix in BACKENDS:
        predictor = BACKENDS[files[0].suffix](files[0], device)
        if half and predictor.dtype != torch.float16:
            LOG.warning("--half: %s was exported to float32 and runs so", files[0])
        return predictor
    if half and device.type == "cpu":
        LOG.warning("--half needs a GPU: the CPU runs in float32")
    dtype = torch.float16 if half and device.type != "cpu" else torch.float32
    models = [load_model(file, device).fuse().to(dtype).requires_grad_(False) for file in files]
    return models[0] if len(models) == 1 else EnsemblePredictor(models, files)


def _difference(names: dict[int, str], others: dict[int, str], path: Path) -> str:
    """How the class tables of two models differ, in words."""
    if len(names) != len(others):
        return f"has other classes ({len(names)}) than {path} ({len(others)})"
    at = next(number for number in sorted({*names, *others}) if names.get(number) != others.get(number))
    return f"class {at} is {names.get(at)!r}, in {path} it is {others.get(at)!r}"


def _onnx_providers(runtime: Any, device: torch.device) -> list[str]:
    gpu = "CUDAExecutionProvider"
    if device.type == "cuda" and gpu in runtime.get_available_providers():
        return [gpu, "CPUExecutionProvider"]
    if device.type != "cpu":
        LOG.warning("this onnxruntime has no GPU support (pip install onnxruntime-gpu): the file runs on the CPU")
    return ["CPUExecutionProvider"]


def _classes(path: Path, names: Any, output: Sequence[Any]) -> tuple[int, dict[int, str]]:
    """Number and names of the classes, from the file's metadata and its output's shape, as far as either is there."""
    columns = output[2] if len(output) == 3 and isinstance(output[2], int) else None
    if names is None and columns is None and len(output) in (0, 3):
        raise UserError(f"{path}: says nothing of its classes; export it with export.py")
    table = _names(path, names)
    nc = len(table) if columns is None else columns - 5
    if len(output) not in (0, 3) or nc < 1 or (table and sorted(table) != list(range(nc))):
        raise UserError(
            f"{path}: its {len(table)} class names do not fit its output {list(output)}; a YOLOv5 detection model "
            "gives (batch, anchors, 5 + classes)"
        )
    return nc, table or {index: f"class{index}" for index in range(nc)}


def _names(path: Path, names: Any) -> dict[int, str]:
    table = {} if names is None else _parse(path, names)
    pairs = enumerate(table) if isinstance(table, list) else table.items() if isinstance(table, dict) else ()
    try:
        return {int(key): str(value) for key, value in pairs}
    except ValueError:
        raise UserError(f"{path}: its class names are not numbered; export it with export.py") from None


def _parse(path: Path, text: Any) -> Any:
    """Metadata as data: JSON, or Python's spelling of numbers, lists and dictionaries (as stock writes); never run."""
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    if not isinstance(text, str):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    raise UserError(f"{path}: its metadata {text[:40]!r} cannot be read; export it with export.py")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
