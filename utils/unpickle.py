"""Reading files of `torch.save` without running anything that stands in them.

A pickle is a program: it names functions and calls them. Here every name is answered from a short table of inert
stand-ins (a class of YOLOv5 or torch.nn becomes a `Record` that only keeps its state) and any other name is refused.
Sizes, strides and offsets are checked before a tensor is cut out of its bytes.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError, describe_os_error

# The globals of torch's storages, answered with the type of their elements.
STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MODEL_MODULES = ("models.yolo", "models.common", "models.experimental", "torch.nn.modules")
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file that torch wrote before it wrote zips


class Record:
    """What stands in for an object: its class by name, its state as read. No method of the real class is there."""

    __slots__ = ("state",)
    state: dict[str, Any]

    def __new__(cls, *arguments: Any) -> "Record":
        record = super().__new__(cls)
        record.state = {}
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def part(self, key: str) -> dict[str, Any]:
        """The dictionary at `key` of the state, empty where there is none."""
        value = self.state.get(key)
        return value if isinstance(value, dict) else {}


def read_pickle(path: str | Path) -> Any:
    """Return what a file of `torch.save` holds: plain data, CPU tensors (parameters become tensors), and `Record`s.

    Raises UserError for a file that is none, is damaged, or names anything outside the table.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: {describe_os_error(error).split(': ')[-1]}") from None
    _refuse_other_files(path, content)
    try:
        return _read_zip(path, content) if content.startswith(b"PK") else _read_legacy(path, content)
    except UserError:
        raise
    except Exception as error:  # a damaged file can break anywhere: in zipfile, in pickle, in a tensor's sizes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: is damaged or cut off ({reason}); fetch or copy it again") from error


