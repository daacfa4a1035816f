"""What a network looks at: python -m tools.heatmap --weights base.pt ema.pt --source images/ --method gradcam

One picture per image: the image, then for each weights file the map of a layer laid over it. docs/heatmaps.md says what
the methods show.
"""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.source_files import FileSource, is_video
from data.sources import open_source
from models import load_model
from tools.heatmap_layers import Spot, default_layer, ema_blocks, find_layer
from tools.heatmap_maps import METHODS, WEIGHTED, look
from tools.heatmap_panels import heat_panel, panel, shrink, side_by_side
from utils.detect_options import DEFAULT_SOURCE, DetectOptions
from utils.detector import Detector
from utils.device import select_device
from utils.errors import LOG, ROOT, UserError, run_command
from utils.frames import Frame
from utils.options import option, parse_options
from utils.runs import make_run_folder
from utils.sinks import OutputNames, save_image

SHOWN = 20  # class names in a message


@dataclass(frozen=True)
class Options:
    """What the command takes."""

    weights: tuple[str, ...] = option(("yolov5s.pt",), "one or more .pt files, a panel each")
    source: str = option(DEFAULT_SOURCE, "an image, a folder, a glob or a .txt list of images")
    method: str = option("gradcam", "what is drawn", choices=METHODS)
    layer: str = option("", "number, word (SPPF) or path (model.9.cv2); default: last attention, else backbone")
    class_name: str = option("", "only predictions of this class (name or number)", flags=("--class",))
    imgsz: tuple[int, ...] = option((640,), "image size: one number, or height width", flags=("--img", "--img-size"))
    conf_thres: float = option(0.25, "lowest confidence of a prediction in the score, 0..1")
    device: str = option("", "cpu, mps or a GPU's number")
    project: str = option("runs/heatmap", "results go to project/name")
    name: str = option("exp", "results go to project/name")
    exist_ok: bool = option(False, "use project/name even if it is there")


@dataclass
class View:
    """A weights file (path, and title in panels), what of it is looked at, and how many pictures held nothing."""

    path: str
    title: str
    detector: Detector
    spots: Sequence[Spot]
    class_id: int | None
    empty: int = field(default=0)


def main() -> None:
    """Draw the panels of every image of the source."""
    options = parse_options(Options, __doc__)
    images = open_images(options.source)
    if options.class_name and options.method not in WEIGHTED:
        known = " or ".join(WEIGHTED)
        raise UserError(f"--class: {options.method} asks for no class; leave it out, or use --method {known}")
    names = titles(options.weights)
    views = [open_view(path, title, options) for path, title in zip(options.weights, names)]
    folder, outputs, count = None, OutputNames(), 0
    for (frame,) in images:
        picture = draw(frame, views, options.method)
        folder = folder or make_run_folder(options.project, options.name, options.exist_ok)  # none without a picture
        save_image(folder / f"{outputs.stem(frame)}.jpg", picture)
        count += 1
    for view in views:
        if view.empty:
            what = f"class {options.class_name!r}" if options.class_name else "any class"
            LOG.warning(
                f"{view.title}: no prediction of {what} above confidence {options.conf_thres:g} in {view.empty} of "
                f"{count} images, whose maps are empty; lower --conf-thres"
            )
    LOG.info("Results saved to %s", folder)


def open_images(source: str) -> FileSource:
    """The images among what `source` names; `UserError` where there is none."""
    default = source == DEFAULT_SOURCE and not Path(source).exists()
    found = open_source(ROOT / source if default else source)
    if not isinstance(found, FileSource):
        raise UserError(f"--source {source}: heatmaps are drawn of image files, not of cameras, streams or screens")
    images = [file for file in found.files if not is_video(file)]
    if not images:
        raise UserError(f"{source}: holds videos only; heatmaps are drawn of images, so save the frames as such first")
    if len(images) < len(found.files):
        LOG.info("%s: %d videos were left out; heatmaps are drawn of images", source, len(found.files) - len(images))
    return FileSource(images, name=source)


def open_view(path: str, title: str, options: Options) -> View:
    """Load the weights and find the layers."""
    if Path(path).suffix != ".pt" and Path(path).is_file():
        raise UserError(f"{path}: is no .pt file; exported ones show no layers, give the .pt that they were made from")
    model = load_model(path, select_device(options.device)).requires_grad_(False)
    detector = Detector(model, DetectOptions(imgsz=options.imgsz, conf_thres=options.conf_thres))
    try:
        class_id = find_class(model.names, options.class_name) if options.class_name else None
        if options.method == "gates":
            return View(path, title, detector, ema_blocks(model, options.layer), class_id)
        spot = find_layer(model, options.layer) if options.layer else default_layer(model)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return View(path, title, detector, [spot], class_id)


def find_class(names: Mapping[int, str], wanted: str) -> int:
    """The number of the class of this name, or of this number."""
    for number, name in names.items():
        if name == wanted:
            return number
    if wanted.isdecimal() and int(wanted) in names:
        return int(wanted)
    close = difflib.get_close_matches(wanted, names.values(), n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    known = ", ".join(f"{number} {name}" for number, name in sorted(names.items())[:SHOWN])
    more = f", ... ({len(names)} in all)" if len(names) > SHOWN else ""
    raise UserError(f"--class: there is no class {wanted!r}; {hint}its classes are {known}{more}")


def titles(paths: Sequence[str]) -> list[str]:
    """A file's stem; for RUN/weights/best.pt the run's name. Equal ones are numbered."""
    names = [_title(Path(path)) for path in paths]
    counts, seen = Counter(names), Counter[str]()
    for index, name in enumerate(names):
        seen[name] += 1
        names[index] = f"{name} ({seen[name]})" if counts[name] > 1 else name
    return names


def draw(frame: Frame, views: Sequence[View], method: str) -> np.ndarray:
    """The image and, beside it, the maps of each weights file."""
    image = shrink(frame.image)
    panels = [panel(image, Path(frame.path).name)]
    for view in views:
        try:
            maps = look(view.detector, frame.image, view.spots, method, view.class_id)
        except UserError as error:
            raise UserError(f"{view.path}: {error}") from None
        panels += [heat_panel(image, heatmap, view.title) for heatmap in maps]
        view.empty += any(heatmap.found == 0 for heatmap in maps)
    return side_by_side(panels)


def _title(path: Path) -> str:
    run = path.parent.parent.name if path.parent.name == "weights" and path.stem in ("best", "last") else ""
    return run or path.stem


if __name__ == "__main__":
    run_command(main)
