"""Progress bars with rate and remaining time."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(
    items: Iterable[T] | None, label: str, total: int | None = None, unit: str = "it", done: int = 0
) -> "tqdm[T]":
    """Wrap an iterable in a bar on stderr; without one the caller moves it on with `update(n)`, in a `with`. Of the
    total so many were `done` before. Where stderr is no terminal it is refreshed only every 10 seconds."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(items, desc=label, total=total, unit=unit, initial=done, mininterval=interval, dynamic_ncols=True)


def byte_progress(label: str, total: int | None, done: int = 0) -> tqdm:
    """A bar in bytes (shown as k, M, G) that the caller moves on with `update(n)`; use it in a `with`."""
    interval = 0.2 if sys.stderr.isatty() else 10.0
    shown = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
    return tqdm(desc=label, total=total, initial=done, mininterval=interval, dynamic_ncols=True, **shown)
