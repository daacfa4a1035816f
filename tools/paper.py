"""Count the networks of the EMA paper's tables again and write the figures into docs/paper.md: `python -m tools.paper`.

Published figures are those of the paper and of its authors' repository. A table stands between two comment lines
`begin NAME` and `end NAME` in the document; everything else in it is written by hand.
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from models.summary import count_gflops, count_parameters
from tools import paper_networks as networks
from utils.errors import LOG, ROOT, UserError, run_command
from utils.files import write_text

DOCUMENT = ROOT / "docs" / "paper.md"
MEASURED = ROOT / "docs" / "benchmarks"
SHORT = {"CoordAtt": "CA", "ShuffleAttention": "SA"}  # the paper's names
# block: published parameters in 1e6, GFLOPs, AP50, AP
COCO = {
    None: ("7.23", "16.5", "56.0", "37.2"),
    "CBAM": ("7.27", "16.6", "57.1", "37.7"),
    "ShuffleAttention": ("7.23", "16.5", "56.8", "37.4"),
    "ECA": ("7.23", "16.5", "57.1", "37.6"),
    "CoordAtt": ("7.26", "16.50", "57.5", "38.1"),
    "EMA": ("7.24", "16.53", "57.8", "38.4"),
}
VISDRONE = {
    None: ("90.96", "314.2", "49.29", "30.0"),
    "nn.Identity": ("", "", "", ""),
    "CBAM": ("91.31", "315.1", "49.40", "30.1"),
    "CoordAtt": ("91.28", "315.2", "49.30", "30.1"),
    "EMA": ("91.18", "315.0", "49.70", "30.4"),
}
# (depth, block): published parameters in 1e6, top-1, top-5
CIFAR = {
    (50, None): ("23.71", "77.26", "93.63"),
    (50, "CBAM"): ("26.24", "80.56", "95.34"),
    (50, "ShuffleAttention"): ("23.71", "79.92", "95.00"),
    (50, "ECA"): ("23.71", "79.68", "95.05"),
    (50, "NAM"): ("23.71", "80.62", "95.28"),
    (50, "CoordAtt"): ("25.57", "80.17", "94.94"),
    (50, "EMA"): ("23.85", "80.69", "95.59"),
    (101, None): ("42.70", "77.78", "94.39"),
    (101, "CoordAtt"): ("46.22", "80.01", "94.78"),
    (101, "EMA"): ("42.96", "80.86", "95.75"),
}
# (block, recipe): published parameters in 1e6, MFLOPs, top-1, top-5
MOBILENET = {
    (None, "timm"): ("3.50", "300", "72.3", "91.02"),
    ("SE", "timm"): ("3.89", "300", "73.5", ""),
    ("CBAM", "timm"): ("3.89", "300", "73.6", ""),
    ("CoordAtt", "timm"): ("3.95", "310", "74.3", ""),
    ("EMA", "timm"): ("3.55", "306", "74.32", "91.82"),
    (None, "d-li14"): ("3.504", "300.79", "72.192", "90.534"),
    ("EMA", "d-li14"): ("", "302", "72.55", "90.89"),
}
REDUCED = 24  # SE's and CBAM's reduction in the tables that MobileNetV2's rows were taken from
GIB = 1 << 30


def main(argv: Sequence[str] | None = None) -> None:
    """Count, and write the document anew."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    text = DOCUMENT.read_text(encoding="utf-8")
    new = fill(text)
    if new != text:
        write_text(DOCUMENT, new)
    LOG.info("%s: %s", DOCUMENT.relative_to(ROOT), "written" if new != text else "is up to date")


def fill(text: str) -> str:
    """The document with every table counted anew; `UserError` where the place of one is missing."""
    places = {name: (f"<!-- begin {name} -->\n", f"<!-- end {name} -->") for name in TABLES}
    for name, (begin, end) in places.items():
        if len(re.findall(f"{begin}.*?{end}", text, re.DOTALL)) != 1:
            raise UserError(f"docs/paper.md: has not one place for the table {name}; write {begin.strip()} and {end}")
    for name, (begin, end) in places.items():
        before, rest = text.split(begin)
        text = before + begin + TABLES[name]() + end + rest.partition(end)[2]
    return text


def mark(count: int, published: str) -> str:
    """The count, and whether it rounds to the published figure (in 1e6)."""
    if not published:
        return f"{count:,}"
    digits = len(published.partition(".")[2])
    return f"{count:,} {'✓' if f'{count / 1e6:.{digits}f}' == published else '✗'}"


def coco_table() -> str:
    """YOLOv5s: all parameters, and with the batch norms folded as YOLOv5's val.py counts."""
    rows = []
    for block, (size, flops, ap50, ap) in COCO.items():
        network = networks.coco_network(block)
        count, gflops = count_parameters(network), count_gflops(network)
        folded = networks.count_folded(network)
        cells = [mark(count, size), mark(folded, size), flops, f"{gflops:.2f}", f"{count_gflops(network):.2f}"]
        rows.append([name_of("YOLOv5s", block), size, *cells, ap50, ap])
    head = "model|published, M|parameters|batch norms folded|GFLOPs published|counted|folded|AP50|AP"
    return table(head, rows)


