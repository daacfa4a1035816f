"""What a comparison consists of: its settings and its runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import DetectionModel, build_model
from utils.checkpoint import read_checkpoint
from utils.errors import UserError
from utils.files import write_text

NOTHING_NOTED = {"seconds": 0.0, "failure": None, "device": ""}


@dataclass(frozen=True)
class Job:
    """One training run of a comparison."""

    model: str
    config: Path
    seed: int
    folder: Path
    start: Path

    @property
    def name(self) -> str:
        """As the run's folder is called."""
        return self.folder.name

    @property
    def last(self) -> Path:
        """The run's newest checkpoint."""
        return self.folder / "weights" / "last.pt"

    def epochs_done(self) -> int:
        """Epochs of which results.csv has a row."""
        return len(_lines(self.folder / "results.csv")[1:])

    def checkpoint(self) -> dict[str, Any] | None:
        """The content of the run's newest checkpoint, None where there is none yet."""
        if not self.last.is_file():
            return None
        try:
            return read_checkpoint(self.last)
        except UserError:
            raise UserError(f"{self.last}: cannot be read; delete {self.folder} to train the run again") from None

    def is_finished(self) -> bool:
        """Whether training has ended: then the checkpoint's training state has been stripped."""
        content = self.checkpoint()
        return content is not None and content["training"] is None

    def scores(self) -> tuple[float, float]:
        """mAP50 and mAP50-95 of the averaged weights after the last epoch; nothing is selected on the way."""
        header, *_, last = (line.split(",") for line in _lines(self.folder / "results.csv"))
        values = {name.strip(): float(cell) for name, cell in zip(header, last)}
        return values["metrics/mAP_0.5"], values["metrics/mAP_0.5:0.95"]

    def note(self) -> dict[str, Any]:
        """{'seconds': spent on it so far, 'failure': why it stopped, or None, 'device': in words, '' if unknown}."""
        file = self.folder / "run.json"
        return NOTHING_NOTED | (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})

    def add_note(self, seconds: float, failure: str | None, device: str) -> None:
        """Add to the seconds, and remember how it ended and on what."""
        content = {"seconds": self.note()["seconds"] + seconds, "failure": failure, "device": device}
        write_text(self.folder / "run.json", json.dumps(content) + "\n")


@dataclass(frozen=True)
class Plan:
    """A comparison: `models` in the order of the command line, the base first, by name; `settings` = what every run
    shares and no continuation may change."""

    folder: Path
    settings: dict[str, Any]
    models: dict[str, Path]
    seeds: tuple[int, ...]
    names: dict[int, str]

    @property
    def base(self) -> str:
        """The model that the others are compared with."""
        return next(iter(self.models))

    @property
    def epochs(self) -> int:
        """Of each run."""
        return self.settings["epochs"]

    def job(self, model: str, seed: int) -> Job:
        """One of the runs."""
        start = self.folder / "starts" / f"{self.base}-seed{seed}.pt"
        return Job(model, self.models[model], seed, self.folder / f"{model}-seed{seed}", start)

    def jobs(self) -> list[Job]:
        """All runs, seed by seed, so that a comparison that is stopped early has whole seeds."""
        return [self.job(model, seed) for seed in self.seeds for model in self.models]

    def build(self, model: str) -> DetectionModel:
        """The network of a model, for the data's classes."""
        return build_model(self.models[model], nc=len(self.names), names=self.names)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else [""]
