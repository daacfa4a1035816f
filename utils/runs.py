"""Run folders: runs/train/exp, exp2, exp3, ..."""

import re
from pathlib import Path

from utils.errors import UserError


def make_run_folder(project: str | Path, name: str, exist_ok: bool = False) -> Path:
    """Make and return `project/name`, or the first free `name2`, `name3`, ... unless `exist_ok`."""
    folder = Path(project) / name
    if folder.exists() and not exist_ok:
        taken = [_number_of(path.name, name) for path in folder.parent.iterdir()]
        folder = folder.with_name(f"{name}{max(max(taken), 1) + 1}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{folder}: cannot be made ({reason}); choose another --project") from None
    return folder


def _number_of(folder: str, name: str) -> int:
    match = re.fullmatch(re.escape(name) + r"(\d*)", folder)
    return int(match.group(1) or 1) if match else 0
