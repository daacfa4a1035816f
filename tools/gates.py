"""Where EMA looks: python -m tools.gates --weights best.pt --source images/

One picture per image: the image, then for each EMA block the map that it multiplies its input by, averaged over the
groups. Blue is the block's smallest value in this image and red its largest; both are written above.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from data.sources import open_source
from models import DetectionModel, load_model
from models.ema import EMA
from utils.detect_options import DetectOptions
from utils.detector import Detector, plan_letterboxes
from utils.device import select_device
from utils.errors import LOG, UserError, run_command
from utils.files import atomic_path
from utils.frames import Frame
from utils.letterbox import apply
from utils.options import option, parse_options
from utils.runs import make_run_folder

PLATE, TEXT = (40, 40, 40), (255, 255, 255)
BAR = 22  # pixels of the plate above each panel
TINY = 1e-12


@dataclass(frozen=True)
class Options:
    """What the command takes."""

    weights: str = option("yolov5s.pt", "a model with EMA blocks")
    source: str = option("data/images", "images, as for detect.py")
    imgsz: tuple[int, ...] = option((640,), "image size (height width)", flags=("--img", "--img-size"))
    device: str = option("", "cpu, mps or a GPU's number")
    project: str = option("runs/gates", "folder that collects runs")
    name: str = option("exp", "the run's folder in --project")
    exist_ok: bool = option(False, "write into the folder even if it is there")


def gates_of(x: torch.Tensor, y: torch.Tensor, groups: int) -> torch.Tensor:
    """The factor in 0..1 between input and output of an EMA block, both (B, C, H, W): (B, groups, H, W).

    All channels of a group have the same factor at a place; the least-squares one is found without dividing by values
    near zero.
    """
    b, c, h, w = x.shape
    x, y = (map_.double().reshape(b, groups, c // groups, h, w) for map_ in (x, y))
    return (x * y).sum(2) / x.square().sum(2).clamp(min=TINY)


def watch_gates(model: DetectionModel) -> dict[str, torch.Tensor]:
    """A dict that each prediction fills: 'layer 7 (EMA)' -> its gates, averaged over the groups, (H, W)."""
    found: dict[str, torch.Tensor] = {}
    blocks = [layer for layer in model.model if isinstance(layer, EMA)]
    for block in blocks:

        def keep(module: EMA, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
            found[f"layer {module.index} (EMA)"] = gates_of(inputs[0], output, module.groups)[0].mean(0)

        block.register_forward_hook(keep)
    if not blocks:
        raise UserError("the model has no EMA block; put some in with: python -m tools.insert")
    return found


def panel(image: np.ndarray, title: str) -> np.ndarray:
    """The picture under a plate with its title."""
    image = cv2.copyMakeBorder(image, BAR, 0, 0, 0, cv2.BORDER_CONSTANT, value=PLATE)
    return cv2.putText(image, title, (6, BAR - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, TEXT, 1, cv2.LINE_AA)


def overlay(image: np.ndarray, gates: torch.Tensor, title: str) -> np.ndarray:
    """The picture with the gates (h, w) as colours over it, stretched from their smallest to their largest value."""
    low, high = float(gates.min()), float(gates.max())
    shown = ((gates - low) / max(high - low, TINY) * 255).round().byte().cpu().numpy()
    shown = cv2.resize(shown, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    mixed = cv2.addWeighted(image, 0.45, cv2.applyColorMap(shown, cv2.COLORMAP_JET), 0.55, 0)
    return panel(mixed, f"{title}: {low:.2f} to {high:.2f}")


def draw_panels(detector: Detector, frame: Frame, found: dict[str, torch.Tensor]) -> np.ndarray:
    """The image and, beside it, the gates of each block."""
    detector([frame])
    image = apply(frame.image, plan_letterboxes([frame.image.shape[:2]], detector.size, detector.model)[0])
    panels: Sequence[np.ndarray] = [panel(image, Path(frame.path).name)]
    return np.hstack([*panels, *(overlay(image, gates, title) for title, gates in found.items())])


def main() -> None:
    """Draw the gates over every image of the source."""
    options = parse_options(Options, __doc__)
    model = load_model(options.weights, select_device(options.device))
    source = open_source(options.source)
    detector = Detector(model, DetectOptions(imgsz=options.imgsz))
    try:
        found = watch_gates(model)
    except UserError as error:
        raise UserError(f"{options.weights}: {error}") from None
    folder = make_run_folder(options.project, options.name, options.exist_ok)
    for (frame,) in source:
        number = f"_{frame.index}" if frame.index is not None else ""
        with atomic_path(folder / f"{Path(frame.path).stem}{number}.jpg") as temporary:
            cv2.imwrite(str(temporary), draw_panels(detector, frame, found))
    LOG.info("Results saved to %s", folder)


if __name__ == "__main__":
    run_command(main)
