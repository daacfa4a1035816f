"""Reading YAML and writing files whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from utils.errors import UserError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it becomes `path` when the block ends well and is removed otherwise.

    The folder is made if need be, and the bytes are on disk before the rename, so a crash leaves the old file whole.
    """
    path = Path(path)
    with named_errors(path), _temporary_beside(path) as temporary:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)


@contextmanager
def named_errors(path: str | Path) -> Iterator[None]:
    """Give the file's name to an `OSError` that lacks it, as that of a write to a full disk does."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


@contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_yaml(path: str | Path) -> dict:
    """Return the mapping in a YAML file (plain data only: tags that would build objects are refused)."""
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a UTF-8 text file; a YAML file is expected") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}{_line_of(error)}: is not valid YAML ({_problem_of(error)})") from None
    except (ValueError, RecursionError) as error:  # a date such as 2024-99-99; brackets within brackets without end
        raise UserError(f"{path}: is not valid YAML ({error})") from None
    if content is None:
        raise UserError(f"{path}: is empty; a YAML mapping (key: value) is expected")
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}; a YAML mapping (key: value) is expected")
    return content


def write_yaml(path: str | Path, content: dict) -> None:
    """Write plain data as YAML, key order kept, whole or not at all."""
    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _line_of(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f", line {mark.line + 1}" if mark else ""


def _problem_of(error: yaml.YAMLError) -> str:
    return getattr(error, "problem", None) or str(error).splitlines()[0]


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
