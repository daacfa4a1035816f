"""Exported files behave as the model they came from."""

import json

import pytest
import torch
from torch import nn

from models.backends import EnsemblePredictor, OnnxPredictor, TorchScriptPredictor, load_predictor
from models.exporters import EXPORTERS, Format
from tests.models.test_loading import save
from tests.stock_files import tiny_model
from utils import extras
from utils.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
onnx = pytest.importorskip("onnx")
KINDS = pytest.mark.parametrize("kind", sorted(EXPORTERS))


@pytest.fixture(scope="module")
def model():
    return tiny_model("yolov5n-ema.yaml").fuse().requires_grad_(False)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """{(kind, dynamic): file}, static ones for (2, 64, 96)."""
    folder = tmp_path_factory.mktemp("exported é")
    images = torch.rand(2, 3, 64, 96)
    made = {}
    for kind, write in EXPORTERS.items():
        for dynamic in (False, True):
            made[kind, dynamic] = folder / f"{dynamic}.{kind}"
            write(model, images, made[kind, dynamic], Format(dynamic=dynamic))
    return made


@KINDS
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_static_file_takes_any_batch_of_its_size(files, model, kind, batch):
    predictor = load_predictor(files[kind, False], "cpu")
    images = torch.rand(batch, 3, 64, 96)
    torch.testing.assert_close(predictor.predict(images), model.predict(images), atol=1e-3, rtol=1e-4)
    assert predictor.fixed_shape == (2, 64, 96)
    with pytest.raises(UserError, match=r"frozen to images of 64 x 96, given 96 x 64; use --imgsz 64 96"):
        predictor.predict(images.transpose(2, 3))


@KINDS
@pytest.mark.parametrize("shape", [(1, 3, 64, 96), (3, 3, 32, 32), (2, 3, 160, 64)])
def test_dynamic_file_takes_any_shape(files, model, kind, shape):
    predictor = load_predictor([str(files[kind, True])], torch.device("cpu"))
    images = torch.rand(*shape)
    given, expected = predictor.predict(images), model.predict(images)
    assert given.shape == expected.shape and given.dtype == torch.float32
    torch.testing.assert_close(given, expected, atol=1e-3, rtol=1e-4)
    assert predictor.fixed_shape is None


@KINDS
def test_what_the_file_says_of_itself(files, model, kind):
    predictor = load_predictor(files[kind, True], "cpu")
    assert (predictor.names, predictor.nc, predictor.max_stride) == (model.names, 3, 32)
    assert predictor.dtype == torch.float32 and predictor.device == torch.device("cpu")
    with pytest.raises(UserError, match="--augment needs the .pt"):
        predictor.predict(torch.rand(1, 3, 64, 64), augment=True)


def test_a_traced_file_names_no_device(files):
    """Traced on the CPU, it must run on a GPU too."""
    module = torch.jit.load(str(files["torchscript", True]))
    assert "device(" not in str(module.inlined_graph) and 'Device = prim::Constant[value="' not in str(
        module.inlined_graph
    )


