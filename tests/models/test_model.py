import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models import build_model
from models.config import FOLDER
from models.summary import count_gflops, count_parameters, layer_table
from tests.models.reference import GOLDEN, fill_by_name

SHIPPED = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml"))
REFERENCE = json.loads((GOLDEN / "models.json").read_text())


def on_meta(name, **kwargs):
    with torch.device("meta"):
        return build_model(FOLDER / name, **kwargs)


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_names_counts_and_strides_are_yolov5s(name):
    model, wanted = on_meta(name), REFERENCE[name]
    shapes = sorted((key, tuple(value.shape)) for key, value in model.state_dict().items())
    assert count_parameters(model) == wanted["params"]
    assert list(model.strides) == wanted["stride"]
    assert len(shapes) == wanted["keys"]
    assert hashlib.sha256(repr(shapes).encode()).hexdigest()[:16] == wanted["keys_sha"]
    assert count_gflops(model) == pytest.approx(wanted["gflops_640"], rel=0.02)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_yaml_builds(name):
    model = on_meta(name, nc=10)
    assert model.nc == 10 and len(model.names) == 10
    wanted = {"-p2": (4, 8, 16, 32), "6": (8, 16, 32, 64)}
    expected = next((s for end, s in wanted.items() if Path(name).stem.split("-ema")[0].endswith(end)), (8, 16, 32))
    assert model.strides == expected
    assert all(layer.index == i for i, layer in enumerate(model.model))


@pytest.mark.parametrize("name", [name for name in SHIPPED if "yolov5n" in name])
def test_smallest_size_runs(name):
    model = build_model(FOLDER / name, nc=3).eval()
    size = model.max_stride * 2
    with torch.no_grad():
        prediction = model.predict(torch.rand(2, 3, size, model.max_stride))
    cells = sum(size * model.max_stride // s**2 for s in model.strides)
    assert prediction.shape == (2, 3 * cells, 8) and prediction.isfinite().all()


@pytest.mark.parametrize("size", "nsmlx")
def test_ema_files_add_only_the_two_blocks(size):
    plain, attention = on_meta(f"yolov5{size}.yaml"), on_meta(f"yolov5{size}-ema.yaml")
    blocks = [layer for layer in attention.model if layer.word == "EMA"]
    assert [layer.index for layer in blocks] == [7, 10]
    assert all(layer.groups == 32 for layer in blocks)
    assert count_parameters(attention) - count_parameters(plain) == sum(count_parameters(layer) for layer in blocks)


def test_yolov5s_ema_has_the_published_size():
    assert count_parameters(on_meta("yolov5s-ema.yaml")) == 7_238_685


@pytest.mark.parametrize("name", ["yolov5n", "yolov5s", "yolov5-p2"])
def test_outputs_equal_yolov5s(name):
    reference = np.load(GOLDEN / f"forward_{name}.npz")
    model = fill_by_name(build_model(f"{name}.yaml"))
    images = torch.from_numpy(np.random.RandomState(0).rand(2, 3, 192, 256))
    with torch.no_grad():
        rows = model.eval().predict(images)[:, :: int(reference["rows_step"])]
        raw = model.train()(images)
    np.testing.assert_allclose(rows.numpy(), reference["eval_rows"], rtol=1e-9, atol=1e-9)
    for i, level in enumerate(raw):
        assert level.shape == tuple(reference[f"train{i}_shape"])
        values = level.flatten()[:: int(reference["sub_step"])].numpy()
        np.testing.assert_allclose(values, reference[f"train{i}_sub"], rtol=1e-9, atol=1e-9)


def test_fusing_changes_nothing_but_speed():
    model = fill_by_name(build_model("yolov5n-ema.yaml", nc=2)).eval()
    images = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        before = model.predict(images)
        after = model.fuse().predict(images)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)


def test_half_precision_decodes_in_float32():
    model = build_model("yolov5n.yaml", nc=2).eval().bfloat16()
    with torch.no_grad():
        assert model.predict(torch.rand(1, 3, 64, 64, dtype=torch.bfloat16)).dtype == torch.float32


def test_augmented_prediction_maps_back():
    """With a network that sees nothing (all weights zero) boxes are known: each pass gives the cells' own boxes."""
    model = build_model("yolov5n.yaml", nc=2).eval()
    for parameter in model.parameters():
        parameter.data.zero_()
    with torch.no_grad():
        plain, augmented = model.predict(torch.rand(1, 3, 128, 192)), model.predict(torch.rand(1, 3, 128, 192), True)
    kept = 3 * (128 * 192 // 64 + 128 * 192 // 256)
    torch.testing.assert_close(augmented[:, :kept], plain[:, :kept])  # full size, without the largest stride
    last = augmented[:, -3 * (96 * 160 // 256 + 96 * 160 // 1024) :]  # 0.67: 85 x 128 padded to 96 x 160, no P3
    assert last[..., 0].max() > 192 and float(last[0, 0, 0]) == pytest.approx(8 / 0.67)
    middle = augmented[:, kept : kept + 3 * (128 * 160 // 64)]
    assert float(middle[0, 0, 0]) == pytest.approx(192 - 4 / 0.83, abs=1e-3)  # mirrored


def test_layer_table_names_layers_and_totals():
    table = layer_table(build_model("yolov5n-ema.yaml", nc=10))
    assert "EMA" in table and "1,778,295 parameters" in table and "GFLOPs" in table


def test_bare_names_paths_and_mappings_build_the_same(tmp_path):
    by_name = build_model("yolov5n.yaml")
    by_path = build_model(FOLDER / "yolov5n.yaml")
    by_content = build_model(by_name.yaml)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (by_name, by_path, by_content)]
    assert shapes[0] == shapes[1] == shapes[2]


def test_a_head_of_one_level_reads_the_layer_before_it():
    model = build_model(
        {
            "nc": 2,
            "anchors": [[10, 13, 16, 30]],
            "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]],
            "head": [[[1], 1, "Detect", ["nc", "anchors"]]],
        }
    )
    (raw,) = model(torch.zeros(1, 3, 32, 32))
    assert raw.shape == (1, 2, 8, 8, 7) and model.strides == (4,)
