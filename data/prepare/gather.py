"""Bringing the raw files of a data set together: found in folders, unpacked, or fetched."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from utils.archives import is_archive, unpack, verify_archive
from utils.download import RemoteFile, download
from utils.errors import UserError

DEPTH = 3  # folders below a source that are searched


@contextlib.contextmanager
def workspace(root: Path) -> Iterator[Path]:
    """A temporary folder inside `root` (so that files move out of it by a rename), removed at the end.

    It always has the same name: what a killed run left in it goes when the next one begins.
    """
    work = root / ".preparing"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):
            root.rmdir()  # if nothing came into it


class Gatherer:
    """Finds folders and files by name in `sources` (folders and archives; archives are unpacked into `work`).

    Without sources it looks in `root` and, for what is not there, fetches the archive into root/downloads.
    """

    def __init__(self, sources: Sequence[str | Path], root: Path, work: Path):
        self.fetches = not sources
        self._root, self._work = root, work
        self._fetched: list[Path] = []
        self._roots = [self._open(Path(source)) for source in sources] or [root]

    def find(self, name: str, remote: RemoteFile, suits: Callable[[Path], bool] = Path.exists) -> Path | None:
        """The folder or file of that name that `suits`; `remote` is the archive that holds it, if nothing else does.

        None when it is not in the sources.
        """
        found = self._search(name, suits)
        if found is None and (archive := self._archive(remote)) is not None:
            self._roots.append(self._open(archive))
            found = self._search(name, suits)
            if found is None:
                raise UserError(f"{archive}: holds no {name}; it is another archive than its name says")
        return found

    def discard(self) -> None:
        """Remove the archives that were fetched; what came out of them is in place."""
        for archive in self._fetched:
            archive.unlink(missing_ok=True)
        if self._fetched and not any(self._fetched[0].parent.iterdir()):
            self._fetched[0].parent.rmdir()

    def _open(self, source: Path) -> Path:
        if source.is_dir():
            return source
        if not source.exists():
            raise UserError(f"--from {source}: no such folder or archive")
        if not is_archive(source):
            raise UserError(f"--from {source}: is neither a folder nor a .zip or .tar archive")
        folder = self._work / f"unpacked{len(list(self._work.iterdir()))}"
        return unpack(source, folder, verified=source in self._fetched)

    def _archive(self, remote: RemoteFile) -> Path | None:
        for root in self._roots:
            if (root / remote.name).is_file():
                return root / remote.name
        if not self.fetches:
            return None
        archive = download(remote, self._root / "downloads" / remote.name, verify_archive)
        self._fetched.append(archive)
        return archive

    def _search(self, name: str, suits: Callable[[Path], bool]) -> Path | None:
        level = list(self._roots)
        for _ in range(DEPTH + 1):
            for path in level:
                for candidate in (path, path / name):
                    if candidate.name == name and suits(candidate):
                        return candidate
            level = [folder for path in level for folder in _subfolders(path)]
        return None


def _subfolders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(path / entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")


def place(source: Path, target: Path, work: Path, link: bool = False) -> None:
    """Give a file its place in the data set: moved when it lies in `work`, else copied, or with `link` a hard link.

    A hard link costs no room, but a file changed in one place is changed in both. On another disk it is a copy.
    """
    if work in source.parents:
        source.rename(target)
        return
    if link:
        with contextlib.suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def swap_in(new: Path, target: Path) -> None:
    """Rename the folder `new` to `target`; what was there before goes."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(old)
    new.rename(target)
    shutil.rmtree(old, ignore_errors=True)
