"""`python -m models.yolo --cfg yolov5s-ema.yaml` prints a model's layers and tries it at two sizes."""

from dataclasses import dataclass

import torch

from models.config import read_config
from models.model import DetectionModel
from models.summary import layer_table
from utils.errors import LOG, run_command
from utils.letterbox import check_image_size
from utils.options import option, parse_options


@dataclass(frozen=True)
class Options:
    """What the command takes."""

    cfg: str = option("yolov5s-ema.yaml", "model YAML")
    nc: int | None = option(None, "number of classes (the YAML's if not given)")
    imgsz: int = option(640, "image size for GFLOPs and the trial", flags=("--img", "--img-size"))


def main() -> None:
    """Print the layer table, then run a forward pass at two sizes."""
    options = parse_options(Options, __doc__)
    model = DetectionModel(read_config(options.cfg, options.nc)).eval()
    size = check_image_size(options.imgsz, model.max_stride)[0]
    LOG.info(layer_table(model, size))
    for height, width in ((size, size), (size, max(size // 2 // model.max_stride, 1) * model.max_stride)):
        with torch.no_grad():
            prediction = model.predict(torch.zeros(1, model.yaml["ch"], height, width))
        LOG.info("%d x %d: %s", height, width, " x ".join(map(str, prediction.shape)))


if __name__ == "__main__":
    run_command(main)
