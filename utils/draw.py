"""Drawing boxes and their labels into a picture, with OpenCV alone: no font files, no window."""

import colorsys
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np

Colour = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
GOLDEN_RATIO = 0.618034
# Letters that Unicode does not split into an ASCII letter and an accent.
SPELLINGS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ł": "l", "Ł": "L"}
)


def colour(class_id: int) -> Colour:
    """(b, g, r) of a class: steps of the golden ratio around the hues, so that neighbours differ."""
    hue = (0.02 + class_id * GOLDEN_RATIO) % 1.0
    saturation, value = ((0.85, 1.0), (0.6, 0.9), (0.95, 0.75))[class_id % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def ascii_text(text: str) -> str:
    """The text in ASCII, which is all that OpenCV's fonts know: accents dropped, what has no spelling becomes '?'."""
    split = unicodedata.normalize("NFKD", text.translate(SPELLINGS))
    letters = (letter for letter in split if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def draw_boxes(
    image: np.ndarray, xyxy: np.ndarray, labels: Sequence[str], class_ids: Sequence[int], thickness: int = 3
) -> np.ndarray:
    """Draw n boxes into `image` ((H, W, 3) uint8 BGR, contiguous; changed in place) and return it.

    xyxy (n, 4) in pixels; labels: n texts, or none at all (an empty text draws only the box); class_ids choose the
    colours. The last row lies on top: give rows by falling confidence reversed where that matters.
    """
    labels = labels if len(labels) else [""] * len(xyxy)
    height, width = image.shape[:2]
    corners = np.nan_to_num(np.asarray(xyxy, dtype=np.float64).reshape(-1, 4))
    corners = np.clip(corners, -1e4, 1e4 + max(height, width)).round().astype(int)  # cv2 takes 32-bit integers
    for (left, top, right, bottom), label, class_id in zip(corners.tolist(), labels, class_ids):
        ink = colour(int(class_id))
        cv2.rectangle(image, (left, top), (right, bottom), ink, max(thickness, 1))
        if label:
            draw_label(image, label, (left, top), ink, thickness)
    return image


def draw_label(image: np.ndarray, text: str, corner: tuple[int, int], ink: Colour, thickness: int = 3) -> None:
    """Write `text` on a filled plate of colour `ink` above the point `corner` = (x, y) of a box, moved inside the
    picture where it would stick out."""
    text = ascii_text(text)
    height, width = image.shape[:2]
    scale, weight = text_size(height, width, thickness)
    (text_width, text_height), baseline = cv2.getTextSize(text, FONT, scale, weight)
    margin = max(baseline // 2, 2)
    plate_width, plate_height = text_width + 2 * margin, text_height + baseline + margin
    left = max(min(corner[0], width - plate_width), 0)
    top = corner[1] - plate_height if corner[1] >= plate_height else max(corner[1], 0)
    top = max(min(top, height - plate_height), 0)
    cv2.rectangle(image, (left, top), (left + plate_width - 1, top + plate_height - 1), ink, cv2.FILLED)
    origin = (left + margin, top + margin // 2 + text_height)
    cv2.putText(image, text, origin, FONT, scale, contrast(ink), weight, cv2.LINE_AA)


def text_size(height: int, width: int, thickness: int) -> tuple[float, int]:
    """(font scale, stroke) that go with a line thickness; smaller and thin on small pictures, yet legible."""
    largest = max(min(height, width) / 640, 0.4)
    scale = min(max(thickness, 1) / 3, largest)
    stroke = max(thickness - 1, 1) if scale >= 0.6 else 1
    return max(scale, 0.35), stroke


def contrast(ink: Colour) -> Colour:
    """Black or white, whichever is easier to read on `ink` (luma of ITU-R BT.601)."""
    luma = 0.114 * ink[0] + 0.587 * ink[1] + 0.299 * ink[2]
    return (0, 0, 0) if luma > 140 else (255, 255, 255)
