"""What becomes of detections: a sink takes every frame with what was found in it, and is closed at the end."""

import csv
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from utils.boxes import clip_boxes, xywh_to_xyxy, xyxy_to_xywh
from utils.detections import Detections
from utils.errors import LOG
from utils.files import atomic_path, named_errors, write_text
from utils.frames import Frame

CSV_COLUMNS = ("Image Name", "Prediction", "Confidence", "x1", "y1", "x2", "y2", "Frame")
CROP_GAIN, CROP_PAD = 1.02, 10  # stock's margin around a crop: a factor and pixels on the whole side


class Sink(Protocol):
    """Takes detections, one frame at a time."""

    def write(self, frame: Frame, detections: Detections) -> None:
        """Take one frame, in the order of the source."""

    def close(self) -> None:
        """Finish all files; may be called in any state."""


class UniqueNames:
    """Gives every owner a name of its own: the wished one, or that with _2, _3, ... where another owner has it.

    Names that differ only in upper and lower case count as equal, as they do on many file systems.
    """

    def __init__(self) -> None:
        self._owners: dict[str, Hashable] = {}

    def claim(self, wish: str, owner: Hashable) -> str:
        """The same owner gets the same name again."""
        name, number = wish, 1
        while (key := name.casefold()) in self._owners and self._owners[key] != owner:
            number += 1
            name = f"{wish}_{number}"
        if key not in self._owners and number > 1:
            LOG.info("%s: saved as %s, since %s is another input's name", owner, name, wish)
        self._owners[key] = owner
        return name


class OutputNames:
    """The name without suffix under which everything of one input is saved: `bus`, and `bus_2` for another folder's
    bus.jpg. Images and films have names of their own, since their files never meet."""

    def __init__(self) -> None:
        self._images = UniqueNames()
        self._films = UniqueNames()

    def stem(self, frame: Frame) -> str:
        """The same for every frame of one input."""
        return (self._images if frame.kind == "image" else self._films).claim(frame.stem, frame.path)

    def another(self, frame: Frame, number: int) -> str:
        """A name for one more film of the same input."""
        return self._films.claim(frame.stem, f"{frame.path} (part {number})")


class LabelSink:
    """`labels/STEM.txt` per image and `labels/STEM_FRAME.txt` per frame of a video, where something was found.

    A row is class, box, and the confidence if asked for; box = centre x, centre y, width, height in 0..1 of the picture
    (save_format 0) or left, top, right, bottom in 0..1 (1); by falling confidence.
    """

    def __init__(self, folder: Path, names: OutputNames, save_conf: bool = False, save_format: int = 0) -> None:
        self.folder = folder
        self.names = names
        self.files = UniqueNames()  # a picture street_2.jpg and the second frame of street.mp4 wish for one file
        self.save_conf = save_conf
        self.save_format = save_format

    def write(self, frame: Frame, detections: Detections) -> None:
        """Write one file; an older one of this name goes where nothing was found."""
        stem = self.names.stem(frame)
        stem = stem if frame.index is None else f"{stem}_{frame.index}"
        path = self.folder / f"{self.files.claim(stem, f'{frame.path}, frame {frame.index}')}.txt"
        if not len(detections):
            path.unlink(missing_ok=True)
            return
        write_text(path, label_rows(detections, frame.image.shape[:2], self.save_conf, self.save_format))

    def close(self) -> None:
        """Every file is finished already."""


def label_rows(detections: Detections, shape: tuple[int, int], save_conf: bool, save_format: int) -> str:
    """Lines of `class box [confidence]` for a (height, width) picture; six significant digits as in stock."""
    boxes = detections.xyxy if save_format else xyxy_to_xywh(detections.xyxy)
    boxes = boxes / np.array([shape[1], shape[0]] * 2, dtype=np.float32)
    rows = np.column_stack([detections.class_id, boxes, detections.confidence][: 3 if save_conf else 2])
    return "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in rows.tolist())


class CsvSink:
    """`predictions.csv`, a row per object; every row is on disk as soon as its frame is done.

    Stock's three columns come first; then the box in pixels and the frame's number (empty for images).
    """

    def __init__(self, path: Path, names: OutputNames) -> None:
        self.names = names
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("w", newline="", encoding="utf-8")
        self.rows = csv.writer(self.file)
        self.rows.writerow(CSV_COLUMNS)

    def write(self, frame: Frame, detections: Detections) -> None:
        """Append this frame's objects."""
        name = self.names.stem(frame) + frame.suffix
        for box, confidence, kind in zip(detections.xyxy, detections.confidence, detections.class_id):
            corners = [f"{value:.2f}" for value in box]
            self.rows.writerow([name, detections.names[int(kind)], f"{confidence:.2f}", *corners, frame.index])
        with named_errors(self.path):
            self.file.flush()

    def close(self) -> None:
        """Close the file."""
        with named_errors(self.path):
            self.file.close()


class CropSink:
    """`crops/CLASS/STEM.jpg`, STEM2.jpg, ...: every object cut out of the unmarked picture with a margin."""

    def __init__(self, folder: Path, names: OutputNames) -> None:
        self.folder = folder
        self.names = names
        self._counts: dict[tuple[str, str], int] = {}
        self._used: set[str] = set()

    def write(self, frame: Frame, detections: Detections) -> None:
        """Cut this frame's objects out."""
        stem = self.names.stem(frame)
        for box, kind in zip(detections.xyxy, detections.class_id):
            image = crop(frame.image, box)
            if image.size:
                save_image(self.folder / self._free(folder_name(detections.names[int(kind)]), stem), image)

    def close(self) -> None:
        """Every file is finished already."""

    def _free(self, folder: str, stem: str) -> str:
        number = self._counts.get((folder, stem), 0)
        while True:
            number += 1
            name = f"{folder}/{stem}{number if number > 1 else ''}.jpg"
            if name.casefold() not in self._used:
                break
        self._counts[folder, stem] = number
        self._used.add(name.casefold())
        return name


def crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of an (H, W, 3) picture in an xyxy box (4,), made larger by stock's margin and cut at the borders."""
    wide = xyxy_to_xywh(np.asarray(box, dtype=np.float64))
    wide[2:] = wide[2:] * CROP_GAIN + CROP_PAD
    left, top, right, bottom = clip_boxes(xywh_to_xyxy(wide), *image.shape[:2]).astype(int)
    return image[top:bottom, left:right]


def folder_name(name: str) -> str:
    """A class name as a folder's name: what file systems refuse becomes '_'."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(" .") or "_"


def save_image(path: Path, image: np.ndarray) -> None:
    """Write a BGR picture in the format of the path's suffix, whole or not at all; any letters in the name work."""
    good, content = cv2.imencode(path.suffix, image)
    if not good:
        raise ValueError(f"{path}: OpenCV cannot write this format")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.tobytes())