def visdrone_table() -> str:
    """YOLOv5x-P2: all parameters, and those of the five blocks."""
    rows = []
    for block, (size, flops, ap50, ap) in VISDRONE.items():
        network = networks.visdrone_network(block)
        name = "the wiring alone" if block == "nn.Identity" else name_of("YOLOv5x-P2", block)
        cells = [mark(count_parameters(network), size), f"{networks.count_layers(network, block):,}"]
        rows.append([name, size, *cells, flops, f"{count_gflops(network):.1f}", ap50, ap])
    return table("model|published, M|parameters|in the blocks|GFLOPs published|counted|AP50|AP", rows)


def cifar_table() -> str:
    """ResNet: all parameters, and those outside of norms."""
    rows = []
    for (depth, block), (size, *scores) in CIFAR.items():
        network = networks.cifar_network(depth, block)
        cells = [mark(count_parameters(network), size), mark(networks.count_without_norms(network), size)]
        rows.append([name_of(f"ResNet-{depth}", block), size, *cells, *scores])
    return table("network|published, M|parameters|without norm layers|top-1|top-5", rows)


def mobilenet_table() -> str:
    """MobileNetV2: blocks with their own defaults, and SE and CBAM as in the tables that the rows come from."""
    rows = []
    for (block, recipe), (size, flops, *scores) in MOBILENET.items():
        reduced = networks.mobilenet_network(block, *((REDUCED, True) if block in ("SE", "CBAM") else ()))
        counts = [count_parameters(network) for network in (networks.mobilenet_network(block), reduced)]
        cells = [*(mark(count, size) for count in counts), flops, f"{networks.count_mflops(reduced):.1f}"]
        rows.append([f"{name_of('MobileNetV2', block)} ({recipe})", size, *cells, *scores])
    head = f"network (recipe)|published, M|parameters|SE, CBAM: reduction {REDUCED}, biases|MFLOPs published|counted"
    return table(f"{head}|top-1|top-5", rows)


def operations_table() -> str:
    """What EMA adds in operations: in full, and if the groups, which lie on the batch axis, count once."""
    coco = [count_gflops(networks.coco_network(block)) for block in (None, "EMA")]
    visdrone = [count_gflops(networks.visdrone_network(block)) for block in (None, "nn.Identity", "EMA")]
    mobile = [networks.count_mflops(networks.mobilenet_network(block)) for block in (None, "EMA")]
    rows = []
    for name, published, wiring, ema, digits in (
        ("YOLOv5s, GFLOPs", "0.03", 0.0, coco[1] - coco[0], 3),
        ("YOLOv5x-P2, GFLOPs", "0.8", visdrone[1] - visdrone[0], visdrone[2] - visdrone[1], 2),
        ("MobileNetV2, MFLOPs (multiply-adds)", "6", 0.0, mobile[1] - mobile[0], 1),
    ):
        figures = (wiring, ema, wiring + ema, wiring + ema / 32)
        rows.append([name, f"+{published}", *(f"+{figure:.{digits}f}" for figure in figures)])
    return table("network|published|wiring|EMA|wiring and EMA|wiring and 1/32 of EMA", rows)


def cost_table() -> str:
    """What training costs, from the files that benchmarks.train_step wrote, and the commands that write them."""
    rows, commands = [], []
    for cfg, images, batches in COSTS:
        for kind, batch in batches.items():
            name = f"train-{Path(cfg).stem}-{kind}.json"
            command = f"python -m benchmarks.train_step --cfg {cfg} --img 640 --batch {batch} --images {images}"
            device = "0" if kind == "cuda" else "cpu --iterations 5"
            commands.append(f"{command} --epochs 300 --device {device} --out docs/benchmarks/{name}")
            rows.append([f"{cfg}, {images:,} images", str(batch), *_cost_cells(MEASURED / name, kind)])
    head = "model, data|batch|device|ms per iteration|images/s|peak memory, GiB|hours for 300 epochs"
    return table(head, rows) + "\n```\n" + "\n".join(commands) + "\n```\n"


COSTS = (
    ("yolov5s.yaml", 118287, {"cpu": 4, "cuda": 64}),
    ("yolov5s-ema.yaml", 118287, {"cpu": 4, "cuda": 64}),
    ("visdrone-yolov5x-p2.yaml", 6471, {"cuda": 8}),
    ("visdrone-yolov5x-p2-ema.yaml", 6471, {"cpu": 1, "cuda": 8}),
)
TABLES: dict[str, Callable[[], str]] = {
    "coco": coco_table,
    "visdrone": visdrone_table,
    "cifar": cifar_table,
    "mobilenet": mobilenet_table,
    "operations": operations_table,
    "cost": cost_table,
}


def name_of(network: str, block: str | None) -> str:
    """'YOLOv5s', 'YOLOv5s + CA'."""
    return network if block is None else f"{network} + {SHORT.get(block, block)}"


def table(head: str, rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; `head` with bars between its cells."""
    lines = [head.split("|"), ["---"] * len(rows[0]), *rows]
    return "".join("| " + " | ".join(cell or "-" for cell in line) + " |\n" for line in lines)


def _cost_cells(file: Path, kind: str) -> list[str]:
    if not file.is_file():
        return ["open, needs a GPU" if kind == "cuda" else "not measured", "", "", "", ""]
    found = json.loads(file.read_text(encoding="utf-8"))
    time, rate = f"{found['milliseconds']:,.0f}", f"{found['images_per_second']:.2f}"
    device = f"{found['device']}, {found['dtype']}{', processor time' if found['clock'] == 'processor' else ''}"
    return [device, time, rate, f"{found['peak_bytes'] / GIB:.1f}", f"{found['hours']:,.0f}"]


if __name__ == "__main__":
    run_command(main)