@KINDS
def test_damaged_files(files, tmp_path, kind):
    file = tmp_path / f"x.{kind}"
    data = files[kind, False].read_bytes()
    for content in (b"", b"<html></html>", data[: len(data) // 2]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=rf"x\.{kind}: cannot be read"):
            load_predictor(file, "cpu")


def test_which_files_can_be_run(tmp_path, files):
    with pytest.raises(UserError, match="names no file"):
        load_predictor([], "cpu")
    with pytest.raises(UserError, match=r"x\.engine: this kind.*\.pt, \.onnx, \.torchscript"):
        load_predictor("x.engine", "cpu")
    with pytest.raises(UserError, match=r"x\.onnx: no such file"):
        load_predictor(tmp_path / "x.onnx", "cpu")
    with pytest.raises(UserError, match="ensemble takes .pt files only"):
        load_predictor(["a.pt", files["onnx", True]], "cpu")


def test_a_checkpoint_is_fused_and_an_ensemble_joins_boxes(tmp_path):
    models = [tiny_model(seed=1), tiny_model("yolov5n-ema.yaml", seed=2)]
    paths = [save(tmp_path / f"{index}.pt", model) for index, model in enumerate(models)]
    images = torch.rand(2, 3, 64, 64)
    single = load_predictor(paths[0], "cpu", half=True)  # half: said, not done, on a CPU
    assert single.dtype == torch.float32 and not any(isinstance(m, nn.BatchNorm2d) for m in single.modules())
    both = load_predictor(paths, "cpu")
    assert isinstance(both, EnsemblePredictor) and both.names == models[0].names and both.max_stride == 32
    with torch.no_grad():
        expected = torch.cat([model.predict(images) for model in models], 1)
        torch.testing.assert_close(both.predict(images), expected, atol=2e-3, rtol=1e-4)
        twice = both.predict(images, augment=True).shape[1]
        assert twice == sum(model.predict(images, augment=True).shape[1] for model in models)


def test_an_ensemble_of_other_classes_is_refused(tmp_path):
    paths = [save(tmp_path / f"{nc}.pt", tiny_model(nc=nc)) for nc in (3, 4)]
    with pytest.raises(UserError, match=r"4\.pt: has other classes \(4\) than .*3\.pt \(3\)"):
        load_predictor(paths, "cpu")


class Foreign(nn.Module):
    """Gives (B, 7, 5 + 4), as some other program's export might; stock's TorchScript gives a tuple."""

    def forward(self, images):
        return images.flatten(1)[:, :63].view(-1, 7, 9), images


def write_foreign_onnx(path, names, shape=(-1, 7, 9), kind=onnx.TensorProto.FLOAT):
    """A graph that gives its input in another shape, with metadata of our choice."""
    helper = onnx.helper
    source = helper.make_tensor_value_info("images", kind, ("batch", 3, "height", "width"))
    target = helper.make_tensor_value_info("output0", kind, tuple("batch" if side < 0 else side for side in shape))
    sizes = helper.make_tensor("sizes", onnx.TensorProto.INT64, (len(shape),), shape)
    node = helper.make_node("Reshape", ["images", "sizes"], ["output0"])
    graph = helper.make_graph([node], "g", [source], [target], [sizes])
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names is not None:
        helper.set_model_props(content, {"names": names, "stride": "64"})
    onnx.save(content, str(path))
    return path


@pytest.mark.parametrize(
    "text, names",
    [
        ("{0: 'a', 1: \"it's\", 2: 'é', 3: 'd'}", {0: "a", 1: "it's", 2: "é", 3: "d"}),  # as stock writes
        ('{"0": "a", "1": "b", "2": "c", "3": "d"}', {0: "a", 1: "b", 2: "c", 3: "d"}),
        ("['a', 'b', 'c', 'd']", {0: "a", 1: "b", 2: "c", 3: "d"}),
        (None, {0: "class0", 1: "class1", 2: "class2", 3: "class3"}),
    ],
)
def test_class_names_of_other_programs(tmp_path, text, names):
    predictor = OnnxPredictor(write_foreign_onnx(tmp_path / "x.onnx", text), torch.device("cpu"))
    assert predictor.names == names and predictor.nc == 4
    images = torch.rand(2, 3, 7, 3)
    assert torch.equal(predictor.predict(images), images.view(2, 7, 9))
    assert predictor.max_stride == (64 if text else 32)


@pytest.mark.parametrize(
    "text, shape, words",
    [
        ("__import__('os').system('true')", (-1, 7, 9), "metadata .* cannot be read"),
        ("{0: 'a'}", (-1, 7, 9), "1 class names do not fit its output"),
        ("{0: 'a', 1: 'b', 2: 'c', 3: 'd'}", (1, 8, 8400), "do not fit its output"),  # YOLOv8's layout
        ("{'x': 'a'}", (-1, 7, 9), "not numbered"),
        (None, (-1, 9), "0 class names do not fit its output"),
    ],
)
def test_metadata_that_does_not_fit(tmp_path, text, shape, words):
    with pytest.raises(UserError, match=words):
        OnnxPredictor(write_foreign_onnx(tmp_path / "x.onnx", text, shape), torch.device("cpu"))


def test_a_torchscript_file_of_stock(tmp_path):
    file = tmp_path / "stock.torchscript"
    config = {"shape": [1, 3, 64, 64], "stride": 32, "names": {str(i): f"n{i}" for i in range(4)}}
    traced = torch.jit.trace(Foreign(), torch.rand(1, 3, 64, 64))
    traced.save(str(file), _extra_files={"config.txt": json.dumps(config)})
    predictor = TorchScriptPredictor(file, torch.device("cpu"))
    assert predictor.fixed_shape == (1, 64, 64) and predictor.names[3] == "n3"
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(predictor.predict(images), Foreign()(images)[0])
    traced.save(str(file))
    with pytest.raises(UserError, match="says nothing of its image size"):
        TorchScriptPredictor(file, torch.device("cpu"))


def test_a_missing_package_is_named_with_its_command(monkeypatch, files):
    monkeypatch.setattr(extras.importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(UserError, match="pip install onnxruntime$"):
        load_predictor(files["onnx", True], "cpu")


def test_a_half_precision_file_is_given_half_precision(tmp_path):
    write_foreign_onnx(tmp_path / "x.onnx", None, kind=onnx.TensorProto.FLOAT16)
    predictor = load_predictor(tmp_path / "x.onnx", "cpu", half=True)
    assert predictor.dtype == torch.float16
    assert predictor.predict(torch.rand(1, 3, 7, 3)).dtype == torch.float16
