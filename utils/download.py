"""Fetching large files over an unreliable network: several mirrors, resumed where it stopped, whole or not at all."""

import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from utils.errors import LOG, UserError, describe_os_error
from utils.progress import byte_progress

CHUNK = 1 << 18
ATTEMPTS = 5  # in a row that bring nothing new, before a mirror is given up


@dataclass(frozen=True)
class RemoteFile:
    """One file and the addresses (http or https) that offer it, best first; size in bytes and sha256 where known."""

    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's name in the first address."""
        return self.urls[0].partition("?")[0].rstrip("/").rpartition("/")[2]


class _Refused(Exception):
    """This mirror will not do; the next one is tried."""


class _Dropped(Exception):
    """The connection was lost; it is worth going on."""


def download(
    remote: RemoteFile,
    target: str | Path,
    check: Callable[[Path], object] | None = None,
    *,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Bring `remote` to the path `target` and return it.

    Bytes gather in `target.part`, which a later call goes on with; the name `target` appears only when size and
    checksum are right and `check`, called with the complete part, raised no `UserError`. A file of that name and the
    right size is taken as it is. After a dropped connection the transfer goes on where it stopped (`pause` seconds,
    doubled each time); when a mirror refuses, the next takes over. Raises `UserError` when no mirror is left or the
    disk is full.
    """
    target = Path(target)
    part = target.with_name(target.name + ".part")
    if target.is_file() and remote.size in (None, target.stat().st_size):
        LOG.info("%s: is already there", target)
        return target
    failures = []
    for url in remote.urls:
        try:
            _fetch_from(url, part, remote, timeout, pause)
            _check(part, remote.sha256, check)
        except _Refused as reason:
            failures.append(f"{url}: {reason}")
            if url != remote.urls[-1]:
                LOG.warning("%s; trying the next address", failures[-1])
            continue
        part.replace(target)
        return target
    tried = "; ".join(failures)
    raise UserError(
        f"{target.name}: could not be downloaded ({tried}); check the network and run the same command again, "
        "it goes on where it stopped"
    )


def _fetch_from(url: str, part: Path, remote: RemoteFile, timeout: float, pause: float) -> None:
    """Bring the part file to its full length from one mirror, reconnecting as long as that brings it forward."""
    if not url.lower().startswith(("http://", "https://")):
        raise _Refused("only http and https addresses are fetched")
    best, stalled, started = _length(part), 0, False
    while True:
        try:
            return _transfer(url, part, remote, timeout)
        except urllib.error.URLError as error:  # no connection at all: only worth waiting for if there was one before
            reason = describe_os_error(error.reason) if isinstance(error.reason, OSError) else str(error.reason)
            if not started:
                raise _Refused(reason) from None
        except _Dropped as error:
            reason, started = str(error), True
        have = _length(part)
        best, stalled = max(best, have), (0 if have > best else stalled + 1)
        if stalled >= ATTEMPTS:
            raise _Refused(f"{reason}, {ATTEMPTS} times in a row")
        LOG.warning("%s: %s after %.1f MB; connecting again", part.name, reason, have / 1e6)
        time.sleep(pause * 2**stalled)


def _transfer(url: str, part: Path, remote: RemoteFile, timeout: float) -> None:
    """One connection: append to the part file (or begin it anew where the server cannot resume) until the end."""
    have = _length(part)
    if remote.size is not None and have >= remote.size:
        if have == remote.size:
            return
        part.unlink()
        have = 0
    response = _open(url, part, have, timeout)
    if response is None:
        if remote.size is not None:
            raise _Refused(f"the file there has {have} bytes, not {remote.size}")
        return
    with response:
        start, total = _position(response, have)
        if remote.size is not None and total not in (None, remote.size):
            raise _Refused(f"the file there has {total} bytes, not {remote.size}")
        total = remote.size if total is None else total
        _check_room(part, 0 if total is None else total - have)
        label = part.name.removesuffix(".part")
        with part.open("ab" if start else "wb") as file, byte_progress(label, total, start) as bar:
            while chunk := _read(response):
                _write(file, chunk, part)
                bar.update(len(chunk))
            os.fsync(file.fileno())
    if total is not None and _length(part) != total:
        raise _Dropped("the connection was dropped")


def _open(url: str, part: Path, have: int, timeout: float) -> http.client.HTTPResponse | None:
    """The server's answer from byte `have` on; None when it says that the part is the whole file."""
    headers = {"User-Agent": "yolov5-ema", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            if (error.headers.get("Content-Range") or "").strip() == f"bytes */{have}":
                return None
            part.unlink()
            raise _Dropped("the part on disk does not belong to the file there") from None
        if error.code >= 500 or error.code == 429:
            raise _Dropped(f"the server answers {error.code}") from None
        raise _Refused(f"the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError:
        raise
    except ValueError as error:
        raise _Refused(f"is not a usable address ({error})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"the server did not answer ({type(error).__name__})") from None
    if response.headers.get_content_type() == "text/html":
        response.close()
        raise _Refused("the server answers with a web page instead of the file")
    return response


def _position(response: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """(first byte that comes, length of the whole file or None) of an answer to a request from byte `have` on."""
    length = response.headers.get("Content-Length", "")
    if response.status != 206:
        if have:
            LOG.warning("this server cannot resume: starting from the beginning")
        return 0, int(length) if length.isdigit() else None
    span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    if span.partition("-")[0] != str(have):
        raise _Refused(f"the server was asked to go on at byte {have} and answers with {span or 'no range'}")
    return have, int(total) if total.isdigit() else None


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)  # what has arrived: a connection that breaks costs nothing of it
    except (OSError, http.client.HTTPException) as error:
        raise _Dropped(f"the connection was dropped ({type(error).__name__})") from None


def _write(file: BinaryIO, chunk: bytes, part: Path) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise UserError(f"{part}: {describe_os_error(error)}; free some room and run the same command again") from None


def _check_room(part: Path, needed: int) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise UserError(
            f"{part.parent}: {needed / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free; free some room"
        )


def _check(part: Path, sha256: str | None, check: Callable[[Path], object] | None) -> None:
    """Look at the complete part; one that is wrong is removed, so that nothing is appended to it."""
    try:
        if sha256 is not None and (found := _digest(part)) != sha256.lower():
            raise _Refused(f"the file there has sha256 {found[:12]}..., not {sha256[:12]}...")
        if check is not None:
            check(part)
    except UserError as error:
        part.unlink()
        raise _Refused(str(error).rpartition("; ")[0] or str(error)) from None
    except _Refused:
        part.unlink()
        raise


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
