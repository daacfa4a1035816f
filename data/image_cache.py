"""Keeping decoded pictures, no larger than they are needed, in memory or beside the images."""

import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data.images import read_image, resized_shape
from utils.errors import LOG
from utils.files import atomic_path
from utils.progress import progress

THREADS = 8
RESERVE = 0.1  # of the free memory or disk is left alone
MEGABYTE = 1 << 20

Getter = Callable[[int], np.ndarray]


def read_resized(path: Path, size: int) -> np.ndarray:
    """The picture with its longer side brought down to `size` (area averages); smaller ones stay as they are."""
    image = read_image(path)
    height, width = image.shape[:2]
    if max(height, width) <= size:
        return image
    return cv2.resize(image, stored_shape((height, width), size)[::-1], interpolation=cv2.INTER_AREA)


def stored_shape(shape: Sequence[int], size: int) -> tuple[int, int]:
    """(height, width) of what `read_resized` returns for a picture of (height, width)."""
    return (int(shape[0]), int(shape[1])) if max(shape) <= size else resized_shape(shape, size)


@dataclass(frozen=True)
class MemoryCache:
    """All pictures in this process; worker processes that are forked share them."""

    pictures: list[np.ndarray]

    def __call__(self, index: int) -> np.ndarray:
        return self.pictures[index]


@dataclass(frozen=True)
class DiskCache:
    """One .npy file beside each image, used as long as it is newer than the image."""

    images: list[Path]
    size: int

    def __call__(self, index: int) -> np.ndarray:
        return np.load(_stored_file(self.images[index], self.size), allow_pickle=False)


def make_cache(kind: str | None, images: list[Path], shapes: np.ndarray, size: int, copies: int = 1) -> Getter | None:
    """Fill and return the cache `kind` ('ram' or 'disk'), or None where there is none or it does not fit (said in one
    line). copies = how many processes would hold the memory."""
    if kind is None:
        return None
    if kind not in ("ram", "disk"):
        raise ValueError(f"unknown cache {kind!r}: use ram or disk")
    need = sum(int(np.prod(stored_shape(shape, size))) * 3 for shape in shapes.tolist())
    return _in_memory(images, size, need * copies) if kind == "ram" else _on_disk(images, size, need)


def free_memory() -> int | None:
    """Bytes that can be had without swapping, in this container if it has a limit; None where nothing tells."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except OSError:
        return None
    try:
        limit, used = (Path("/sys/fs/cgroup", name).read_text().strip() for name in ("memory.max", "memory.current"))
        found += [int(limit) - int(used)]
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def copies_in_memory(workers: int, start_method: str | None) -> int:
    """How many processes hold a memory cache: forked workers share it, others get a copy each."""
    method = start_method or multiprocessing.get_start_method()
    return 1 if method == "fork" else 1 + workers


def _in_memory(images: list[Path], size: int, need: int) -> MemoryCache | None:
    free = free_memory()
    if free is not None and need > free * (1 - RESERVE):
        LOG.warning("--cache ram: %s are needed but %s are free: going on without", _megabytes(need), _megabytes(free))
        return None
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(read_resized, images, [size] * len(images))
        pictures = list(progress(found, f"caching {_megabytes(need)}", total=len(images), unit="image"))
    return MemoryCache(pictures)


def _on_disk(images: list[Path], size: int, need: int) -> DiskCache | None:
    todo = [image for image in images if not _is_stored(image, size)]
    free = shutil.disk_usage(images[0].parent).free
    need = need * len(todo) // len(images)
    if need > free * (1 - RESERVE):
        LOG.warning("--cache disk: %s are needed but %s are free: going on without", _megabytes(need), _megabytes(free))
        return None
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            stored = pool.map(_store, todo, [size] * len(todo))
            list(progress(stored, f"caching {_megabytes(need)}", total=len(todo), unit="image"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        LOG.warning("--cache disk: %s cannot be written (%s): going on without", images[0].parent, reason)
        return None
    return DiskCache(images, size)


def _stored_file(image: Path, size: int) -> Path:
    return image.with_name(f"{image.name}.{size}.npy")


def _is_stored(image: Path, size: int) -> bool:
    file = _stored_file(image, size)
    return file.is_file() and file.stat().st_mtime_ns >= image.stat().st_mtime_ns


def _store(image: Path, size: int) -> None:
    with atomic_path(_stored_file(image, size)) as temporary, temporary.open("wb") as stream:
        np.save(stream, read_resized(image, size), allow_pickle=False)


def _megabytes(count: int) -> str:
    return f"{count / MEGABYTE:.0f} MB"
