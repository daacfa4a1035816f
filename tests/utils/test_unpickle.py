"""Reading pickles without running them."""

import os
import pickle
import random
import zipfile
from collections import OrderedDict
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch
from torch import nn

from tests.stock_files import foreign_class, foreign_modules
from utils import unpickle
from utils.errors import UserError
from utils.unpickle import Record, named_tensors, read_pickle

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is text"),
        (bytes(range(1, 200)), "is no file of torch.save"),
        (b"PK\x03\x04 and then nothing", "damaged or cut off"),
        (pickle.dumps({"a": 1}), "not a checkpoint of PyTorch"),
        (b"\x80\x02", "damaged or cut off"),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, content, words):
    file = tmp_path / "a b.pt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        read_pickle(file)
    assert str(error.value).startswith(str(file))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_pickle(tmp_path / "x.pt")
    with pytest.raises(UserError, match="is a directory"):
        read_pickle(tmp_path)


@FORMATS
def test_plain_data_and_tensors_come_back(tmp_path, zipped):
    base = torch.arange(24, dtype=torch.float32).view(4, 6)
    content = {
        "none": None,
        "nested": [1, (2.5, True), {"x": b"\x00\xff"}, {3}],
        "ordered": OrderedDict(b=1, a=2),
        "whole": base,
        "turned": base.t()[1:, ::2],  # a view of the same storage
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 4),
        "parameter": nn.Parameter(torch.ones(2)),
        **{str(dtype): torch.ones(3).to(dtype) for dtype in unpickle.STORAGES.values()},
    }
    result = read_pickle(save(tmp_path / "x.pt", content, zipped))
    assert list(result) == list(content)
    for key, value in content.items():
        if isinstance(value, torch.Tensor):
            assert type(result[key]) is torch.Tensor and result[key].dtype == value.dtype
            assert torch.equal(result[key], value.detach())
        else:
            assert result[key] == value and type(result[key]) is type(value)


def test_numpy_scalars_and_paths_become_plain(tmp_path):
    content = [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True), PosixPath("/a/é"), PosixPath("b/c")]
    assert read_pickle(save(tmp_path / "x.pt", content)) == [0.1, 0.5, -3, True, "/a/é", "b/c"]


@FORMATS
def test_a_module_becomes_a_record_that_keeps_its_state(tmp_path, zipped):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.ReLU()))
    module.register_buffer("hidden", torch.ones(1), persistent=False)
    module.names = ["cat"]
    record = read_pickle(save(tmp_path / "x.pt", module, zipped))
    assert isinstance(record, Record) and type(record).__name__ == "Sequential"
    assert not hasattr(record, "forward") and record.state["names"] == ["cat"]
    tensors = named_tensors(record)
    assert list(tensors) == list(module.state_dict())
    assert all(torch.equal(tensors[key], value) for key, value in module.state_dict().items())


def test_modules_in_a_circle_are_refused(tmp_path):
    inner = nn.Sequential(nn.Sequential(nn.Linear(1, 1)))
    inner[0]._modules["back"] = inner
    record = read_pickle(save(tmp_path / "x.pt", inner))
    with pytest.raises(ValueError, match="held twice"):
        named_tensors(record)


@FORMATS
@pytest.mark.parametrize(
    "function, name",
    [
        (os.system, f"{os.name}.system" if os.name != "nt" else "nt.system"),
        (eval, "builtins?__.eval|builtins.eval"),
        (getattr, "getattr"),
        (torch.load, "torch.serialization.load"),
        (np.load, "load"),
        (Path.unlink, "getattr|Path.unlink"),
    ],
)
def test_a_file_that_would_run_code_is_refused_by_name(tmp_path, function, name, zipped):
    canary = tmp_path / "canary"
    content = {"model": Call(function, f"touch {canary}")}
    file = save(tmp_path / "x.pt", content, zipped)
    with pytest.raises(UserError, match=f"asks for .*({name}).*refused"):
        read_pickle(file)
    assert not canary.exists()


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_plain_pickle_that_would_run_code_is_refused_by_name(tmp_path, protocol):
    file = tmp_path / "x.pt"
    file.write_bytes(pickle.dumps(Call(os.system, "true"), protocol))
    with pytest.raises(UserError, match=r"\w+\.system"):
        read_pickle(file)


