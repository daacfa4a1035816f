"""Write again every shipped model YAML that `tools.insert` made: `python -m tools.variants`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from models.attention import ATTENTIONS, EMA
from models.config import FOLDER
from tools.insert import build_text, insert
from utils.errors import LOG, run_command
from utils.files import write_text

SIZES = "nsmlx"
COMPARED = tuple(block.__name__ for block in ATTENTIONS if block is not EMA)  # of sizes n and s


@dataclass(frozen=True)
class Variant:
    """A shipped YAML and the one it is made of; both are paths below models/."""

    source: str
    out: str
    after: tuple[str, ...]
    block: str = "EMA"
    args: tuple[str, ...] = ()


def _of_size(size: str) -> list[Variant]:
    """`-ema` alone always means the paper's place: behind the last two C3 blocks of the backbone."""
    plain, paper = f"yolov5{size}.yaml", ("backbone-last2",)
    return [
        Variant(plain, f"yolov5{size}-ema.yaml", paper),
        *(Variant(plain, f"variants/ema/yolov5{size}-ema-{p}.yaml", (p,)) for p in ("backbone", "neck", "all")),
        Variant(f"hub/yolov5{size}6.yaml", f"variants/ema/yolov5{size}6-ema.yaml", paper),
        Variant(f"variants/p2/yolov5{size}-p2.yaml", f"variants/p2/yolov5{size}-p2-ema.yaml", paper),
    ]


def _compared(size: str, block: str) -> Variant:
    """Any other attention at the paper's place."""
    out = f"variants/attention/yolov5{size}-{block.lower()}.yaml"
    return Variant(f"yolov5{size}.yaml", out, ("backbone-last2",), block)


VARIANTS = (
    *(variant for size in SIZES for variant in _of_size(size)),
    *(_compared(size, block) for size in "ns" for block in COMPARED),
)


def render(variant: Variant) -> str:
    """The text of a variant's file."""
    return insert(FOLDER / variant.source, variant.block, variant.after, variant.args, variant.out)


def main(argv: Sequence[str] | None = None) -> None:
    """Write what has changed."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    changed = 0
    for variant in VARIANTS:
        path, text = FOLDER / variant.out, render(variant)
        if not path.is_file() or path.read_bytes() != text.encode():
            build_text(text, variant.out)
            write_text(path, text)
            LOG.info(f"models/{variant.out}")
            changed += 1
    LOG.info(f"{changed} of {len(VARIANTS)} files written, the others are up to date")


if __name__ == "__main__":
    run_command(main)
