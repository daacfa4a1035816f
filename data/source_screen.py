"""Pictures of the screen (needs a display and the optional package `mss`)."""

import os
import re
import sys
from collections.abc import Iterator

import numpy as np

from utils.errors import UserError
from utils.extras import require
from utils.frames import Frame

PATTERN = re.compile(r"screen(\s+-?\d+)*", re.IGNORECASE)
FORMS = {0: (), 1: ("n",), 4: ("left", "top", "width", "height"), 5: ("n", "left", "top", "width", "height")}


class ScreenSource:
    """`screen [n] [left top width height]`: a part of monitor n (0 = all monitors together), without an end.

    left and top count from the monitor's corner. A missing display, package or monitor is a `UserError`.
    """

    def __init__(self, text: str, stride: int = 1) -> None:
        numbers = [int(word) for word in text.split()[1:]]
        if len(numbers) not in FORMS:
            raise UserError(f"--source '{text}': give screen, screen n, or screen [n] left top width height")
        self.area = dict(zip(FORMS[len(numbers)], numbers))
        self.text = text
        self.stride = stride
        if not has_display():
            raise UserError(f"--source '{text}': no display was found; DISPLAY and WAYLAND_DISPLAY are not set")
        self.grabber = require("mss", f"--source '{text}'").mss()
        self.region = self._find_region()

    def __iter__(self) -> Iterator[list[Frame]]:
        index = 0
        while True:
            index += 1
            if index % self.stride == 0:
                pixels = np.asarray(self.grabber.grab(self.region))[:, :, :3]  # BGRA
                yield [Frame(np.ascontiguousarray(pixels), self.text, "stream", index)]

    def close(self) -> None:
        """Let go of the display."""
        self.grabber.close()

    def _find_region(self) -> dict[str, int]:
        monitors, number = self.grabber.monitors, self.area.get("n", 0)
        if not 0 <= number < len(monitors):
            raise UserError(f"--source '{self.text}': monitor {number} is not there; 0..{len(monitors) - 1} are")
        monitor = monitors[number]
        return {
            "left": monitor["left"] + self.area.get("left", 0),
            "top": monitor["top"] + self.area.get("top", 0),
            "width": self.area.get("width", monitor["width"]),
            "height": self.area.get("height", monitor["height"]),
        }


def has_display() -> bool:
    """Whether a window could be shown: on Linux only with DISPLAY or WAYLAND_DISPLAY set."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
