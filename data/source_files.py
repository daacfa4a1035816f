"""Images and videos on disk, one after the other."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data.headers import image_shape
from data.images import IMAGE_SUFFIXES, UnreadableImage, read_image
from data.source_videos import VIDEO_SUFFIXES, read_video
from utils.errors import LOG, UserError
from utils.frames import Frame

SHOWN = 5  # unusable files that the summary names


class FileSource:
    """Images and videos in the given order, one frame per batch.

    A file that cannot be read is reported and left out; it is an error where it was the only one, or where none could
    be read. `video_stride`: every n-th frame of a video.
    """

    def __init__(self, files: Sequence[str | Path], video_stride: int = 1, name: str | None = None) -> None:
        self.files = [str(file) for file in files]
        self.video_stride = video_stride
        self.name = name or self.files[0]
        self.unusable: list[str] = []

    def __iter__(self) -> Iterator[list[Frame]]:
        delivered = 0
        for number, path in enumerate(self.files, 1):
            try:
                for frame in self._frames(path, (number, len(self.files))):
                    delivered += 1
                    yield [frame]
            except UserError as error:
                self._leave_out(path, error)
        self._sum_up(delivered)

    def close(self) -> None:
        """Nothing stays open between two files."""

    def _frames(self, path: str, place: tuple[int, int]) -> Iterator[Frame]:
        if is_video(path):
            return read_video(path, self.video_stride, place)
        return iter([Frame(_read_whole(path), path, place=place)])

    def _leave_out(self, path: str, error: UserError) -> None:
        if len(self.files) == 1:
            raise error
        LOG.warning("left out: %s", error)
        self.unusable.append(path)

    def _sum_up(self, delivered: int) -> None:
        if not self.unusable:
            return
        names = ", ".join(Path(path).name for path in self.unusable[:SHOWN])
        names += ", ..." if len(self.unusable) > SHOWN else ""
        if not delivered:
            raise UserError(f"{self.name}: none of its {len(self.files)} images and videos could be read ({names})")
        LOG.warning("%d of %d inputs were left out: %s", len(self.unusable), len(self.files), names)


def find_files(source: str) -> list[Path]:
    """The images, then the videos, of a file, a folder (not its sub-folders), a glob or a `.txt` list of these.

    Sorted by name, but in the list's order for a list. A source without any is a `UserError`.
    """
    path = Path(source).expanduser()
    if path.suffix.lower() == ".txt" and path.is_file():
        return _sorted_by_kind(_listed(path), source)
    files = _expand(path)
    if files is None:
        raise UserError(f"{source}: no such file or folder; give --source an image, a video, a folder or a glob")
    return _sorted_by_kind(files, source)


def is_image(path: str | Path) -> bool:
    """Whether the suffix is that of an image."""
    return Path(path).suffix.lower() in IMAGE_SUFFIXES


def is_video(path: str | Path) -> bool:
    """Whether the suffix is that of a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def _expand(path: Path) -> list[Path] | None:
    """Files of one folder, glob or file; None where nothing of that name is there."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if path.exists():
        return [path]
    if any(letter in str(path) for letter in "*?["):
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207 (pathlib's takes no absolute pattern)
        return sorted(Path(name) for name in names if Path(name).is_file())
    return None


def _listed(path: Path) -> list[Path]:
    """The files that a list names, one entry per line, relative to the working folder or else to the list's."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a UTF-8 text file; a list holds one image per line") from None
    files, missing = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = Path(line.strip()).expanduser()
        found = _expand(entry) or _expand(path.parent / entry)
        files += found or []
        missing += [] if found else [f"line {number} ({line.strip()})"]
    if missing and not files:
        raise UserError(f"{path}, {missing[0]}: names no file, nor does another line; check the list's paths")
    if missing:
        more = ", ..." if len(missing) > SHOWN else ""
        LOG.warning("%s: %d entries name no file: %s%s", path, len(missing), ", ".join(missing[:SHOWN]), more)
    return files


def _sorted_by_kind(files: list[Path], source: str) -> list[Path]:
    images = [file for file in files if is_image(file)]
    videos = [file for file in files if is_video(file)]
    others = len(files) - len(images) - len(videos)
    if not images and not videos:
        known = " ".join(suffix[1:] for suffix in sorted({*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}))
        found = f"holds no image or video ({others} other files)"
        if Path(source).is_dir():
            found = f"holds no image or video ({others} other files; folders inside it are not searched)"
        elif files == [Path(source)]:
            found = "is neither an image nor a video"
        raise UserError(f"{source}: {found}; images and videos are known by their suffix: {known}")
    if others:
        LOG.info("%s: %d of %d files are neither images nor videos and were left out", source, others, len(files))
    return images + videos


def _read_whole(path: str) -> np.ndarray:
    """The picture; an error for a file that was cut short, of which OpenCV 4 would show the part that is there."""
    try:
        image_shape(path)
    except UnreadableImage as error:
        raise UserError(f"{path}: {error}; repair or remove the file") from None
    return read_image(path)