def test_a_later_yolo_is_named(tmp_path):
    with foreign_modules("ultralytics", "ultralytics.nn", "ultralytics.nn.tasks") as modules:
        model = foreign_class(modules, "ultralytics.nn.tasks", "DetectionModel")()
        file = save(tmp_path / "yolov8n.pt", {"model": model})
    with pytest.raises(UserError, match=r"ultralytics\.nn\.tasks\.DetectionModel: YOLOv8"):
        read_pickle(file)


@FORMATS
@pytest.mark.parametrize(
    "offset, size, stride",
    [
        (0, (5,), (1,)),
        (1, (4,), (1,)),
        (0, (2, 2), (4, 1)),
        (-1, (2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2**40,), (0,)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (5, (1,), (1,)),
    ],
)
def test_a_tensor_cannot_reach_outside_its_bytes(tmp_path, offset, size, stride, zipped):
    storage = torch.zeros(4)._typed_storage()
    call = Call(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
    with pytest.raises(UserError, match="damaged"):
        read_pickle(save(tmp_path / "x.pt", [call], zipped))


@pytest.mark.parametrize("change", ["compressed", "longer"])
def test_bytes_are_stored_as_torch_stores_them(tmp_path, change):
    """A compressed entry could unpack to any size."""
    file = save(tmp_path / "x.pt", torch.zeros(1000))
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(tmp_path / "y.pt", "w") as other:
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("/data/0"):
                other.writestr(
                    name,
                    data + b"\0" * 8 * (change == "longer"),
                    zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED,
                )
            else:
                other.writestr(name, data)
    with pytest.raises(UserError, match="data/0 has not the size that is named"):
        read_pickle(tmp_path / "y.pt")


@pytest.mark.parametrize(
    "program",
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb.",  # sets an attribute of a function
        b"ctorch._utils\n_rebuild_tensor_v2\nN}X\x01\x00\x00\x00aK\x01s\x86b.",
        b"ccollections\nOrderedDict\n}X\x06\x00\x00\x00updateK\x01sb.",
        b"cnumpy\ndtype\nN}X\x06\x00\x00\x00__new__K\x01s\x86b.",
        b"cmodels.common\nConv\nN}X\x06\x00\x00\x00__new__K\x01s\x86b.",
    ],
)
def test_nothing_outlives_the_load(tmp_path, program):
    file = tmp_path / "x.pt"
    before = {key: dir(value) for key, value in unpickle.GLOBALS.items()}
    file.write_bytes(b"\x80\x02" + program)
    with pytest.raises(UserError, match="damaged"):
        read_pickle(file)
    assert {key: dir(value) for key, value in unpickle.GLOBALS.items()} == before
    assert unpickle.Record().state == {} and unpickle._NumpyType("f8").order == "="


@FORMATS
def test_half_a_file_is_an_error_in_words(tmp_path, zipped):
    data = save(tmp_path / "x.pt", {"model": nn.Conv2d(3, 16, 3)}, zipped).read_bytes()
    for length in range(4, len(data), max(len(data) // 40, 1)):
        cut = tmp_path / "cut.pt"
        cut.write_bytes(data[:length])
        with pytest.raises(UserError, match=r"cut\.pt"):
            read_pickle(cut)


@FORMATS
def test_changed_bytes_never_end_in_a_traceback(tmp_path, zipped):
    data = save(tmp_path / "x.pt", {"model": nn.Conv2d(3, 4, 1), "f": np.float64(1)}, zipped).read_bytes()
    rng, changed, failed = random.Random(0), tmp_path / "changed.pt", 0
    for _ in range(300):
        content = bytearray(data)
        content[rng.randrange(len(content))] = rng.randrange(256)
        changed.write_bytes(content)
        try:
            read_pickle(changed)
        except UserError:
            failed += 1
    assert failed > 30
