"""Running the commands as their users do, but in this process."""

import contextlib
import importlib
import io
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from utils.errors import run_command


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code, and all that it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The last line of stderr, which for a failure begins with `error: `."""
        return (self.err.splitlines() or [""])[-1]


def run_cli(module: str, argv: Sequence[str]) -> Outcome:
    """Run a module's `main` behind `run_command`, as `python MODULE.py ARGV` does. What would be a traceback there
    is raised here. Logging and signals are put back afterwards."""
    root, out, err, code = logging.getLogger(), io.StringIO(), io.StringIO(), 0
    handlers, level, on_terminate = root.handlers, root.level, signal.getsignal(signal.SIGTERM)
    root.handlers = []  # run_command closes those that it finds
    try:
        with (
            mock.patch.object(sys, "argv", [f"{module}.py", *argv]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            run_command(importlib.import_module(module).main)
    except SystemExit as stop:
        code = stop.code
    finally:
        root.handlers = handlers
        root.setLevel(level)
        signal.signal(signal.SIGTERM, on_terminate)
    return Outcome(code, out.getvalue(), err.getvalue())


def heed_interrupts() -> None:
    """For a child process: Ctrl-C works also where the tests run in the background, as under a CI service."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file grows beyond `room` bytes: every write after that fails, as on a full disk."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def listing(folder: Path) -> set[str]:
    """All files below a folder, hidden ones too, without what is kept beside labels to save reading them again."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in names if not name.endswith((".cache", ".problems.txt"))}
