"""What a preparer counted: one file with every dropped row and its place, and the same in two lines for the screen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import LOG
from utils.files import write_text

MANY_CLASSES = 20  # more are counted in the file only


@dataclass
class Report:
    """Counts of one split.

    names are the classes in order; labels counts the label rows per class; rows counts the raw rows per category where
    the raw format has categories of its own; facts are further counts in the order in which they are shown; notes maps
    a kind of trouble to one 'FILE, line N: what it is' per row.
    """

    title: str
    names: Sequence[str]
    images: int = 0
    labels: Counter[int] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    facts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def count(self, fact: str, number: int = 1) -> None:
        """Add to one of the further counts."""
        self.facts[fact] = self.facts.get(fact, 0) + number

    def note(self, kind: str, place: str) -> None:
        """Record one thing that was left out or changed."""
        self.notes.setdefault(kind, []).append(place)

    def summary(self) -> str:
        """One line: pictures, labels and everything that was counted."""
        counted = self.facts | {kind: len(places) for kind, places in self.notes.items()}
        parts = [f"{self.images:,} images"] if self.images else []
        parts += [f"{self.labels.total():,} labels"]
        parts += [f"{self.rows.total():,} raw rows"] if self.rows else []
        return f"{self.title}: " + ", ".join(parts + [f"{number:,} {what}" for what, number in counted.items()])

    def per_class(self) -> str:
        """One line: labels per class; two with the raw rows per category."""
        line = "labels: " + ", ".join(f"{name} {self.labels[index]:,}" for index, name in enumerate(self.names))
        return line + (
            "\nraw rows: " + ", ".join(f"{name} {n:,}" for name, n in self.rows.items()) if self.rows else ""
        )

    def text(self) -> str:
        """The whole report."""
        lines = [self.summary(), "", "labels per class:"]
        lines += [f"{index:4d}  {name:20s} {self.labels[index]:9d}" for index, name in enumerate(self.names)]
        if self.rows:
            lines += ["", "raw rows per category:"]
            lines += [f"{name:26s} {number:9d}" for name, number in self.rows.items()]
        for kind, places in self.notes.items():
            lines += ["", f"{len(places)} {kind}:", *places]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write the report file."""
        write_text(path, self.text())

    def show(self, path: Path) -> None:
        """Say the summary and where the report file is."""
        LOG.info("%s", self.summary())
        if len(self.names) <= MANY_CLASSES:
            LOG.info("%s", self.per_class())
        LOG.info("report: %s", path)
