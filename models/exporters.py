"""Networks into files of other formats. A format is one function (model, images, path, options) in `EXPORTERS`.

Each writes a graph that maps `images` (B, 3, H, W) in 0..1 to what `predict` gives, (B, N, 5+nc), and the metadata
(stride, names) under the names that stock YOLOv5 uses.
"""

import io
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.model import DetectionModel
from utils.errors import UserError
from utils.extras import require

DYNAMIC_AXES = {"images": {0: "batch", 2: "height", 3: "width"}, "output0": {0: "batch", 1: "anchors"}}
LOWEST_OPSET = 11  # the first with CumSum, by which the head counts cells


@dataclass(frozen=True)
class Format:
    """How to write: dynamic: batch, height and width stay free; opset: version of ONNX's operators; simplify: shorten
    the ONNX graph with onnxslim."""

    dynamic: bool = False
    opset: int = 17
    simplify: bool = False


def export_onnx(model: DetectionModel, images: Tensor, path: Path, options: Format) -> None:
    """Write an ONNX file: input `images`, output `output0`; checked to be valid and to have the opset asked for."""
    onnx = require("onnx", "export to ONNX")
    if options.opset < LOWEST_OPSET:
        raise UserError(f"--opset {options.opset}: the detection head needs {LOWEST_OPSET} or more; use 17")
    try:
        with _quiet_tracing():
            torch.onnx.export(
                _Decoded(model),
                (images,),
                str(path),
                dynamo=False,  # the newer route needs onnxscript and may change the opset
                opset_version=options.opset,
                input_names=["images"],
                output_names=["output0"],
                dynamic_axes=DYNAMIC_AXES if options.dynamic else None,
            )
    except (ValueError, UserWarning, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(f"--opset {options.opset}: PyTorch cannot write it ({reason}); try another") from None
    graph = onnx.load(str(path))
    if options.simplify:
        graph = require("onnxslim", "--simplify").slim(graph)
    _describe(graph, model)
    written = next(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    if written != options.opset:
        raise UserError(f"--opset {options.opset}: this PyTorch writes opset {written} instead; ask for that one")
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def export_torchscript(model: DetectionModel, images: Tensor, path: Path, options: Format) -> None:
    """Write a traced TorchScript file with config.txt: JSON of shape, stride and names as stock's, and dynamic."""
    config = {
        "shape": list(images.shape),
        "stride": model.max_stride,
        "names": model.names,
        "dynamic": options.dynamic,
    }
    with _quiet_tracing(), torch.no_grad():
        traced = torch.jit.trace(_Decoded(model), images, check_trace=False)  # export.py checks it on real pixels
        buffer = io.BytesIO()  # PyTorch's own writer aborts the process where the disk is full
        torch.jit.save(traced, buffer, _extra_files={"config.txt": json.dumps(config, ensure_ascii=False)})
    path.write_bytes(buffer.getbuffer())


Exporter = Callable[[DetectionModel, Tensor, Path, Format], None]
EXPORTERS: dict[str, Exporter] = {"torchscript": export_torchscript, "onnx": export_onnx}  # key = suffix of the file


class _Decoded(nn.Module):
    """The network with `predict` as its forward: what a tracer follows."""

    def __init__(self, model: DetectionModel) -> None:
        super().__init__()
        self.model = model
        self.train(model.training)  # an exporter puts back the mode that it finds

    def forward(self, images: Tensor) -> Tensor:
        return self.model.predict(images)


def _describe(graph, model: DetectionModel) -> None:
    """Metadata as stock writes it, and the output's last size, which tracing leaves nameless when axes are free."""
    known = {"stride": str(model.max_stride), "names": str(model.names)}
    del graph.metadata_props[:]
    for key, value in known.items():
        entry = graph.metadata_props.add()
        entry.key, entry.value = key, value
    graph.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 5 + model.nc


@contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Without the warnings that tracing is old, and that sizes compared in Python (GroupNorm's check) are frozen: the
    file is run at other sizes afterwards."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using the legacy TorchScript", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The feature will be removed", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        warnings.filterwarnings("error", message="Exporting to ONNX opset version")  # one that it does not know
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield
