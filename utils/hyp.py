"""Hyper-parameter files: read, checked, completed."""

import difflib
import math
from pathlib import Path

from utils.errors import ROOT, UserError
from utils.files import read_yaml

NOMINAL_BATCH = 64.0
FOLDER = ROOT / "data" / "hyps"
SCRATCH_LOW = "hyp.scratch-low.yaml"

PROBABILITY = (0.0, 1.0)
NOT_NEGATIVE = (0.0, math.inf)
FIELDS: dict[str, tuple[float, float]] = {  # field: (lowest, highest value allowed)
    "lr0": NOT_NEGATIVE,
    "lrf": NOT_NEGATIVE,
    "momentum": PROBABILITY,
    "weight_decay": NOT_NEGATIVE,
    "warmup_epochs": NOT_NEGATIVE,
    "warmup_momentum": PROBABILITY,
    "warmup_bias_lr": NOT_NEGATIVE,
    "box": NOT_NEGATIVE,
    "cls": NOT_NEGATIVE,
    "cls_pw": NOT_NEGATIVE,
    "obj": NOT_NEGATIVE,
    "obj_pw": NOT_NEGATIVE,
    "iou_t": PROBABILITY,
    "anchor_t": (1.0, math.inf),
    "fl_gamma": NOT_NEGATIVE,
    "hsv_h": PROBABILITY,
    "hsv_s": PROBABILITY,
    "hsv_v": PROBABILITY,
    "degrees": (0.0, 180.0),
    "translate": PROBABILITY,
    "scale": PROBABILITY,
    "shear": (0.0, 90.0),
    "perspective": (0.0, 0.01),
    "flipud": PROBABILITY,
    "fliplr": PROBABILITY,
    "mosaic": PROBABILITY,
    "mixup": PROBABILITY,
    "copy_paste": PROBABILITY,
}
OPTIONAL: dict[str, tuple[float, tuple[float, float]]] = {  # field: (value where it is absent, (lowest, highest))
    "nbs": (NOMINAL_BATCH, (1.0, math.inf)),
    "anchors": (0.0, (0.0, 100.0)),
}


def load_hyp(path: str | Path) -> dict[str, float]:
    """Read a hyper-parameter file: every field of `FIELDS`, and those of `OPTIONAL` with their defaults.

    The file is looked for as given, then below the repository, then in data/hyps/. Raises `UserError` for a file that
    is not there, an unknown or missing field, and a value that is no number or out of range.
    """
    file = find_hyp(path)
    return check_hyp(read_yaml(file), str(file))


def find_hyp(path: str | Path) -> Path:
    """Return the file meant by `path`: as given, else below the repository, else in data/hyps/ (.yaml optional)."""
    places = [Path(path), ROOT / path, FOLDER / path, FOLDER / f"{path}.yaml"]
    for place in places:
        if place.is_file():
            return place
    known = ", ".join(sorted(file.name for file in FOLDER.glob("*.yaml")))
    raise UserError(f"--hyp {path}: no such file, also not in data/hyps/, where there are {known}")


def check_hyp(content: dict, file: str) -> dict[str, float]:
    """Return `content` as floats in the order of `FIELDS`, optional fields filled in; `file` is for messages."""
    limits = FIELDS | {name: limit for name, (_, limit) in OPTIONAL.items()}
    for name in content:
        if name not in limits:
            raise UserError(f"{file}: unknown hyper-parameter {name!r}{_suggest(str(name), limits)}")
    missing = [name for name in FIELDS if name not in content]
    if missing:
        word = "hyper-parameter" if len(missing) == 1 else "hyper-parameters"
        raise UserError(f"{file}: lacks the {word} {', '.join(missing)}; see {SCRATCH_LOW} for usual values")
    values = {name: default for name, (default, _) in OPTIONAL.items()} | content
    return {name: _number(values[name], limit, f"{file}: {name}") for name, limit in limits.items()}


def _suggest(name: str, known: dict) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else f"; the known ones are {', '.join(known)}"


def _number(value: object, limit: tuple[float, float], where: str) -> float:
    try:
        # YAML reads 1e-3 as text (it wants 1.0e-3); here it means what it says.
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    lowest, highest = limit
    if not lowest <= number <= highest or math.isinf(number):
        bounds = f"from {lowest:g} to {highest:g}" if highest < math.inf else f"of {lowest:g} or more"
        raise UserError(f"{where} is {value!r}; a number {bounds} is expected")
    return number
