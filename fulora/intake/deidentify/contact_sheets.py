"""Contact sheets for review: PNG pages of images with their names, in labelled columns.

A page is written as soon as it is full, so that memory does not grow with the number of images.
"""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as Pil
from PIL import ImageDraw, ImageFont

PAGE_PX = 1920
"""Width of a page."""

GAP_PX = 6
HEADER_PX = 34
CAPTION_PX = 24
PAPER, INK, RED = (60, 60, 60), (255, 255, 255), (255, 0, 0)

Tile = UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"]
Page = UInt8[np.ndarray, "page_h page_w 3"]


@dataclass(frozen=True)
class SheetLayout:
    """The layout of a page.

    Attributes:
        columns: labels of the tiles of one image, from left to right.
        across, down: images per row and column.
    """

    columns: tuple[str, ...]
    across: int
    down: int

    @property
    def tile(self) -> tuple[int, int]:
        """Maximum width and height of a tile, pixels."""
        width = PAGE_PX // (self.across * len(self.columns)) - GAP_PX
        return width, width * 3 // 4

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of one image's tiles and their caption, pixels."""
        return PAGE_PX // self.across, self.tile[1] + CAPTION_PX + GAP_PX


CHANGES = SheetLayout(("before", "after", "removed (red)"), across=1, down=4)
FRAMES = SheetLayout(("before", "after", "removed (red)"), across=2, down=8)
"""Of a cine, smaller."""

PLAIN = SheetLayout(("nothing removed",), across=4, down=5)


@dataclass
class ContactSheets:
    """Pages `<name>-0001.png`, ... of one layout.

    Attributes:
        folder: of the pages; created with the first page.
        pages: SHA-256 of every written page, by file name.
    """

    folder: Path
    name: str
    layout: SheetLayout
    pages: dict[str, str] = field(default_factory=dict)
    _page: Page | None = None
    _count: int = 0

    def add(self, caption: str, tiles: Sequence[Tile], note: str = "") -> str:
        """Add an image to the page; return the file name of that page.

        Args:
            caption: name of the image; characters beyond ASCII are escaped, so that names remain distinct.
        """
        if self._page is None:
            self._page = self._empty()
        row, place = divmod(self._count, self.layout.across)
        (width, height), (tile_width, _) = self.layout.cell, self.layout.tile
        top, left = HEADER_PX + row * height, place * width
        for number, tile in enumerate(tiles):
            shown = _fitted(tile, self.layout.tile)
            x = left + number * (tile_width + GAP_PX)
            self._page[top + CAPTION_PX :][: shown.shape[0], x : x + shown.shape[1]] = shown
        name = caption.encode("ascii", "backslashreplace").decode().replace("\n", "\\n")
        _write_on(self._page, (left + 4, top + 2), f"{name}  {note}".rstrip(), width - 8)
        page = self._file_name()
        self._count += 1
        if self._count == self.layout.across * self.layout.down:
            self.close()
        return page

    def close(self) -> None:
        """Write the last, incomplete page, if there is one."""
        if self._page is None:
            return
        rows = -(-self._count // self.layout.across)
        used = self._page[: HEADER_PX + rows * self.layout.cell[1]]
        buffer = io.BytesIO()
        Pil.fromarray(used).save(buffer, "PNG", compress_level=2)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / self._file_name()).write_bytes(buffer.getbuffer())
        self.pages[self._file_name()] = hashlib.sha256(buffer.getbuffer()).hexdigest()
        self._page, self._count = None, 0

    def _file_name(self) -> str:
        return f"{self.name}-{len(self.pages) + 1:04d}.png"

    def _empty(self) -> Page:
        page = np.full((HEADER_PX + self.layout.down * self.layout.cell[1], PAGE_PX, 3), PAPER, dtype=np.uint8)
        for place in range(self.layout.across):
            for number, label in enumerate(self.layout.columns):
                x = place * self.layout.cell[0] + number * (self.layout.tile[0] + GAP_PX)
                _write_on(page, (x + 4, 6), label, self.layout.tile[0] - 200 // self.layout.across)
        page_name = f"{self.name} {len(self.pages) + 1}"
        _write_on(page, (PAGE_PX - int(_font().getlength(page_name)) - 8, 6), page_name, PAGE_PX)
        return page


def mark_removed(before: Tile, removed: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the darkened image, with removed pixels in red."""
    shown = _rgb(before) // 2
    shown[removed] = RED
    return shown


def _rgb(tile: Tile) -> UInt8[np.ndarray, "h w 3"]:
    return tile if tile.ndim == 3 else np.repeat(tile[:, :, None], 3, axis=2)


def _fitted(tile: Tile, most: tuple[int, int]) -> UInt8[np.ndarray, "new_h new_w 3"]:
    height, width = tile.shape[:2]
    scale = min(1.0, most[0] / width, most[1] / height)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    return np.asarray(cv2.resize(_rgb(tile), size, interpolation=cv2.INTER_AREA))


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=17)


def _write_on(page: Page, at: tuple[int, int], text: str, width_px: int) -> None:
    """Write a line of text; the beginning of a line that is too long is dropped."""
    font = _font()
    if font.getlength(text) > width_px:
        while len(text) > 1 and font.getlength("..." + text) > width_px:
            text = text[1:]
        text = "..." + text
    x, y = at
    strip = Pil.fromarray(page[y : y + CAPTION_PX - 2])
    ImageDraw.Draw(strip).text((x, 0), text, fill=INK, font=font)
    page[y : y + CAPTION_PX - 2] = np.asarray(strip)
