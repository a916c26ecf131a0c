"""Words in images, found by the text detector of RapidOCR (PP-OCRv6), whose weights are in its wheel.

It is installed with `fulora[text]`, needs no network, and only detects boxes: no text is recognised.
"""

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

LEAST_SCORE = 0.35
"""Boxes with a lower score are ignored."""

TALLEST = 0.13
"""Maximum height of a line of text, as a share of the image's shorter side: larger boxes are tissue."""

SIDE_PX = 736
"""Shorter side to which images are enlarged for the detector, so that small text is found."""

MARGIN_PX = 3


class NoDetectorError(ValueError):
    """The text detector is requested, but not installed."""


def installed_detector() -> str:
    """Return name and version of the text detector; empty if it is not installed."""
    is_installed = all(find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))
    return f"rapidocr {metadata.version('rapidocr')}" if is_installed else ""


def with_text_detector(settings: Mapping[str, object]) -> dict[str, object]:
    """Return settings of `CurateConfig` with the text detector, if it is installed and text is searched for."""
    used = installed_detector() and settings.get("deidentify") != "nothing"
    return ({"text_detector": "rapidocr"} if used else {}) | dict(settings)


def require_detector() -> None:
    """Raise NoDetectorError if the text detector is not installed."""
    if not installed_detector():
        raise NoDetectorError("text_detector=rapidocr: not installed; pip install 'fulora[text]', or use none")


def find_words(pixels: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Find lines of text in a gray image: True in the boxes around them.

    Raises:
        NoDetectorError: if the detector is not installed.
    """
    boxes = np.zeros(pixels.shape, dtype=np.uint8)
    if min(pixels.shape) < 16:
        return boxes.astype(bool)
    result = _engine()(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    for box in result.boxes if result.boxes is not None else ():
        sides = np.hypot(*(np.roll(box, -1, axis=0) - box).T)
        if sides.min() <= TALLEST * min(pixels.shape):
            cv2.fillPoly(boxes, [np.rint(box).astype(np.int32)], 1)
    return np.asarray(cv2.dilate(boxes, np.ones((2 * MARGIN_PX + 1, 2 * MARGIN_PX + 1), np.uint8))).astype(bool)


@cache
def _engine() -> Any:
    """Return the detector on one thread, since images are cleaned in parallel."""
    require_detector()
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    only_boxes = {"Global.use_cls": False, "Global.use_rec": False, "Global.log_level": "error"}
    return RapidOCR(params=only_boxes | threads | {"Det.limit_side_len": SIDE_PX, "Det.box_thresh": LEAST_SCORE})
