"""From a data-set YAML to a checked, frozen description. Nothing here opens an image."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from utils.errors import ROOT, UserError
from utils.files import read_yaml

SPLITS = ("train", "val", "test")
PREPARERS = ("demo", "visdrone", "coco")


@dataclass(frozen=True)
class DatasetSpec:
    """What a data-set YAML says.

    splits maps train / val / test (those that the YAML has) to absolute paths of image folders or .txt lists; names
    maps 0..nc-1 to class names; download is URLs or the name of one preparer, empty when there is none; annotations
    maps splits to COCO JSON files; max_det is the most detections per image that the data set's own score looks at;
    ignore says whether ignored regions count, which lie in side files beside the labels (`data.region_files`); visdrone
    maps splits to folders of VisDrone's original annotation files, which its official score needs.
    """

    yaml_file: Path
    root: Path
    names: dict[int, str]
    splits: dict[str, tuple[Path, ...]]
    download: tuple[str, ...] = ()
    annotations: dict[str, Path] | None = None
    max_det: int | None = None
    ignore: bool = True
    visdrone: dict[str, Path] | None = None

    def __post_init__(self) -> None:
        for name in ("annotations", "visdrone"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, {})

    @property
    def nc(self) -> int:
        """Number of classes."""
        return len(self.names)

    def split(self, name: str) -> tuple[Path, ...]:
        """The paths of one split, or an error that says which splits there are."""
        if name not in self.splits:
            raise UserError(f"{self.yaml_file}: has no '{name}:' (it has {', '.join(self.splits)}); add the path")
        return self.splits[name]


def load_spec(yaml_file: str | Path) -> DatasetSpec:
    """Read and check a data-set YAML.

    A bare name is looked for in the working folder, then in data/. A relative `path:` starts at the repository's root,
    as in stock YOLOv5. Whether the data is there is not asked here (`data.prepare.ensure_data` does), except that code
    in `download:` is let pass, unread, when all splits are in place.
    """
    file = _find(Path(yaml_file))
    content = read_yaml(file)
    root = (ROOT / Path(_text(file, content, "path") or "")).resolve()
    splits = {name: _paths(file, root, name, content[name]) for name in SPLITS if content.get(name) is not None}
    if not splits:
        raise UserError(f"{file}: has none of 'train:', 'val:' and 'test:'; give at least one folder of images")
    in_place = all(path.exists() for paths in splits.values() for path in paths)
    return DatasetSpec(
        yaml_file=file,
        root=root,
        names=_names(file, content),
        splits=splits,
        download=() if in_place else _download(file, content.get("download")),
        annotations=_by_split(file, root, content, "annotations", "a COCO JSON file"),
        max_det=_max_det(file, content.get("max_det")),
        ignore=_ignore(file, content.get("ignore")),
        visdrone=_by_split(file, root, content, "visdrone", "a folder of VisDrone's annotation files"),
    )


def _find(path: Path) -> Path:
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise UserError(f"{path}: is not a data-set YAML; give a file that ends in .yaml")
    for candidate in (path, ROOT / "data" / path, ROOT / path):
        if candidate.is_file():
            return candidate.absolute()
    raise UserError(f"{path}: no such file; looked in {Path.cwd()} and {ROOT / 'data'}")


def _text(file: Path, content: dict, key: str) -> str | None:
    value = content.get(key)
    if value is not None and (not isinstance(value, str) or "\0" in value):
        raise UserError(f"{file}: '{key}:' is {value!r}; give one path")
    return value


def _paths(file: Path, root: Path, key: str, value: object) -> tuple[Path, ...]:
    entries = value if isinstance(value, list) else [value]
    if not entries or not all(isinstance(entry, str) and entry and "\0" not in entry for entry in entries):
        raise UserError(f"{file}: '{key}:' is {value!r}; give a folder, a .txt list, or a list of those")
    return tuple(_resolve(root, entry) for entry in entries)


def _resolve(root: Path, entry: str) -> Path:
    path = (root / entry).resolve()
    if not path.exists() and entry.startswith("../"):  # some tools write paths as seen from a folder deeper
        inside = (root / entry[3:]).resolve()
        return inside if inside.exists() else path
    return path


def _names(file: Path, content: dict) -> dict[int, str]:
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise UserError(f"{file}: 'names:' is missing, empty or no list; list the classes, e.g. names: [cat, dog]")
    wrong = [key for key in names if type(key) is not int]
    if wrong:
        raise UserError(f"{file}: class number {wrong[0]!r} in 'names:' is not an integer; number them 0, 1, 2, ...")
    if sorted(names) != list(range(len(names))):
        missing = next(number for number in range(len(names)) if number not in names)
        raise UserError(f"{file}: class number {missing} is missing in 'names:'; number them 0 to {len(names) - 1}")
    for number, name in names.items():
        if type(name) not in (str, int, float, bool) or not str(name).strip():
            raise UserError(f"{file}: class {number} in 'names:' is {name!r}; give a text")
    nc = content.get("nc", len(names))
    if nc != len(names):
        raise UserError(f"{file}: 'nc: {nc}' but 'names:' lists {len(names)} classes; correct or remove 'nc:'")
    return {number: str(names[number]) for number in sorted(names)}


def _download(file: Path, value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    entries = value if isinstance(value, list) else [value]
    entries = [entry.strip() if isinstance(entry, str) else "" for entry in entries]
    if len(entries) == 1 and entries[0] in PREPARERS:
        return (entries[0],)
    if entries and all(_is_url(entry) for entry in entries):
        return tuple(entries)
    raise UserError(
        f"{file}: 'download:' holds text that is neither a URL nor one of {', '.join(PREPARERS)}, and code in a data "
        "file is never run; fetch the data yourself or give the http(s) addresses of its archives"
    )


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://")) and len(text.split()) == 1


def _by_split(file: Path, root: Path, content: dict, key: str, what: str) -> dict[str, Path]:
    value = content.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not _all_text(value.values()) or not set(value) <= set(SPLITS):
        raise UserError(f"{file}: '{key}:' is {value!r}; map train, val or test to {what}")
    return {split: (root / path).resolve() for split, path in value.items()}


def _all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _max_det(file: Path, value: object) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise UserError(f"{file}: 'max_det: {value}' is not a positive whole number")
    return value


def _ignore(file: Path, value: object) -> bool:
    if value is not None and type(value) is not bool:
        raise UserError(f"{file}: 'ignore: {value}' is neither true nor false")
    return value is not False
