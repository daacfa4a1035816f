"""The embedded demo: drawn street scenes, written in VisDrone's raw layout and put through its converter."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from data.prepare.demo_scene import draw_scene
from data.prepare.gather import swap_in
from data.prepare.report import Report
from data.prepare.visdrone_split import REPORT, prepare_split
from utils.errors import LOG, UserError
from utils.files import read_yaml, write_yaml
from utils.memory import keep_freed_memory
from utils.progress import progress

MARKER = "drawn.yaml"
DRAWING = 1  # raised when the same settings give other pictures than before
JPEG_QUALITY = 92
SPREAD = (0.5, 1.5)  # objects in one picture, over the wanted mean


@dataclass(frozen=True)
class DemoSettings:
    """images and val_images: pictures for training and validation; size: their side in pixels; objects: per picture on
    average; seed: the same one gives the same files."""

    images: int = 1200
    val_images: int = 120
    size: int = 320
    objects: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [name for name, value in asdict(self).items() if value < (0 if name in ("seed", "objects") else 1)]
        if wrong:
            raise UserError(f"--{wrong[0].replace('_', '-')} {getattr(self, wrong[0])}: is too small")
        if self.size < 64:
            raise UserError(f"--size {self.size}: is too small; scenes are drawn from 64 pixels on")


def prepare(root: Path) -> None:
    """Draw the demo as it ships into `root`, unless it is there."""
    draw_demo(root, DemoSettings())


def draw_demo(root: str | Path, settings: DemoSettings) -> list[Report]:
    """Draw train/ and val/ (each images, annotations, labels, ignored) into `root`, which appears as a whole.

    Data drawn with the same settings are left as they are (the report is then empty), other drawn data are replaced,
    and a folder that was not drawn by this function is never touched.
    """
    root = Path(root).absolute()
    wanted = {"drawing": DRAWING} | asdict(settings)
    if _drawn_with(root) == wanted:
        LOG.info("%s: is already drawn", root)
        return []
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}."))
    try:
        reports = [_draw_split(work, split, index, settings) for index, split in enumerate(("train", "val"))]
        write_yaml(work / "demo" / MARKER, wanted)
        swap_in(work / "demo", root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for report in reports:
        report.show(root / report.title / REPORT)
    return reports


def _drawn_with(root: Path) -> dict | None:
    """The settings that the folder was drawn with; None where there is nothing; an error where it is someone else's."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return None
    if not (root / MARKER).is_file():
        raise UserError(
            f"{root}: holds files that the demo did not draw; move them away or choose another folder (--to)"
        )
    return read_yaml(root / MARKER)


def _draw_split(work: Path, split: str, index: int, settings: DemoSettings) -> Report:
    count = (settings.images, settings.val_images)[index]
    folder = work / "demo" / split
    for name in ("images", "annotations"):
        (folder / name).mkdir(parents=True)
    keep_freed_memory()
    for name, picture, rows in progress(_scenes(index, count, settings), f"drawing {folder.name}", total=count):
        (folder / "images" / f"{name}.jpg").write_bytes(picture)
        (folder / "annotations" / f"{name}.txt").write_text(rows, encoding="utf-8")
    return prepare_split(folder, folder, work)


def _scenes(index: int, count: int, settings: DemoSettings) -> Iterator[tuple[str, bytes, str]]:
    """(name, JPEG, annotation text) per picture; each depends on the seed, the split and its number alone."""
    for number in range(count):
        source = np.random.SeedSequence([settings.seed, index, number])
        objects = round(settings.objects * np.random.default_rng(source).uniform(*SPREAD))
        scene = draw_scene(int(source.generate_state(1)[0]), settings.size, settings.size, objects)
        picture = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        rows = "".join(",".join(map(str, row)) + "\n" for row in scene.annotations.tolist())
        yield f"{index}_{number:05d}", picture.tobytes(), rows
