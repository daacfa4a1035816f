"""Draw the embedded demo: `python -m data.prepare.demo`. Training with demo.yaml does the same by itself."""

from dataclasses import dataclass
from pathlib import Path

from data.prepare.demo_data import DemoSettings, draw_demo, prepare
from utils.errors import ROOT, run_command
from utils.options import option, parse_options

__all__ = ["DemoSettings", "draw_demo", "prepare"]

SHIPPED = DemoSettings()


@dataclass(frozen=True)
class DemoOptions:
    """The command line."""

    images: int = option(SHIPPED.images, "pictures to train with")
    val_images: int = option(SHIPPED.val_images, "pictures to validate with")
    size: int = option(SHIPPED.size, "side of a picture in pixels")
    objects: int = option(SHIPPED.objects, "objects in a picture, on average")
    seed: int = option(SHIPPED.seed, "the same seed draws the same files")
    to: Path = option(ROOT.parent / "datasets" / "demo", "folder of the data set")


def main() -> None:
    """Read the command line and draw."""
    options = parse_options(DemoOptions, __doc__)
    settings = DemoSettings(options.images, options.val_images, options.size, options.objects, options.seed)
    draw_demo(options.to, settings)


if __name__ == "__main__":
    run_command(main)
