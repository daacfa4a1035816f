"""val.py's command line."""

from dataclasses import dataclass, replace
from pathlib import Path

from utils.ensemble import ENSEMBLE_HELP, ENSEMBLES
from utils.errors import UserError
from utils.options import option
from utils.slicing import SliceFlags

DECLINED = {
    "--save-hybrid": "is not offered: labels mixed into the predictions make every score wrong; use --save-txt",
    "--dnn": "is not offered: ONNX files run in onnxruntime; leave it away",
}


@dataclass(frozen=True)
class ValOptions(SliceFlags):
    """The flags of val.py; `validate` itself reads conf_thres, iou_thres, max_det, augment and single_cls."""

    data: str = option("data/coco128.yaml", "data-set YAML")
    weights: tuple[str, ...] = option(("yolov5s.pt",), ".pt or exported file; several .pt = ensemble")
    batch_size: int = option(32, "images per batch")
    imgsz: int = option(640, "image size in pixels", flags=("--img", "--img-size"))
    conf_thres: float = option(0.001, "least confidence")
    iou_thres: float = option(0.6, "overlap at which NMS suppresses")
    max_det: int | None = option(None, "most detections per image (300, unless the data YAML says otherwise)")
    task: str = option("val", "the split, or speed", choices=("train", "val", "test", "speed", "study"))
    device: str = option("", "cpu, mps or a GPU's number")
    workers: int = option(8, "processes that load images")
    single_cls: bool = option(False, "treat all classes as one")
    augment: bool = option(False, "test-time augmentation")
    ensemble: str = option("nms", ENSEMBLE_HELP, choices=ENSEMBLES)
    verbose: bool = option(False, "a line per class however many there are")
    save_txt: bool = option(False, "write labels/*.txt")
    save_conf: bool = option(False, "with confidences in them")
    save_json: bool = option(False, "write COCO JSON and score it with pycocotools")
    save_visdrone: bool = option(False, "write result files in VisDrone's submission format")
    project: str = option("runs/val", "folder of runs")
    name: str = option("exp", "name of the run")
    exist_ok: bool = option(False, "write into an existing run folder")
    half: bool = option(False, "half precision (GPU only)")
    square: bool = option(False, "pad to squares, as exported files with a fixed shape need: to compare with them")


def settle(options: ValOptions) -> ValOptions:
    """The options with what one implies for others; `UserError` for a value that cannot be."""
    if options.task == "study":
        raise UserError("--task study: comes in a later version; run val.py with --imgsz 320, 640, ... one by one")
    for flag in ("conf_thres", "iou_thres"):
        if not 0 <= getattr(options, flag) <= 1:
            raise UserError(f"--{flag.replace('_', '-')} {getattr(options, flag)}: lies between 0 and 1")
    for flag, least in (("batch_size", 1), ("imgsz", 1), ("max_det", 1), ("workers", 0)):
        value = getattr(options, flag)
        if value is not None and value < least:
            raise UserError(f"--{flag.replace('_', '-')} {value}: must be at least {least}")
    if options.task == "speed":
        return replace(options, conf_thres=0.25, iou_thres=0.45, save_json=False, save_visdrone=False)
    return replace(options, save_json=options.save_json or Path(options.data).name == "coco.yaml")
