"""docs/paper.md holds what the networks count to; the counts equal formulas that were written down independently."""

import json
import re
from decimal import ROUND_HALF_UP, Decimal

import pytest

from models.config import find_config
from models.summary import count_parameters
from tools import paper
from tools import paper_networks as networks
from tools.insert import build_text, insert
from utils.errors import UserError

TEXT = paper.DOCUMENT.read_text(encoding="utf-8")
STAGES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
EXPANDED = (96, 144, 144, 192, 192, 192, 384, 384, 384, 384, 576, 576, 576, 960, 960, 960)


def ema(c, factor=32):
    n = c // factor
    return 10 * n * n + 4 * n


def cbam(c, reduction=16):
    return 2 * c * (c // reduction) + c // reduction + c + 100  # two biased layers; a 7x7 convolution and its norm


def coordatt(c):
    hidden = max(8, c // 32)
    return 3 * c * hidden + 3 * hidden + 2 * c


SIZES = {
    "EMA": ema,
    "CBAM": cbam,
    "CoordAtt": coordatt,
    "ShuffleAttention": lambda c: 6 * (c // 128),
    "ECA": lambda c: 7 if c == 2048 else 5,
    "NAM": lambda c: 2 * c,
    None: lambda c: 0,
}
KNOWN = {
    "coco": {
        "YOLOv5s": 7_235_389,
        **{
            f"YOLOv5s + {paper.SHORT.get(block, block)}": 7_235_389 + SIZES[block](256) + SIZES[block](512)
            for block in ("CBAM", "ShuffleAttention", "ECA", "CoordAtt", "EMA")
        },
    },
    "visdrone": {
        "YOLOv5x-P2": 90_963_540,
        "the wiring alone": 90_963_540 + 204_800,
        **{
            f"YOLOv5x-P2 + {name}": 91_168_340 + 2 * size(640) + 3 * size(320)
            for name, size in (("CBAM", cbam), ("CA", coordatt), ("EMA", ema))
        },
    },
    "cifar": {
        paper.name_of(f"ResNet-{depth}", block): {50: 23_705_252, 101: 42_697_380}[depth]
        + sum(n * SIZES[block](256 << i) for i, n in enumerate(STAGES[depth]))
        for depth, block in paper.CIFAR
    },
    "mobilenet": {
        "MobileNetV2 (timm)": 3_504_872,
        "MobileNetV2 (d-li14)": 3_504_872,
        "MobileNetV2 + SE (timm)": 3_504_872 + sum(2 * c * (c // 16) for c in EXPANDED),
        "MobileNetV2 + CBAM (timm)": 3_504_872 + sum(map(cbam, EXPANDED)),
        "MobileNetV2 + CA (timm)": 3_504_872 + sum(map(coordatt, EXPANDED)),
        **{
            f"MobileNetV2 + EMA ({r})": 3_504_872 + sum(ema(c) for c in EXPANDED if c > 144) for r in ("timm", "d-li14")
        },
    },
}


def rows_of(name):
    """Name -> cells of the document's table."""
    part = TEXT.partition(f"<!-- begin {name} -->\n")[2].partition("<!-- end")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in part.splitlines() if line[:1] == "|"]
    return {row[0]: row for row in rows[2:]}


def number(cell):
    return int(cell.rstrip("✓✗ ").replace(",", ""))


def test_the_tool_writes_the_document():
    assert paper.fill(TEXT) == TEXT, "run python -m tools.paper"


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_equal_the_formulas(name):
    assert {row: number(cells[2]) for row, cells in rows_of(name).items()} == KNOWN[name]


def test_the_known_ones():
    assert KNOWN["coco"]["YOLOv5s + EMA"] == 7_238_685
    assert KNOWN["visdrone"]["YOLOv5x-P2 + EMA"] == 91_179_620
    assert KNOWN["cifar"]["ResNet-50 + EMA"] == 23_903_620 and KNOWN["cifar"]["ResNet-101 + EMA"] == 43_072_004
    assert KNOWN["mobilenet"]["MobileNetV2 + EMA (timm)"] == 3_549_272


@pytest.mark.parametrize("name", KNOWN)
def test_marks_say_whether_a_count_rounds_to_the_published_figure(name):
    seen = set()
    for cells in rows_of(name).values():
        for cell in cells[2:4]:
            if cell[-1] in "✓✗":
                rounded = (Decimal(number(cell)) / 10**6).quantize(Decimal(cells[1]), ROUND_HALF_UP)
                assert cell[-1] == ("✓" if rounded == Decimal(cells[1]) else "✗"), cells
                seen.add(cell[-1])
    assert seen == ({"✓"} if name == "visdrone" else {"✓", "✗"})


def test_disagreements_are_those_that_the_text_explains():
    unlike = {name: [row for row, cells in rows_of(name).items() if cells[2].endswith("✗")] for name in KNOWN}
    assert unlike["coco"] == ["YOLOv5s", *(f"YOLOv5s + {name}" for name in ("CBAM", "SA", "ECA", "CA"))]
    assert unlike["visdrone"] == []
    assert unlike["cifar"] == [f"ResNet-{row}" for row in ("50 + NAM", "50 + CA", "50 + EMA", "101 + CA", "101 + EMA")]
    assert [row for row in unlike["cifar"] if rows_of("cifar")[row][3].endswith("✗")] == ["ResNet-50 + NAM"]
    assert [row for row, cells in rows_of("coco").items() if cells[3].endswith("✗")] == ["YOLOv5s + EMA"]
    assert [row for row, cells in rows_of("mobilenet").items() if cells[3].endswith("✗")] == ["MobileNetV2 (d-li14)"]


def test_numbers_in_the_text():
    factor16 = insert(find_config("yolov5s.yaml"), "EMA", ["backbone-last2"], ["16"])
    usual = insert(find_config("visdrone-yolov5x-p2.yaml"), "EMA", ["13", "17", "21", "24", "27"])
    plain = {depth: count_parameters(networks.cifar_network(depth, None)) for depth in STAGES}
    wide = [count_parameters(networks.cifar_network(depth, "EMA", stem=7)) for depth in STAGES]
    counted = {
        7_235_389 - networks.count_folded(networks.coco_network(None)),
        networks.count_folded(build_text(factor16, "factor16.yaml")),
        count_parameters(build_text(usual, "usual.yaml")),
        count_parameters(networks.visdrone_network("nn.Identity")) - 90_963_540,
        networks.count_layers(networks.visdrone_network("EMA"), "EMA"),
        *(count_parameters(networks.cifar_network(depth, "EMA")) - plain[depth] for depth in STAGES),
        count_parameters(networks.cifar_network(50, "NAM")) - plain[50],
        *wide,
        wide[0] - KNOWN["cifar"]["ResNet-50 + EMA"],
    }
    text = re.sub(r"<!-- begin.*?<!-- end", "", TEXT, flags=re.DOTALL)
    assert {int(found.replace(",", "")) for found in re.findall(r"\d+(?:,\d{3})+", text)} == counted


def test_operations_of_the_plain_networks():
    assert rows_of("mobilenet")["MobileNetV2 (timm)"][5] == "300.8"  # 300.79 is published
    for name, row in (("coco", "YOLOv5s"), ("visdrone", "YOLOv5x-P2")):
        published, counted = rows_of(name)[row][-5 if name == "coco" else -4 :][:2]
        assert float(counted) == pytest.approx(float(published), rel=0.01)


def test_commands_fit_the_files(tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "MEASURED", tmp_path)
    made = paper.cost_table()
    assert made.count("open, needs a GPU") == 4 and made.count("not measured") == 3
    found = {"device": "a CPU", "dtype": "float32", "kind": "cpu", "milliseconds": 1234.5, "images_per_second": 3.25}
    found |= {"clock": "processor", "peak_bytes": 3 << 29, "hours": 12345.6}
    for name in re.findall(r"--out docs/benchmarks/(\S+)", made):
        (tmp_path / name).write_text(json.dumps(found))
    made = paper.cost_table()
    assert "| 64 | a CPU, float32, processor time | 1,234 | 3.25 | 1.5 | 12,346 |" in made and "open" not in made


def test_a_table_without_a_place():
    with pytest.raises(UserError, match="not one place for the table cifar"):
        paper.fill(TEXT.replace("<!-- begin cifar -->", ""))
