"""Find the images of a split, read and verify their labels, and say in one line what was wrong with them."""

import os
import zlib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import IMAGE_SUFFIXES
from data.label_cache import Entry, examine, load_cache, save_cache, signature_of
from data.region_files import RegionFiles, find_region_files, region_path
from data.spec import DatasetSpec
from utils.errors import LOG, UserError
from utils.files import write_text
from utils.progress import progress

THREADS = 8
PROBLEM_WORDS = {
    "skipped": "images skipped",
    "dropped": "bad rows dropped",
    "duplicate": "repeated rows dropped",
    "clipped": "rows clipped",
    "region dropped": "bad regions dropped",
    "region clipped": "regions clipped",
}
ORPHANS = "files of regions without an image"


@dataclass(frozen=True)
class LabelledImages:
    """The usable images of a split: labels[i] (n, 5) float32 class, cx, cy, w, h in 0..1; shapes (N, 2) height, width
    in original pixels; regions[i] (m, 4) float64 cx, cy, w, h in 0..1 of the ignored regions, None where no image has
    any or the data set does not use them."""

    images: list[Path]
    labels: list[np.ndarray]
    shapes: np.ndarray
    regions: list[np.ndarray] | None = None


def label_path(image: Path) -> Path:
    """The label file of an image: the last folder named images becomes labels, the suffix .txt."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def list_images(spec: DatasetSpec, split: str) -> list[Path]:
    """All image files that a split names, in a fixed order, each once; raises `UserError` where a path is missing."""
    found: dict[Path, None] = {}
    for entry in spec.split(split):
        if entry.is_dir():
            images: Iterable[Path] = _images_in(entry)
        elif entry.is_file() and entry.suffix == ".txt":
            images = _images_listed(entry, spec.root)
        else:
            raise UserError(f"{spec.yaml_file}: '{split}:' names {entry}, not a folder nor a .txt list; correct it")
        found.update(dict.fromkeys(images))
    return list(found)


def read_labels(spec: DatasetSpec, split: str, single_cls: bool = False) -> LabelledImages:
    """Read a split's labels, through the cache beside them. Bad rows and images are left out, counted and listed;
    no usable image at all, or a class that the data set does not have, is a `UserError`.

    single_cls: every class becomes 0 (and none is too high).
    """
    entries = examine_split(spec, split)
    usable = {path: entry for path, entry in entries.items() if entry.usable}
    if not usable:
        first, entry = next(iter(entries.items()))
        reason = f"{first}: {entry.problems[0][2]}"
        places = ", ".join(map(str, spec.split(split)))
        raise UserError(f"{spec.yaml_file}: none of the {len(entries)} images in {places} can be used ({reason})")
    if not single_cls:
        _check_classes(spec, usable)
    labels = [_one_class(entry.boxes) if single_cls else entry.boxes for entry in usable.values()]
    regions = [entry.regions for entry in usable.values()] if spec.ignore else []
    shapes = np.array([entry.shape for entry in usable.values()], np.int64)
    return LabelledImages(list(usable), labels, shapes, regions if any(map(len, regions)) else None)


def examine_split(spec: DatasetSpec, split: str) -> dict[Path, Entry]:
    """What is known of every image of a split, the unusable ones too, through the cache. Says in one line what was
    wrong; classes are not judged. No image at all is a `UserError`."""
    images = list_images(spec, split)
    if not images:
        places = ", ".join(map(str, spec.split(split)))
        raise UserError(f"{spec.yaml_file}: '{split}:' holds no image; looked for {_suffixes()} in {places}")
    cache = _cache_file(images, spec.split(split))
    side_files = find_region_files(images)
    entries, changed = _scan(images, side_files, cache, split)
    report = _save(cache, _problem_lines(entries, side_files), entries, changed)
    _summarise(split, entries, report, _region_words(entries, side_files, spec.ignore))
    return entries


def _suffixes() -> str:
    return " ".join("*" + suffix for suffix in IMAGE_SUFFIXES)


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _images_in(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        found += [Path(place, name) for name in names if _is_image(name)]
        folders[:] = [name for name in folders if not _leads_back(Path(place, name))]
    return sorted(found)


def _leads_back(folder: Path) -> bool:
    """Whether it is a link to a folder that it lies in."""
    return folder.is_symlink() and folder.resolve() in folder.parent.resolve().joinpath("x").parents


def _images_listed(file: Path, root: Path) -> list[Path]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{file}: is not a UTF-8 text file; write one image path per line") from None
    return [_listed(file, root, line.strip()) for line in lines if line.strip()]


def _listed(file: Path, root: Path, entry: str) -> Path:
    """./NAME lies beside the list; other relative names at the data set's root or else where the program runs."""
    if entry.startswith("./"):
        return file.parent / entry[2:]
    return next((path for path in (root / entry, Path(entry).absolute()) if path.exists()), root / entry)


