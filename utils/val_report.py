"""What a validation tells: tables on the screen, and the run folder's metrics.csv and metrics.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.coco_json import write_json
from utils.errors import LOG
from utils.files import write_text
from utils.metrics import Scores
from utils.tables import Column, board, mean_ap75, score_csv, score_dict, score_table, size_table

PRINTED_CLASSES = 50  # data sets with fewer classes always get a line per class


@dataclass(frozen=True)
class Circumstances:
    """What scores depend on besides weights and data: `max_det` is the most detections per image in our own score."""

    split: str
    image_size: int
    max_det: int


def report(
    result: Scores, speed_ms: Mapping[str, float], folder: Path, where: Circumstances, sinks: Sequence, verbose: bool
) -> None:
    """Print everything that was found and write metrics.csv and metrics.json.

    speed_ms: milliseconds per image of each stage; sinks: finished ones, of which those of `utils.score_sinks` add
    their scores; verbose: a line per class however many there are.
    """
    per_class = len(result.confusion) > 2 and (verbose or len(result.confusion) <= PRINTED_CLASSES)
    LOG.info("%s", score_table(result, per_class))
    show_scores(result, where, sinks)
    LOG.info("Speed per image: %s", ", ".join(f"{ms:.1f} ms {stage}" for stage, ms in speed_ms.items()))
    write_text(folder / "metrics.csv", score_csv(result))
    content = score_dict(result) | {"speed_ms": dict(speed_ms)} | vars(where)
    for sink in _scoring(sinks):
        content |= sink.as_dict()
    write_json(folder / "metrics.json", content)
    LOG.info("Results saved to %s", folder)


def show_scores(result: Scores, where: Circumstances, sinks: Sequence[Any]) -> None:
    """Print the scores of all kinds side by side, and those by object size; nothing where no sink has any."""
    scoring = _scoring(sinks)
    columns = [column for sink in scoring for column in sink.columns()]
    if columns:
        figures = {"AP": result.map, "AP50": result.map50, "AP75": mean_ap75(result)}
        ours = Column("ours", "(stock's rule)", where.max_det, figures)
        notes = [note for sink in scoring if sink.columns() for note in sink.notes()]
        LOG.info("\n%s\n%s", board([ours, *columns], where.split, where.image_size), "\n".join(notes))
    for sink in scoring:
        if sizes := sink.as_dict().get("sizes"):
            LOG.info("\n%s", size_table(sizes))


def _scoring(sinks: Sequence[Any]) -> list[Any]:
    return [sink for sink in sinks if hasattr(sink, "columns")]
