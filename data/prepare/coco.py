"""COCO 2017, ready for training: `python -m data.prepare.coco` fetches, checks, unpacks and converts it."""

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data.images import IMAGE_SUFFIXES
from data.prepare.coco_instances import CROWD, Instances, convert_instances
from data.prepare.gather import Gatherer, place, swap_in, workspace
from data.prepare.report import Report
from utils.coco_files import read_instances
from utils.download import RemoteFile
from utils.errors import LOG, ROOT, UserError, run_command
from utils.files import atomic_path, write_text
from utils.options import option, parse_options
from utils.progress import progress

SPLITS = ("train", "val")
MIRRORS = ("http://images.cocodataset.org", "https://s3.amazonaws.com/images.cocodataset.org")
ARCHIVES = {  # path on the server: bytes
    "zips/train2017.zip": 19336861798,
    "zips/val2017.zip": 815585330,
    "annotations/annotations_trainval2017.zip": 252907541,
}


@dataclass(frozen=True)
class CocoOptions:
    """The command line."""

    source: tuple[str, ...] = option((), "local folder or archives to convert instead of fetching", flags=("--from",))
    to: Path = option(ROOT.parent / "datasets" / "coco", "folder of the data set")
    splits: tuple[str, ...] = option(SPLITS, "what to prepare", choices=SPLITS)
    force: bool = option(False, "convert again what is already converted")
    link: bool = option(False, "with --from FOLDER: hard links instead of copies of the images (no extra disk space)")
    keep_archives: bool = option(False, "keep the fetched archives in downloads/ of the data set's folder")
    base_url: str = option("", "fetch from here instead of the public servers (any file size is taken)")


def main() -> None:
    """Read the command line and prepare the data set."""
    prepare(parse_options(CocoOptions, __doc__))


def prepare(options: CocoOptions) -> list[Report]:
    """Prepare every wanted split and return what was counted.

    As in stock: images/SPLIT, labels/SPLIT, the list SPLIT.txt and annotations/instances_SPLIT.json in `options.to`;
    and ignored/SPLIT with the boxes of crowds, if there are any.
    """
    options.to.mkdir(parents=True, exist_ok=True)
    todo = [f"{split}2017" for split in options.splits if options.force or not _is_done(options.to, f"{split}2017")]
    with workspace(options.to) as work:
        gatherer = Gatherer(options.source, options.to, work)
        reports = [_prepare_split(split, gatherer, work, options) for split in todo]
        reports = [report for report in reports if report is not None]
        if todo and not reports:
            wanted = " or ".join(f"{split} with annotations/instances_{split}.json" for split in todo)
            raise UserError(f"{', '.join(options.source)}: holds no {wanted}; give the folder or the archives that do")
        if not options.keep_archives:
            gatherer.discard()
    return reports


def _prepare_split(split: str, gatherer: Gatherer, work: Path, options: CocoOptions) -> Report | None:
    remote = partial(_remote, options.base_url)
    listing = gatherer.find(f"instances_{split}.json", remote("annotations/annotations_trainval2017.zip"), Path.is_file)
    images = listing and gatherer.find(split, remote(f"zips/{split}.zip"), _has_images)
    if not images:
        LOG.warning("%s: holds no %s with its instances_%s.json", ", ".join(options.source), split, split)
        return None
    instances = convert_instances(read_instances(listing), str(listing))
    report = Report(split, instances.names)
    present = _present(images, instances, report)
    if not present:
        raise UserError(f"{images}: holds none of the images that {listing} lists; nothing was converted")
    _tally(report, present, instances, listing.name)
    staging = work / f"new-{split}"
    _write_rows(staging / "labels", {name: instances.labels[name] for name in present})
    _write_rows(staging / "ignored", {name: instances.ignored[name] for name in present if name in instances.ignored})
    _place_images(images, present, staging / "images", work, options)
    _finish(split, staging, listing, present, options.to)
    report.write(options.to / f"report_{split}.txt")
    report.show(options.to / f"report_{split}.txt")
    return report


def _tally(report: Report, present: list[str], instances: Instances, listing: str) -> None:
    report.images = len(present)
    for name in present:
        report.labels.update(row[0] for row in instances.labels[name])
        if name in instances.ignored:
            report.count(CROWD, len(instances.ignored[name]))
    for kind, detail in instances.notes:
        report.note(kind, f"{listing}, {detail}")


def _present(images: Path, instances: Instances, report: Report) -> list[str]:
    """The listed images that are there, in the order of the names; the others either way are noted."""
    with os.scandir(images) as entries:
        files = {entry.name for entry in entries if entry.name.lower().endswith(IMAGE_SUFFIXES)}
    for name in sorted(instances.labels.keys() - files):
        report.note("images that the JSON lists and the folder lacks", name)
    for name in sorted(files - instances.labels.keys()):
        report.note("images without an entry in the JSON, not listed", name)
    return sorted(files & instances.labels.keys())


def _write_rows(folder: Path, rows: dict[str, list[tuple]]) -> None:
    """One file per image, empty for one without objects; the folder is renamed into place when it is complete."""
    if rows:
        folder.mkdir(parents=True)
    for name, found in rows.items():
        lines = [" ".join(f"{v:.6f}" if isinstance(v, float) else f"{v}" for v in row) + "\n" for row in found]
        (folder / name).with_suffix(".txt").write_text("".join(lines), encoding="utf-8")


def _place_images(images: Path, present: list[str], staging: Path, work: Path, options: CocoOptions) -> None:
    target = options.to / "images" / images.name
    if images.resolve() == target.resolve():
        return
    if target.exists():
        raise UserError(f"{target}: exists already; move it away, or run without --from to convert what is there")
    staging.mkdir(parents=True)
    for name in progress(present, f"placing {images.name}"):
        place(images / name, staging / name, work, options.link)


def _finish(split: str, staging: Path, listing: Path, present: list[str], to: Path) -> None:
    """Give everything its final name; the list of images comes last and says that the split is complete."""
    annotations = to / "annotations" / f"instances_{split}.json"
    if listing.resolve() != annotations.resolve():
        with atomic_path(annotations) as temporary:
            shutil.copyfile(listing, temporary)
    for kind in ("images", "labels", "ignored"):
        if (staging / kind).is_dir():
            swap_in(staging / kind, to / kind / split)
        elif kind == "ignored":
            shutil.rmtree(to / kind / split, ignore_errors=True)  # of an earlier conversion
    write_text(to / f"{split}.txt", "".join(f"./images/{split}/{name}\n" for name in present))


def _is_done(to: Path, split: str) -> bool:
    done = (to / f"{split}.txt").is_file() and (to / "labels" / split).is_dir() and (to / "images" / split).is_dir()
    if done:
        LOG.info("%s: %s is already prepared (--force converts it again)", to, split)
    return done


def _has_images(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with os.scandir(folder) as entries:
        return any(entry.name.lower().endswith(IMAGE_SUFFIXES) for entry in entries)


def _remote(base_url: str, path: str) -> RemoteFile:
    if base_url:
        return RemoteFile((f"{base_url.rstrip('/')}/{path}",))
    return RemoteFile(tuple(f"{mirror}/{path}" for mirror in MIRRORS), ARCHIVES[path])


if __name__ == "__main__":
    run_command(main)
