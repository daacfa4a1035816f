"""Score detections that any program wrote:
`python -m tools.score visdrone ANNOTATIONS RESULTS` takes two folders of VisDrone's texts and gives the official score,
`python -m tools.score coco INSTANCES.json RESULTS.json` COCO's by pycocotools at 100 and 500 detections per image.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.headers import image_shape
from data.images import IMAGE_SUFFIXES, UnreadableImage
from utils import coco_eval, coco_files, visdrone, visdrone_files
from utils.errors import LOG, UserError, run_command
from utils.files import write_text
from utils.score_sinks import read_folder
from utils.tables import Column, board, size_table

SHOWN = 5  # names of files in a message


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    official = kinds.add_parser("visdrone", help="the official VisDrone figures")
    official.add_argument("truth", metavar="ANNOTATIONS", type=Path, help="folder of annotation files")
    official.add_argument("results", metavar="RESULTS", type=Path, help="folder of result files of the same names")
    official.add_argument("--images", type=Path, help="folder of the images (default: `images` beside ANNOTATIONS)")
    official.add_argument("--csv", type=Path, metavar="FILE", help="also write the figures per class")
    official.set_defaults(score=score_visdrone)
    coco = kinds.add_parser("coco", help="COCO's figures")
    coco.add_argument("truth", metavar="INSTANCES.json", type=Path, help="COCO annotation file")
    coco.add_argument("results", metavar="RESULTS.json", type=Path, help="list of image_id, category_id, bbox, score")
    coco.set_defaults(score=score_coco)
    for each in (official, coco):
        each.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args(argv)
    figures = options.score(options)
    if options.json:
        write_text(options.json, json.dumps(visdrone_files.without_nan(figures), indent=1) + "\n")
        LOG.info("figures written to %s", options.json)


def score_visdrone(options: argparse.Namespace) -> dict[str, Any]:
    """The official figures of the folders, in percent, as `utils.visdrone.evaluate` gives them."""
    images = read_visdrone(options.truth, options.results, options.images or options.truth.parent / "images")
    figures = visdrone.evaluate(images)
    LOG.info("VisDrone score in percent of %d images against %s:", len(images), options.truth)
    LOG.info("%s", visdrone_files.scores_table(figures))
    if options.csv:
        write_text(options.csv, visdrone_files.scores_csv(figures))
        LOG.info("figures per class written to %s", options.csv)
    return figures


def read_visdrone(truth: Path, results: Path, pictures: Path) -> list[dict[str, Any]]:
    """The folders' files in the form of `utils.visdrone.evaluate`.

    Every annotation file needs a result file and, where it has ignored regions, an image, of which the header is read.
    Result files of other names are counted and left out. An order other than by falling score is told, not mended.
    """
    annotations = read_folder(truth)
    if not results.is_dir():
        raise UserError(f"{results}: is no folder; give the one that holds the result files (NAME.txt)")
    files = {path.stem: path for path in results.glob("*.txt")}
    if missing := [name for name in annotations if name not in files]:
        raise UserError(
            f"{results}: has no result file for {_some(missing)} of {truth}; an empty file says that nothing was found"
        )
    if unknown := sorted(files.keys() - annotations.keys()):
        LOG.warning("%s: %s are of no image in %s and left out", results, _some(unknown), truth)
    shapes = _shapes(pictures, annotations)
    found = {name: visdrone_files.read_results(files[name]) for name in annotations}
    if unsorted := [name for name, rows in found.items() if not visdrone.is_sorted(rows)]:
        LOG.warning(
            "%s: %s are not sorted by falling score and scored as they stand: as in the toolkit the first rows count, "
            "not the best ones",
            *(results, _some(unsorted)),
        )
    return [
        {"name": name, "height": shapes[name][0], "width": shapes[name][1], "annotations": rows, "results": found[name]}
        for name, rows in annotations.items()
    ]


def score_coco(options: argparse.Namespace) -> dict[str, Any]:
    """COCO's twelve numbers at both limits and the figures by object size, in 0..1, see `utils.coco_eval.evaluate`."""
    truth = coco_files.read_annotations(options.truth)
    ids = [image["id"] for image in truth["images"]]
    results = coco_files.read_results(options.results, ids, [category["id"] for category in truth["categories"]])
    figures = coco_eval.evaluate(truth, results, ids)
    columns = [Column("COCO", "(pycocotools)", limit, numbers) for limit, numbers in figures["limits"].items()]
    LOG.info("%d images, %d detections against %s:\n%s", len(ids), len(results), options.truth, board(columns))
    LOG.info("\n%s", size_table(figures["sizes"]))
    return figures


def _shapes(pictures: Path, annotations: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """(height, width) of every image; 0, 0 for those that the score needs no size of."""
    files = {path.stem: path for path in pictures.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES}
    shapes = {}
    for name, rows in annotations.items():
        shapes[name] = (0, 0)
        if (rows[:, 5] == visdrone.REGION).any():
            if name not in files:
                raise UserError(
                    f"{pictures}: has no image {name}, whose size its ignored regions need; give the folder by --images"
                )
            try:
                shapes[name] = image_shape(files[name])
            except UnreadableImage as error:
                raise UserError(f"{files[name]}: {error}; fetch the image again") from None
    return shapes


def _some(names: Sequence[str]) -> str:
    """'3 files (a, b, c)', shortened."""
    listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} file{'s' * (len(names) != 1)} ({listed})"


if __name__ == "__main__":
    run_command(main)
