"""All objects of a data set in one table, and all that is wrong with its labels: from a split's labels, or from raw
VisDrone annotations without their images."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.images import IMAGE_SUFFIXES
from data.label_cache import Entry
from data.labels import ORPHANS, PROBLEM_WORDS, examine_split, label_path, lines_of_class
from data.prepare.report import Report
from data.prepare.visdrone_rows import NAMES
from data.prepare.visdrone_split import convert_folder
from data.region_files import find_region_files, region_path
from data.spec import DatasetSpec
from data.statistics import Objects
from utils.archives import is_archive, unpack
from utils.errors import UserError

NOT_LABELS = ("classes.txt",)  # which drawing programs leave beside the labels
DEPTH = 3  # folders below a source that are searched for annotations/
UNNAMED = "rows of a class that the data set does not name"


@dataclass
class Survey:
    """objects of `images` (names or paths, in order) with classes `names`; faults maps a kind to one 'FILE, line N:
    what it is' per case; rows counts VisDrone's raw rows per category."""

    title: str
    names: dict[int, str]
    images: list[Path]
    objects: Objects
    faults: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)


def survey_split(spec: DatasetSpec, split: str) -> Survey:
    """The labels of a split as training would read them, except that classes too high are counted, not refused."""
    entries = examine_split(spec, split)
    usable = {path: entry for path, entry in entries.items() if entry.usable}
    sides = np.array([entry.shape[::-1] for entry in usable.values()], np.float64).reshape(-1, 2)
    labels = [
        np.concatenate((entry.boxes[:, :1], entry.boxes[:, 1:].astype(np.float64) * np.tile(side, 2)), 1)
        for entry, side in zip(usable.values(), sides)
    ]
    regions = [entry.regions * np.tile(side, 2) for entry, side in zip(usable.values(), sides)]
    objects = _table(labels, regions, sides[:, ::-1])
    return Survey(f"{spec.yaml_file.name}, {split}", spec.names, list(usable), objects, _faults(spec, entries))


def survey_annotations(sources: Sequence[str | Path]) -> Survey:
    """Raw VisDrone annotation files from folders (the files themselves, or annotations/ up to three levels below) and
    archives. Boxes are in pixels of images whose sizes nobody knows."""
    stems, labels, regions, reports = [], [], [], []
    with tempfile.TemporaryDirectory(prefix="visdrone-") as work:
        for number, source in enumerate(map(Path, sources)):
            for folder in _annotation_folders(source, Path(work) / str(number)):
                title = folder.parent.name if folder.name == "annotations" else folder.name
                reports.append(Report(title, NAMES))
                for stem, conversion in convert_folder(folder, reports[-1]):
                    stems.append(Path(title, f"{stem}.txt"))
                    labels.append(conversion.labels)
                    regions.append(conversion.ignored)
    faults: dict[str, list[str]] = {}
    rows: dict[str, int] = {}
    for report in reports:
        for kind, places in report.notes.items():
            faults.setdefault(kind, []).extend(f"{report.title}/{place}" for place in places)
        for category, count in report.rows.items():
            rows[category] = rows.get(category, 0) + count
    title = ", ".join(dict.fromkeys(report.title for report in reports))
    return Survey(title, dict(enumerate(NAMES)), stems, _table(labels, regions, None), faults, rows)


def _table(labels: Sequence[np.ndarray], regions: list[np.ndarray], shapes: np.ndarray | None) -> Objects:
    index = np.repeat(np.arange(len(labels)), [len(rows) for rows in labels])
    rows = np.concatenate([*labels, np.zeros((0, 5))])
    return Objects(index, rows[:, 0].astype(int), rows[:, 1:], regions, shapes)


def _faults(spec: DatasetSpec, entries: dict[Path, Entry]) -> dict[str, list[str]]:
    """Everything wrong with a split's files, by kind; kinds without a case are left out."""
    found: dict[str, list[str]] = {words: [] for words in PROBLEM_WORDS.values()}
    for path, entry in entries.items():
        for line, kind, text in entry.problems:
            file = region_path(path) if kind.startswith("region") else label_path(path)
            found.setdefault(PROBLEM_WORDS.get(kind, kind), []).append(
                f"{file}, line {line}: {text}" if line else f"{path}: {text}"
            )
    found[UNNAMED] = [
        f"{label_path(path)}, line {line}: class {number}, but there are {spec.nc}"
        for path, entry in entries.items()
        for number in np.unique(entry.boxes[entry.boxes[:, 0] >= spec.nc, 0].astype(int)).tolist()
        for line in lines_of_class(label_path(path), number)
    ]
    found["images without a label file"] = [
        str(path) for path, entry in entries.items() if entry.usable and not entry.has_label_file
    ]
    found["label files without an image"] = [str(path) for path in _extra_files(entries)]
    found[ORPHANS] = [str(path) for path in find_region_files(list(entries)).orphans]
    return {kind: places for kind, places in found.items() if places}


def _extra_files(images: Iterable[Path]) -> list[Path]:
    """The files in the folders of labels that belong to no image of any split."""
    extra = []
    for folder, image in {path.parent: path for path in images}.items():
        stems = {path.stem for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
        files = sorted(label_path(image).parent.glob("*.txt"))
        extra += [path for path in files if path.stem not in stems and path.name not in NOT_LABELS]
    return extra


def _annotation_folders(source: Path, work: Path) -> list[Path]:
    if source.is_dir():
        root = source
    elif source.is_file() and is_archive(source):
        root = unpack(source, work)
    else:
        raise UserError(f"--annotations {source}: is neither a folder nor a .zip or .tar archive; give one that is")
    below = [path for depth in range(DEPTH + 1) for path in sorted(root.glob("*/" * depth + "annotations"))]
    folders = [path for path in [root, *below] if path.is_dir() and next(path.glob("*.txt"), None)]
    if not folders:
        raise UserError(
            f"--annotations {source}: holds no .txt files, neither itself nor in annotations/; give another"
        )
    return folders[1:] if folders[0] == root and len(folders) > 1 else folders
