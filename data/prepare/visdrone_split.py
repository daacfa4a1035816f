"""One split in VisDrone's raw layout (images/ and annotations/) -> the same with labels/ and ignored/ beside them."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from data.headers import image_shape
from data.images import IMAGE_SUFFIXES, UnreadableImage
from data.prepare.gather import place, swap_in
from data.prepare.report import Report
from data.prepare.visdrone_rows import CATEGORIES, NAMES, Conversion, convert_annotation
from utils.errors import UserError
from utils.progress import progress

REPORT = "report.txt"
EMPTY = "annotation files without a row"


def is_raw_split(folder: Path) -> bool:
    """Whether the folder holds annotations in VisDrone's layout."""
    return (folder / "annotations").is_dir()


def has_images(folder: Path) -> bool:
    """Whether there are pictures beside the annotations."""
    return bool(_by_stem(folder / "images", IMAGE_SUFFIXES, Report("", ())))


def is_prepared(folder: Path) -> bool:
    """Whether `prepare_split` finished here."""
    return all((folder / name).is_dir() for name in ("images", "labels", "ignored"))


def check_split(raw: Path) -> Report:
    """Convert every annotation with its boxes left in pixels, which needs no image, write nothing, and count."""
    report = Report(raw.name, NAMES)
    for _ in convert_folder(raw / "annotations", report):
        pass
    return report


def convert_folder(folder: Path, report: Report) -> Iterator[tuple[str, Conversion]]:
    """Yield (name, conversion) of every annotation file of a folder, boxes in pixels, and count into `report`."""
    files = _by_stem(folder, (".txt",), report)
    report.count("annotation files", len(files))
    for stem, file in progress(sorted(files.items()), f"checking {report.title}", unit="file"):
        conversion = convert_annotation(_read(file))
        _tally(report, stem, conversion)
        yield stem, conversion


def prepare_split(raw: Path, target: Path, work: Path, link: bool = False) -> Report:
    """Convert the split in `raw`; the finished folder `target` (which may be `raw` itself) appears as a whole.

    labels/NAME.txt has rows class, cx, cy, w, h as shares of the image (empty file: no objects); ignored/NAME.txt has
    rows cx, cy, w, h and exists only where there are ignored regions; annotations/ stays as it was, for the official
    score. An image without annotation and an annotation without image are left out and reported. `work` is a temporary
    folder on the same disk: what `raw` holds there is moved, all else copied or with `link` linked.
    """
    in_place = raw.resolve() == target.resolve()
    report = Report(target.name, NAMES)
    images = _by_stem(raw / "images", IMAGE_SUFFIXES, report)
    annotations = _by_stem(raw / "annotations", (".txt",), report)
    _note_unpaired(report, images, annotations, in_place)
    staging = work / f"new-{target.name}"
    shutil.rmtree(staging, ignore_errors=True)
    for name in ("labels", "ignored") if in_place else ("labels", "ignored", "images", "annotations"):
        (staging / name).mkdir(parents=True)
    for stem in progress(sorted(images.keys() & annotations.keys()), f"converting {target.name}"):
        if _convert(stem, images[stem], annotations[stem], staging, report) and not in_place:
            place(images[stem], staging / "images" / images[stem].name, work, link)
            place(annotations[stem], staging / "annotations" / annotations[stem].name, work, link)
    if not report.images:
        raise UserError(f"{raw}: no image in images/ has its annotation in annotations/; nothing was converted")
    report.write(staging / REPORT)
    if not in_place:
        swap_in(staging, target)
        return report
    for name in ("labels", "ignored"):
        swap_in(staging / name, target / name)
    (staging / REPORT).replace(target / REPORT)
    return report


def _convert(stem: str, image: Path, annotation: Path, folder: Path, report: Report) -> bool:
    """Write the label and region files of one image; False where its size cannot be read."""
    try:
        shape = image_shape(image)
    except UnreadableImage as error:
        report.note("images left out: unreadable", f"images/{image.name}: {error}")
        return False
    conversion = convert_annotation(_read(annotation), shape)
    _tally(report, stem, conversion)
    _write_rows(folder / "labels" / f"{stem}.txt", conversion.labels)
    if len(conversion.ignored):
        _write_rows(folder / "ignored" / f"{stem}.txt", conversion.ignored)
    report.images += 1
    return True


def _tally(report: Report, stem: str, conversion: Conversion) -> None:
    classes = conversion.labels[:, 0].astype(int)
    report.labels.update(classes.tolist())
    report.rows.update(dict(zip(CATEGORIES, conversion.categories)))
    report.count("ignored regions", len(conversion.ignored))
    if not conversion.notes and not any(conversion.categories):
        report.note(EMPTY, f"annotations/{stem}.txt")
    for note in conversion.notes:
        report.note(note.kind, f"annotations/{stem}.txt, line {note.line}: {note.detail}")


def _note_unpaired(report: Report, images: dict[str, Path], annotations: dict[str, Path], in_place: bool) -> None:
    kind = "images without annotation" + (" (stay and train as empty pictures)" if in_place else " left out")
    for stem in sorted(images.keys() - annotations.keys()):
        report.note(kind, f"images/{images[stem].name}")
    for stem in sorted(annotations.keys() - images.keys()):
        report.note("annotations without image", f"annotations/{stem}.txt")


def _by_stem(folder: Path, suffixes: Iterable[str], report: Report) -> dict[str, Path]:
    """The folder's files with one of these suffixes, by name without suffix."""
    files = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in files:
            report.note("files left out: two of one name", f"{folder.name}/{path.name}")
        files.setdefault(path.stem, path)
    return files


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _write_rows(file: Path, rows: np.ndarray) -> None:
    """Label or region rows; a whole folder of them is renamed into place, so the single file needs no such care."""
    leading = rows.shape[1] - 4
    lines = [
        " ".join([*(f"{int(v)}" for v in row[:leading]), *(f"{v:.6f}" for v in row[leading:])]) for row in rows.tolist()
    ]
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