def _cache_file(images: list[Path], entries: tuple[Path, ...]) -> Path:
    base = entries[0] if entries[0].is_file() else label_path(images[0]).parent
    if len(entries) == 1:
        return base.with_suffix(".cache")
    key = zlib.crc32("\n".join(map(str, entries)).encode())
    return base.with_name(f"{base.stem}-{key:08x}.cache")


def _scan(images: list[Path], side_files: RegionFiles, cache: Path, split: str) -> tuple[dict[Path, Entry], bool]:
    """Entries of all images, only the changed ones read anew, and whether there were any."""
    known = load_cache(cache)
    labels = [label_path(image) for image in images]
    with ThreadPoolExecutor(THREADS) as pool:
        signatures = pool.map(signature_of, images, labels, side_files.paths)
        old = [known.get(path) for path in images]
        fresh = [entry is not None and entry.signature == sign for entry, sign in zip(old, signatures)]
        todo = [i for i, keep in enumerate(fresh) if not keep]
        found = pool.map(examine, *([files[i] for i in todo] for files in (images, labels, side_files.paths)))
        if todo:
            found = progress(found, f"{split}: reading labels", total=len(todo), unit="image")
        for i, entry in zip(todo, found):
            old[i] = entry
    entries = dict(zip(images, old))
    return entries, bool(todo) or len(known) != len(entries)


def _problem_lines(entries: dict[Path, Entry], side_files: RegionFiles) -> list[str]:
    lines = []
    for path, entry in entries.items():
        for line, kind, text in entry.problems:
            file = path
            if line:
                file = region_path(path) if kind.startswith("region") else label_path(path)
            lines.append(f"{file}, line {line}: {kind}: {text}\n" if line else f"{file}: {kind}: {text}\n")
    return lines + [f"{path}: region file: has no image\n" for path in side_files.orphans]


def _save(cache: Path, lines: list[str], entries: dict[Path, Entry], changed: bool) -> Path | None:
    """Write cache and problem list where they are not up to date; the list's path, None where there is none."""
    report, text = cache.with_suffix(".problems.txt"), "".join(lines)
    try:
        if lines and (changed or not report.exists() or report.stat().st_size != len(text.encode())):
            write_text(report, text)
        elif not lines:
            report.unlink(missing_ok=True)
        if changed:
            save_cache(cache, entries)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        LOG.warning("%s: cannot be written (%s): labels are read anew in every run", cache.parent, reason)
    return report if report.exists() and lines else None


def _region_words(entries: dict[Path, Entry], side_files: RegionFiles, used: bool) -> list[str]:
    """What is to be said of ignored regions: nothing where there are none."""
    counts = [len(entry.regions) for entry in entries.values() if entry.usable and len(entry.regions)]
    words = [f"{sum(counts)} ignored regions in {len(counts)} images"] if counts else []
    if words and not used:
        words = [f"{words[0]} that 'ignore: false' leaves unused"]
    return words + ([f"{len(side_files.orphans)} {ORPHANS}"] if side_files.orphans else [])


def _summarise(split: str, entries: dict[Path, Entry], report: Path | None, regions: list[str]) -> None:
    usable = [entry for entry in entries.values() if entry.usable]
    kinds = Counter(kind for entry in entries.values() for _, kind, _ in entry.problems)
    parts = [f"{len(usable)} images", f"{sum(len(entry.boxes) for entry in usable)} boxes"]
    parts += [f"{sum(entry.has_label_file and not len(entry.boxes) for entry in usable)} empty"]
    parts += [f"{sum(not entry.has_label_file for entry in usable)} without a label file"]
    parts += regions
    parts += [f"{kinds[kind]} {text}" for kind, text in PROBLEM_WORDS.items() if kinds[kind]]
    LOG.info("%s: %s%s", split, ", ".join(parts), f" (listed in {report})" if report else "")


def _check_classes(spec: DatasetSpec, entries: dict[Path, Entry]) -> None:
    for path, entry in entries.items():
        if len(entry.boxes) and entry.boxes[:, 0].max() >= spec.nc:
            file, worst = label_path(path), int(entry.boxes[:, 0].max())
            line = next(iter(lines_of_class(file, worst)), 1)
            raise UserError(
                f"{file}, line {line}: class {worst} but {spec.yaml_file} names only {spec.nc} "
                f"classes (0 to {spec.nc - 1}); correct the label or add the class to 'names:'"
            )


def lines_of_class(file: Path, number: int) -> list[int]:
    """The lines, from 1, of a label file whose class is `number`; none where the file went since it was read."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError:
        return []
    words = [line.split()[:1] for line in lines]
    return [i for i, word in enumerate(words, 1) if word and _is_number(word[0], number)]


def _is_number(word: str, number: int) -> bool:
    try:
        return float(word) == number
    except ValueError:
        return False


def _one_class(boxes: np.ndarray) -> np.ndarray:
    boxes = boxes.copy()
    boxes[:, 0] = 0
    return boxes
