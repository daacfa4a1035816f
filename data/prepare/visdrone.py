"""VisDrone2019-DET, ready for training: `python -m data.prepare.visdrone` fetches, checks, unpacks and converts it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from data.prepare.gather import Gatherer, workspace
from data.prepare.report import Report
from data.prepare.visdrone_rows import NAMES, Conversion, convert_annotation
from data.prepare.visdrone_split import REPORT, check_split, has_images, is_prepared, is_raw_split, prepare_split
from utils.download import RemoteFile
from utils.errors import LOG, ROOT, UserError, run_command
from utils.options import option, parse_options

__all__ = ["NAMES", "Conversion", "convert_annotation"]

SPLITS = ("train", "val", "test-dev")
MIRRORS = (
    "https://github.com/ultralytics/assets/releases/download/v0.0.0",
    "https://github.com/ultralytics/yolov5/releases/download/v1.0",
)
CHECK_REPORT = "check-report.txt"


@dataclass(frozen=True)
class VisDroneOptions:
    """The command line."""

    source: tuple[str, ...] = option((), "local folder or archives to convert instead of fetching", flags=("--from",))
    to: Path = option(ROOT.parent / "datasets" / "VisDrone", "folder of the data set")
    splits: tuple[str, ...] = option(SPLITS, "what to prepare", choices=SPLITS)
    check: bool = option(False, "only read and count the annotations; needs no images and writes no labels")
    force: bool = option(False, "convert again what is already converted")
    link: bool = option(False, "with --from FOLDER: hard links instead of copies of the images (no extra disk space)")
    keep_archives: bool = option(False, "keep the fetched archives in downloads/ of the data set's folder")
    base_url: str = option("", "fetch from here instead of the public mirrors")


def main() -> None:
    """Read the command line and prepare the data set."""
    prepare(parse_options(VisDroneOptions, __doc__))


def prepare(options: VisDroneOptions) -> list[Report]:
    """Prepare every wanted split, or only count it, and return what was counted."""
    if options.check:
        return check(options)
    options.to.mkdir(parents=True, exist_ok=True)
    with workspace(options.to) as work:
        gatherer = Gatherer(options.source, options.to, work)
        todo = [split for split in options.splits if options.force or not _is_done(options.to, split)]
        found = {split: _find(gatherer, split, options.base_url) for split in todo}
        raw = {split: folder for split, folder in found.items() if folder is not None}
        _say_missing(options, todo, raw)
        if raw and not any(map(has_images, raw.values())):
            LOG.warning(
                "there are no images, whose sizes the labels need: the annotations are only checked and counted"
            )
            return _report_check(raw, options.to)
        reports = []
        for folder in raw.values():
            target = options.to / folder.name
            reports.append(prepare_split(folder, target, work, options.link))
            reports[-1].show(target / REPORT)
        if not options.keep_archives:
            gatherer.discard()
    return reports


def check(options: VisDroneOptions) -> list[Report]:
    """Convert all annotations with the boxes in pixels and count; the report goes to `options.to`."""
    with tempfile.TemporaryDirectory(prefix="visdrone-") as work:
        gatherer = Gatherer(options.source or (options.to,), options.to, Path(work))
        found = {split: _find(gatherer, split, "") for split in options.splits}
        raw = {split: folder for split, folder in found.items() if folder is not None}
        _say_missing(options, options.splits, raw)
        return _report_check(raw, options.to)


def _report_check(raw: dict[str, Path], to: Path) -> list[Report]:
    reports = [check_split(folder) for folder in raw.values()]
    total = Report("all together", NAMES)
    for report in reports:
        LOG.info("%s", report.summary())
        total.labels.update(report.labels)
        total.rows.update(report.rows)
        for fact, number in report.facts.items():
            total.count(fact, number)
        for kind, places in report.notes.items():
            for place in places:
                total.note(kind, f"{report.title}/{place}")
    total.write(to / CHECK_REPORT)
    total.show(to / CHECK_REPORT)
    return [*reports, total]


def _is_done(to: Path, split: str) -> bool:
    folder = to / _folder(split)
    if done := is_prepared(folder):
        LOG.info("%s: is already prepared (--force converts it again)", folder)
    return done


def _find(gatherer: Gatherer, split: str, base_url: str) -> Path | None:
    mirrors = (base_url.rstrip("/"),) if base_url else MIRRORS
    remote = RemoteFile(tuple(f"{mirror}/{_folder(split)}.zip" for mirror in mirrors))
    return gatherer.find(_folder(split), remote, is_raw_split)


def _say_missing(options: VisDroneOptions, wanted: list[str] | tuple[str, ...], found: dict[str, Path]) -> None:
    where = ", ".join(options.source) or str(options.to)
    missing = [f"{_folder(split)}/annotations" for split in wanted if split not in found]
    if wanted and not found:
        raise UserError(
            f"{where}: holds none of {', '.join(missing)}; give the folder or the archives that do (--from)"
        )
    for name in missing:
        LOG.warning("%s: holds no %s", where, name)


def _folder(split: str) -> str:
    return f"VisDrone2019-DET-{split}"


if __name__ == "__main__":
    run_command(main)
