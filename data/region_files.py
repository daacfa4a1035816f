"""Side files of ignored regions: where objects may be that nobody labelled. `ignored/NAME.txt` beside `labels/NAME.txt`
has a row cx, cy, w, h in parts of the picture's sides for each region; no file means no region."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.images import IMAGE_SUFFIXES
from data.label_rows import UnreadableLabels, check_box, read_text

FOLDER = "ignored"
ROUNDING = 1e-6  # of a side: what six decimals leave open of an edge
NONE = np.zeros((0, 4), np.float64)


@dataclass
class RegionRows:
    """regions (m, 4) float64 cx, cy, w, h within 0..1; problems are (line number, kind, sentence), the kinds 'region
    dropped' and 'region clipped', the line number 0 where the whole file is meant."""

    regions: np.ndarray = field(default_factory=NONE.copy)
    problems: list[tuple[int, str, str]] = field(default_factory=list)


def region_path(image: Path) -> Path:
    """The side file of an image: in ignored/ instead of the last folder named images, or in ignored/ beside it."""
    return _region_folder(image.parent) / f"{image.stem}.txt"


def _region_folder(folder: Path) -> Path:
    parts = list(folder.parts)
    for i in range(len(parts) - 1, -1, -1):
        if parts[i] == "images":
            parts[i] = FOLDER
            return Path(*parts)
    return folder / FOLDER


def read_regions(path: Path) -> RegionRows:
    """Read a side file. A bad row costs itself only, a file that is no text is one problem; neither costs the image."""
    try:
        text = read_text(path)
    except UnreadableLabels as error:
        return RegionRows(problems=[(0, "region dropped", f"the file of ignored regions {error}")])
    return parse_regions(text)


def parse_regions(text: str) -> RegionRows:
    """Read the text of a side file; see `RegionRows`."""
    regions, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            region, clipped = _parse_row(words)
        except ValueError as error:
            problems.append((number, "region dropped", str(error)))
            continue
        regions.append(region)
        if clipped:
            problems.append((number, "region clipped", "lay partly outside the picture"))
    return RegionRows(np.array(regions, np.float64).reshape(-1, 4), problems)


def _parse_row(words: list[str]) -> tuple[list[float], bool]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise ValueError(f"holds something that is no number: {' '.join(words)[:60]!r}") from None
    if len(values) != 4:
        raise ValueError(f"has {len(values)} values, not the 4 of an ignored region (cx cy w h)")
    return check_box(values)


def to_pixels(regions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(m, 4) cx, cy, w, h in parts of a (height, width) picture -> x1, y1, x2, y2 float64 in its pixels. An edge within
    the files' rounding (six decimals) of a whole pixel is that pixel: integers come back as they were."""
    size = np.array(shape[::-1], np.float64)
    half = regions[:, 2:] / 2
    edges = np.concatenate((regions[:, :2] - half, regions[:, :2] + half), 1) * np.tile(size, 2)
    whole = edges.round()
    return np.where(np.abs(edges - whole) <= ROUNDING * np.tile(size, 2), whole, edges) + 0.0  # no -0


@dataclass(frozen=True)
class RegionFiles:
    """paths[i] = the side file of image i if it is there, else None; orphans = the side files that no image has."""

    paths: list[Path | None]
    orphans: list[Path]


def find_region_files(images: Sequence[Path]) -> RegionFiles:
    """The side files of these images. Each folder is listed once: where there are none, no image costs a look."""
    places: dict[Path, tuple[Path, set[str]]] = {}  # folder of images: its folder of side files, the names in there
    paths: list[Path | None] = []
    for image in images:
        if (parent := image.parent) not in places:
            folder = _region_folder(parent)
            places[parent] = folder, _names(folder, (".txt",))
        folder, names = places[parent]
        name = f"{image.stem}.txt" if names else ""
        paths.append(folder / name if name in names else None)
    used = {path for path in paths if path}
    orphans = []
    for parent, (folder, names) in places.items():
        left = sorted(name for name in names if folder / name not in used)
        stems = {Path(name).stem for name in _names(parent, IMAGE_SUFFIXES)} if left else set()
        orphans += [folder / name for name in left if Path(name).stem not in stems]  # the others: of another split
    return RegionFiles(paths, orphans)


def _names(folder: Path, suffixes: tuple[str, ...]) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
    except OSError:
        return set()
    return {name for name in names if name.lower().endswith(suffixes) and not name.startswith(".")}
