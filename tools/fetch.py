"""Fetch what is not in the repository: `python -m tools.fetch yolov5s.pt` (released weights), or a data set whose YAML
gives the addresses of its archives: `python -m tools.fetch coco128.yaml`."""

import argparse
import contextlib
import difflib
import shutil
from collections.abc import Sequence
from pathlib import Path

from data.prepare import PREPARERS
from data.prepare.gather import swap_in, workspace
from data.spec import DatasetSpec, load_spec
from utils.archives import is_archive, unpack, verify_archive
from utils.download import RemoteFile, download
from utils.errors import LOG, ROOT, UserError, run_command

RELEASE = "https://github.com/ultralytics/yolov5/releases/download/v7.0"
WEIGHTS = tuple(f"yolov5{size}{wide}.pt" for wide in ("", "6") for size in "nsmlx")
LATER = {"-cls.pt": "classification", "-seg.pt": "segmentation"}


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and fetch everything that it names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help=f"data YAML, or one of {', '.join(WEIGHTS)}")
    parser.add_argument("--to", type=Path, default=ROOT / "weights", help="folder for weights (default: %(default)s)")
    parser.add_argument("--base-url", default="", help="fetch from here instead of the public server")
    options = parser.parse_args(argv)
    jobs = [_job(name) for name in options.names]  # a wrong name is said before anything is fetched
    for job in jobs:
        if isinstance(job, str):
            fetch_weights(job, options.to, options.base_url or RELEASE)
        else:
            fetch_data(job, options.base_url)


def fetch_weights(name: str, folder: Path, base_url: str = RELEASE) -> Path:
    """Fetch one released weight file into `folder` and return its path. It is a zip inside, and checked as one."""
    target = download(RemoteFile((f"{base_url.rstrip('/')}/{name}",)), folder / name, verify_archive)
    LOG.info("%s: %.1f MB", target, target.stat().st_size / 1e6)
    return target


def fetch_data(spec: DatasetSpec, base_url: str = "") -> None:
    """Fetch the archives of a data YAML and unpack them as the folder `spec.root`.

    An archive may hold the files themselves or one folder with them, whatever its name.
    """
    if not spec.download:
        LOG.info("%s: nothing to fetch, all its images are there", spec.yaml_file)
        return
    if spec.root.exists() and any(spec.root.iterdir()):
        raise UserError(f"{spec.root}: exists but lacks images that {spec.yaml_file.name} names; move it away first")
    with workspace(spec.root.parent) as work:
        parts = [_fetch_archive(url, spec.root, base_url, work) for url in spec.download]
        for part in parts[1:]:
            shutil.copytree(part, parts[0], dirs_exist_ok=True)
        swap_in(parts[0], spec.root)
    missing = [path for paths in spec.splits.values() for path in paths if not path.exists()]
    if missing:
        raise UserError(f"{missing[0]}: is named in {spec.yaml_file} but was not in the archive; correct the YAML")
    LOG.info("%s: is ready", spec.root)


def _fetch_archive(url: str, root: Path, base_url: str, work: Path) -> Path:
    """Fetch and unpack one archive; return the folder that holds what belongs into the data set's root."""
    remote = RemoteFile((url,))
    if not is_archive(remote.name):
        raise UserError(f"{url}: is not a .zip or .tar archive; fetch it yourself and correct the YAML's 'download:'")
    if base_url:
        remote = RemoteFile((f"{base_url.rstrip('/')}/{remote.name}",))
    archive = download(remote, root.parent / "downloads" / remote.name, verify_archive)
    folder = unpack(archive, work / f"{len(list(work.iterdir()))}", verified=True)
    archive.unlink()
    with contextlib.suppress(OSError):
        archive.parent.rmdir()  # if nothing else was fetched into it
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() and inside[0].name != "images" else folder


def _job(name: str) -> str | DatasetSpec:
    """What a name on the command line asks for: weights, or the data set of a YAML."""
    if name.endswith((".yaml", ".yml")):
        spec = load_spec(name)
        if spec.download and spec.download[0] in PREPARERS:
            raise UserError(f"{name}: this data set has its own command: python -m {PREPARERS[spec.download[0]]}")
        return spec
    full = name if name.endswith(".pt") else f"{name}.pt"
    if full in WEIGHTS:
        return full
    for ending, task in LATER.items():
        if full.endswith(ending):
            raise UserError(f"{name}: {task} models are not offered; choose from {', '.join(WEIGHTS)}")
    close = difflib.get_close_matches(full, WEIGHTS, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise UserError(f"{name}: is not a released weight file; {hint}there are {', '.join(WEIGHTS)}")


if __name__ == "__main__":
    run_command(main)
