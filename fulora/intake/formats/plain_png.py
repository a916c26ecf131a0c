"""The common kind of PNG, 8-bit gray or RGB, decoded by OpenCV in half of Pillow's time."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from fulora.intake.formats.decode import MAX_PIXELS

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB = 0, 2
CHANGES_PIXELS = (b"tRNS", b"eXIf", b"acTL")
"""Chunks that change the meaning of pixels: transparency, orientation, animation."""


def read_plain_png(path: Path) -> UInt8[np.ndarray, "..."] | None:
    """Return the stored pixels, (height, width) or (height, width, 3) in any order of colours.

    None for any other file, damaged ones included: the checksum of every chunk is verified. Read those with
    `read_gray`, which raises the error.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not _is_plain(content):
        return None
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if pixels is None or pixels.dtype != np.uint8 else np.asarray(pixels)


def _is_plain(content: bytes) -> bool:
    if content[:8] != SIGNATURE or content[12:16] != b"IHDR" or len(content) < 33:
        return False
    width, height, depth, colour = struct.unpack_from(">2I2B", content, 16)
    if depth != 8 or colour not in (GRAY, RGB) or not 0 < width * height <= MAX_PIXELS:
        return False
    place = len(SIGNATURE)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        kind, end = content[place + 4 : place + 8], place + 8 + length
        if end + 4 > len(content) or kind in CHANGES_PIXELS:
            return False
        if zlib.crc32(memoryview(content)[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            return False
        if kind == b"IEND":
            return True
        place = end + 4
    return False
