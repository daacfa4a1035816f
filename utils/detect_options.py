"""The flags of detect.py."""

from dataclasses import dataclass

from utils.ensemble import ENSEMBLE_HELP, ENSEMBLES
from utils.options import option
from utils.slicing import SliceFlags

DEFAULT_SOURCE = "data/images"
DECLINED = {
    "--update": "is not needed: finished training already leaves weights without the optimizer's state",
    "--dnn": "is not offered; give the .onnx file as --weights, it runs in ONNX Runtime",
    "--visualize": "is not offered, as in current YOLOv5; a forward hook on a layer of model.model shows its features",
}
IMGSZ = ("--img", "--img-size")


@dataclass(frozen=True)
class DetectOptions(SliceFlags):
    """What to look for, where, and what to keep of it. Field names are the flags."""

    weights: tuple[str, ...] = option(("yolov5s.pt",), "a .pt or an exported file; several .pt files look together")
    source: str = option(DEFAULT_SOURCE, "file, folder, glob, .txt list, camera number, address, .streams or screen")
    data: str = option("", "accepted as in stock; class names come from the weights")
    imgsz: tuple[int, ...] = option(
        (640,), "inference size: one number, or height width", flags=("--img", "--img-size")
    )
    conf_thres: float = option(0.25, "lowest confidence, 0..1")
    iou_thres: float = option(0.45, "overlap above which the less confident box goes, 0..1")
    max_det: int = option(1000, "most objects per picture")
    device: str = option("", "cpu, mps or a GPU's number")
    view_img: bool = option(False, "show pictures in a window")
    save_txt: bool = option(False, "save labels/*.txt")
    save_format: int = option(0, "boxes in --save-txt: 0 = centre and size, 1 = corners; both in 0..1", choices=(0, 1))
    save_csv: bool = option(False, "save predictions.csv")
    save_conf: bool = option(False, "add the confidence to --save-txt")
    save_crop: bool = option(False, "save every object as crops/CLASS/*.jpg")
    nosave: bool = option(False, "save no pictures and videos")
    classes: tuple[int, ...] | None = option(None, "only these class numbers")
    agnostic_nms: bool = option(False, "boxes of different classes suppress each other too")
    augment: bool = option(False, "look at several sizes and a mirror image of every picture")
    ensemble: str = option("nms", ENSEMBLE_HELP, choices=ENSEMBLES)
    project: str = option("runs/detect", "results go to project/name")
    name: str = option("exp", "results go to project/name")
    exist_ok: bool = option(False, "use project/name even if it is there")
    line_thickness: int = option(3, "of the boxes, in pixels")
    hide_labels: bool = option(False, "draw boxes only")
    hide_conf: bool = option(False, "draw no confidences")
    half: bool = option(False, "16-bit floats (GPU only)")
    vid_stride: int = option(1, "every n-th frame of a video or stream")
    stream_retries: int = option(5, "failures in a row after which a stream is given up")
    stream_timeout: float = option(10.0, "seconds that connecting to a stream or waiting for a frame may take")


DEFAULTS = DetectOptions()
