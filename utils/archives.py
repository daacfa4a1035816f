"""Zip and tar archives from elsewhere: checked to the last byte before unpacking, and unpacked whole or not at all."""

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from utils.errors import UserError, describe_os_error
from utils.progress import byte_progress

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
CHUNK = 1 << 20
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)
REMEDY = "remove it and fetch it again"


@dataclass(frozen=True)
class _Entry:
    """A folder or plain file in an archive; `open` gives its bytes."""

    name: str
    size: int
    is_folder: bool
    open: partial


def is_archive(path: str | Path) -> bool:
    """Whether the name is one of an archive that can be unpacked here."""
    return Path(path).name.lower().endswith(SUFFIXES)


def verify_archive(path: str | Path) -> int:
    """Read a zip or tar to its end and return the number of bytes that it holds unpacked.

    Raises `UserError` where a checksum is wrong or bytes are missing, where it is no archive, and where an entry
    would land outside the folder, is a link or a device, or is encrypted.
    """
    path = Path(path)
    with _entries(path) as entries:
        total = sum(entry.size for entry in entries)
        with byte_progress(f"checking {path.name}", total) as bar:
            for entry in entries:
                for chunk in _chunks(path, entry):
                    bar.update(len(chunk))
    return total


def unpack(path: str | Path, folder: str | Path, verified: bool = False) -> Path:
    """Verify an archive (unless `verified` says that it just was), unpack it into the new folder `folder`, return that.

    It is unpacked under a temporary name beside `folder`, which gets its name only when every file is there.
    """
    path, folder = Path(path), Path(folder)
    if folder.exists():
        raise UserError(f"{folder}: exists already; move it away before {path.name} is unpacked there")
    needed = _unpacked_size(path) if verified else verify_archive(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if needed > free:
        raise UserError(f"{folder}: {needed / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free; free some room")
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with _entries(path) as entries, byte_progress(f"unpacking {path.name}", needed) as bar:
            for entry in entries:
                _write(path, entry, temporary, bar)
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _unpacked_size(path: Path) -> int:
    with _entries(path) as entries:
        return sum(entry.size for entry in entries)


def _write(path: Path, entry: _Entry, folder: Path, bar: object) -> None:
    target = folder / entry.name
    if entry.is_folder:
        return target.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("wb") as file:
            for chunk in _chunks(path, entry):
                file.write(chunk)
                bar.update(len(chunk))
    except OSError as error:
        raise UserError(
            f"{target}: {describe_os_error(error)}; nothing was unpacked, mend that and try again"
        ) from None


def _chunks(path: Path, entry: _Entry) -> Iterator[bytes]:
    """An entry's bytes; damage is a `UserError` that names it. The zip reader compares the checksum at the end."""
    if entry.is_folder:
        return
    seen = 0
    try:
        with entry.open() as stream:
            while chunk := stream.read(CHUNK):
                seen += len(chunk)
                yield chunk
    except DAMAGE as error:
        raise UserError(f"{path}, {entry.name}: is damaged ({error}); {REMEDY}") from None
    if seen != entry.size:
        raise UserError(f"{path}, {entry.name}: has {seen} of its {entry.size} bytes; {REMEDY}")


@contextmanager
def _entries(path: Path) -> Iterator[list[_Entry]]:
    """Open an archive and yield its entries, each one's name and kind checked."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        archive = _open(path)
    except DAMAGE:
        raise UserError(f"{path}: {_what_it_is(path)}; {REMEDY}") from None
    with archive:
        try:
            entries = _zip_entries(archive) if isinstance(archive, zipfile.ZipFile) else _tar_entries(archive)
        except DAMAGE as error:
            raise UserError(f"{path}: is damaged ({error}); {REMEDY}") from None
        except _Unsafe as error:
            raise UserError(f"{path}, {error}; it is not unpacked") from None
        yield entries


def _open(path: Path) -> zipfile.ZipFile | tarfile.TarFile:
    if zipfile.is_zipfile(path):
        return zipfile.ZipFile(path)
    return tarfile.open(path)


class _Unsafe(Exception):
    """An entry that must not be unpacked; the message is 'NAME: why'."""


def _zip_entries(archive: zipfile.ZipFile) -> list[_Entry]:
    entries = []
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _Unsafe(f"{info.filename}: is a link or a device")
        if info.flag_bits & 1:
            raise _Unsafe(f"{info.filename}: is encrypted")
        entries.append(_Entry(_safe(info.filename), info.file_size, info.is_dir(), partial(archive.open, info)))
    return entries


def _tar_entries(archive: tarfile.TarFile) -> list[_Entry]:
    entries = []
    for info in archive.getmembers():
        if not (info.isreg() or info.isdir()):
            raise _Unsafe(f"{info.name}: is a link or a device")
        entries.append(_Entry(_safe(info.name), info.size, info.isdir(), partial(archive.extractfile, info)))
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise EOFError("its end is missing")  # the reader itself takes a cut between two files for the end
    while archive.fileobj.read(CHUNK):
        pass  # the compressed stream's own checksum stands behind the last block
    return entries


def _safe(name: str) -> str:
    """The entry's name, if it stays inside the folder on every operating system."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not name or parts[:1] == ("/",) or ".." in parts or any(":" in part or "\0" in part for part in parts):
        raise _Unsafe(f"{name or '(no name)'}: would be written outside the folder")
    return "/".join(parts) or "."  # many tars begin with the folder itself


def _what_it_is(path: Path) -> str:
    """Why a file is not an archive, in words."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return "is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "is a web page, not an archive (the server answered with an error page)"
    if start.startswith(b"pk\x03\x04"):
        return "is only the beginning of a zip archive"
    return "is not a zip or tar archive, or only part of one"
