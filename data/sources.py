"""Where pictures come from: the text behind `--source` becomes an iterator of batches of frames."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from data.source_files import FileSource, find_files, is_image, is_video
from data.source_screen import PATTERN as SCREEN
from data.source_screen import ScreenSource
from data.source_streams import DEFAULTS, StreamSettings, StreamSource
from utils.errors import UserError
from utils.frames import Frame, is_address, without_credentials

__all__ = ["Frame", "Source", "StreamSettings", "open_source"]

YOUTUBE = ("youtube.com", "youtu.be")


class Source(Protocol):
    """Frames that may be looked at together, batch by batch: one per file, or one per stream."""

    def __iter__(self) -> Iterator[list[Frame]]: ...

    def close(self) -> None:
        """Release what is open and stop all threads."""


def open_source(source: str | Path | int | Sequence[str | Path], settings: StreamSettings = DEFAULTS) -> Source:
    """Find what `source` names; nothing is read or connected before the first batch is asked for.

    source: an image, video, folder, glob, `.txt` list, camera number, RTSP/RTMP/HTTP(S) address, `.streams` file,
    `screen [n left top width height]`, or a sequence of files. `settings.stride` also holds for videos. What is not
    there is a `UserError`.
    """
    if isinstance(source, (list, tuple)):
        files = [file for entry in source for file in find_files(str(entry))]
        if not files:
            raise UserError("source: the sequence of files is empty; give at least one")
        return FileSource(files, settings.stride, f"{len(files)} files")
    text = str(source).strip()
    if not text:
        raise UserError("--source: is empty; give an image, a video, a folder, a stream or a camera number")
    if text.isdecimal():
        return StreamSource([int(text)], settings)
    if is_address(text):
        return _open_address(text, settings)
    if SCREEN.fullmatch(text):
        return ScreenSource(text, settings.stride)
    if text.lower().endswith(".streams"):
        return StreamSource(_read_streams(Path(text).expanduser()), settings)
    return FileSource(find_files(text), settings.stride, text)


def _open_address(address: str, settings: StreamSettings) -> Source:
    _refuse(address, f"--source {without_credentials(address)}")
    if address.lower().startswith("http") and is_video(urlsplit(address).path):
        return FileSource([address], settings.stride)  # a film, not a camera: read whole, where it lies
    return StreamSource([address], settings)


def _refuse(address: str, place: str) -> None:
    """Addresses that OpenCV cannot follow."""
    parts = urlsplit(address)
    if any(host == (parts.hostname or "") or (parts.hostname or "").endswith("." + host) for host in YOUTUBE):
        raise UserError(f"{place}: pages of YouTube are not read; give the direct address of the stream or a file")
    if address.lower().startswith("http") and is_image(parts.path):
        raise UserError(f"{place}: is an image on the network; download it first and give the file")


def _read_streams(path: Path) -> list[str | int]:
    """Addresses, camera numbers and video files, one per line; empty lines and lines after # are skipped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a .streams file holds one stream per line") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a UTF-8 text file; a .streams file holds one stream per line") from None
    entries = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    addresses = [_stream(entry, f"{path}, line {number}") for number, entry in entries if entry and entry[0] != "#"]
    if not addresses:
        raise UserError(f"{path}: names no stream; write one address, camera number or video file per line")
    return addresses


def _stream(entry: str, place: str) -> str | int:
    if entry.isdecimal():
        return int(entry)
    if is_address(entry):
        _refuse(entry, place)
    elif not is_video(entry) or not Path(entry).is_file():
        raise UserError(f"{place}: {entry} is no stream's address, camera number or video file that is there")
    return entry
