"""Data sets onto the disk: one module per data set, and the one question that train and val ask before they start."""

from collections.abc import Iterable
from pathlib import Path

from data.prepare.demo_data import prepare as prepare_demo
from data.spec import DatasetSpec
from utils.errors import LOG, ROOT, UserError

PREPARERS = {"demo": "data.prepare.demo", "coco": "data.prepare.coco", "visdrone": "data.prepare.visdrone"}
AUTOMATIC = {"demo": prepare_demo}  # these need no network


def ensure_data(spec: DatasetSpec, splits: Iterable[str]) -> None:
    """Return when the images of these splits are there; draw them where the data set is one that draws itself.

    Nothing is fetched: a `UserError` names the folder or list that was looked for and the one command that fetches it.
    """
    splits = tuple(splits)
    missing = _missing(spec, splits)
    if not missing:
        return
    name = spec.download[0] if spec.download else ""
    if name in AUTOMATIC:
        LOG.info("%s: is not there yet and is drawn now", spec.root)
        AUTOMATIC[name](spec.root)
        missing = _missing(spec, splits)
    if missing:
        raise UserError(f"{spec.yaml_file}: no images at {missing[0]}; {_remedy(spec)}")


def _missing(spec: DatasetSpec, splits: Iterable[str]) -> list[Path]:
    return [path for split in splits for path in spec.split(split) if not _is_there(path)]


def _is_there(path: Path) -> bool:
    """Whether it is a list, or a folder that holds anything."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _remedy(spec: DatasetSpec) -> str:
    name = spec.download[0] if spec.download else ""
    if name in AUTOMATIC:
        return f"'python -m {PREPARERS[name]}' draws train/images and val/images only: correct the YAML's paths"
    if name in PREPARERS:
        return f"fetch them with: python -m {PREPARERS[name]}"
    if name:
        shipped = spec.yaml_file.parent == ROOT / "data"
        return f"fetch them with: python -m tools.fetch {spec.yaml_file.name if shipped else spec.yaml_file}"
    return "put them there or correct the paths in the YAML"