def named_tensors(module: Record) -> dict[str, Tensor]:
    """The state dict of a pickled torch module: names and order as `state_dict()` gives them.

    Raises ValueError where modules hold each other in a circle or more than once.
    """
    try:
        return dict(_walk(module, "", set()))
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _walk(module: Record, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if module.part("_modules") and id(module) in seen:  # a shared leaf, such as an activation, is common
        raise ValueError(f"module {prefix} is held twice")
    seen.add(id(module))
    hidden = module.state.get("_non_persistent_buffers_set") or ()
    kept = {key: value for key, value in module.part("_buffers").items() if key not in hidden}
    for key, value in (*module.part("_parameters").items(), *kept.items()):
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
    for key, child in module.part("_modules").items():
        if isinstance(child, Record):
            yield from _walk(child, f"{prefix}{key}.", seen)


class _Function:
    """A callable that a pickle may call but cannot change: setting state on a real function would outlive the load."""

    __slots__ = ("function",)

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("state is set on a function")


class _Reader(pickle.Unpickler):
    """One load. `storage` returns the flat tensor of a persistent id's (dtype, key, number of elements)."""

    def __init__(self, path: Path, file: io.BytesIO, storage: Callable[[torch.dtype, str, int], Tensor]) -> None:
        super().__init__(file)
        self.path = path
        self.storage = storage
        self.records: dict[tuple[str, str], type[Record]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) in GLOBALS:
            return GLOBALS[module, name]
        if module in MODEL_MODULES or module.startswith("torch.nn.modules."):
            return self._record_class(module, name)
        if module.split(".")[0] == "ultralytics":
            raise UserError(
                f"{self.path}: was written by the ultralytics package ({module}.{name}: YOLOv8 or later); "
                "a YOLOv5 checkpoint is needed"
            )
        raise UserError(
            f"{self.path}: asks for {module}.{name}, which no YOLOv5 checkpoint needs and which could run code; "
            "it was refused and nothing was run: get the file from a source you trust"
        )

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == "module":  # legacy files: (class, its source file, its source text); the text is not looked at
            return pid[1]
        kind, dtype, key, _, numel = pid[:5]
        view = pid[5:] != () and pid[5] is not None
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not _is_count(numel) or view:
            raise pickle.UnpicklingError("an unknown kind of storage")
        return self.storage(dtype, str(key), numel)

    def _record_class(self, module: str, name: str) -> type[Record]:
        """A class of its own for each name, made for this load alone."""
        if (module, name) not in self.records:
            self.records[module, name] = type(name, (Record,), {"__module__": module, "__slots__": ()})
        return self.records[module, name]


class _NumpyType:
    """Stands in for numpy.dtype: `code` such as 'f8', `order` of the bytes."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, *flags: Any) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


def _numpy_scalar(kind: _NumpyType, data: bytes) -> float | int | bool:
    if kind.code[0] not in "fiub" or kind.order not in "<>=|":
        raise pickle.UnpicklingError("a numpy scalar that is no number")
    return np.frombuffer(data, np.dtype(kind.order + kind.code), count=1)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """How pickle protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes written as {encoding}")
    return text.encode("latin1")


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *flags: Any) -> Tensor:
    """A view of `storage`, after checking that no element of it lies outside and that it is not larger."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, Tensor) or len(size) != len(stride) or not all(map(_is_count, numbers)):
        raise pickle.UnpicklingError("a tensor's sizes are not sizes")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride))
    if math.prod(size) > storage.numel() or (math.prod(size) and last >= storage.numel()):
        raise pickle.UnpicklingError("a tensor reaches outside its bytes")
    return storage.as_strided(size, stride, offset)


def _rebuild_parameter(data: Tensor, *flags: Any) -> Tensor:
    return data


def _path_text(kind: type[PurePosixPath] | type[PureWindowsPath]) -> _Function:
    return _Function(lambda *parts: str(kind(*parts)))


GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,  # as pickle protocol 2 spells it
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
    ("pathlib", "PosixPath"): _path_text(PurePosixPath),
    ("pathlib", "WindowsPath"): _path_text(PureWindowsPath),
    ("pathlib._local", "PosixPath"): _path_text(PurePosixPath),  # Python 3.13
    ("pathlib._local", "WindowsPath"): _path_text(PureWindowsPath),
    ("numpy", "dtype"): _NumpyType,
    ("numpy.core.multiarray", "scalar"): _Function(_numpy_scalar),
    ("numpy._core.multiarray", "scalar"): _Function(_numpy_scalar),
    ("_codecs", "encode"): _Function(_encode),
}


def _read_zip(path: Path, content: bytes) -> Any:
    """Since torch 1.6: NAME/data.pkl beside NAME/data/KEY, one uncompressed entry of raw bytes per storage."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    main = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(main) != 1:
        raise UserError(f"{path}: is a zip archive but not a checkpoint of PyTorch")
    folder = main[0].removesuffix("data.pkl")
    if any(name.startswith(f"{folder}code/") for name in archive.namelist()):
        raise UserError(f"{path}: is a TorchScript file, not a checkpoint; rename it to end in .torchscript")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise UserError(f"{path}: was written on a big-endian machine, which is not supported")
    seen: dict[str, Tensor] = {}

    def storage(dtype: torch.dtype, key: str, numel: int) -> Tensor:
        if key not in seen:
            entry = archive.getinfo(f"{folder}data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != numel * dtype.itemsize:
                raise pickle.UnpicklingError(f"data/{key} has not the size that is named")
            seen[key] = _tensor_of(archive.read(entry), dtype)
        return seen[key].view(dtype)

    return _Reader(path, io.BytesIO(archive.read(main[0])), storage).load()


def _read_legacy(path: Path, content: bytes) -> Any:
    """Before torch 1.6: pickles in a row (magic, version, system, the object, storage keys), then the raw storages,
    each with its number of elements in front. Tensors are views, so their bytes may arrive after them."""
    file = io.BytesIO(content)
    seen: dict[str, Tensor] = {}

    def storage(dtype: torch.dtype, key: str, numel: int) -> Tensor:
        if key not in seen:
            if sum(flat.nbytes for flat in seen.values()) + numel * dtype.itemsize > len(content):
                raise pickle.UnpicklingError("storages are larger than the file")
            seen[key] = torch.zeros(numel, dtype=dtype)
        return seen[key].view(dtype)

    if _Reader(path, file, storage).load() != LEGACY_MAGIC:
        raise UserError(f"{path}: is a pickle but not a checkpoint of PyTorch")
    _, _, result, keys = (_Reader(path, file, storage).load() for _ in range(4))
    for key in keys:
        flat = seen[str(key)]
        if int.from_bytes(file.read(8), "little") != flat.numel():
            raise pickle.UnpicklingError(f"storage {key} has not the size that is named")
        flat.copy_(_tensor_of(_read_exactly(file, flat.nbytes), flat.dtype))
    return result


def _refuse_other_files(path: Path, content: bytes) -> None:
    if not content.strip():
        raise UserError(f"{path}: is empty; fetch or copy it again")
    if content.startswith((b"PK", b"\x80")):
        return
    start = content[:1024].lstrip().lower()
    if start.startswith(b"<") and b"html" in start:
        raise UserError(f"{path}: is a web page (HTML), not a checkpoint; fetch the file itself again")
    what = "is text" if content[:1024].isascii() and b"\0" not in start else "is no file of torch.save"
    raise UserError(f"{path}: {what}, not a checkpoint; give a .pt file that YOLOv5 or train.py wrote")


def _tensor_of(data: bytes, dtype: torch.dtype) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _read_exactly(file: io.BytesIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise EOFError("the file ends too early")
    return data


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
