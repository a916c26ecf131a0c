"""Removal of burned-in text and overlays from ultrasound images: names, dates, settings, rulers, bars, calipers.

Outside of the insonated area all pixels become black. Inside, words found by a text detector are inpainted, and on
request also marks: letters and crosses, which are thin, sharp and of one gray level, and dotted lines. Not all
text is found: a person has to check the sheets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fulora.intake.deidentify.sector import DARK, MIN_SIDE_PX, locate_sector
from fulora.intake.deidentify.text_detection import installed_detector

TextRegion = Literal["outside", "everywhere"]
TEXT_REGIONS: tuple[TextRegion, ...] = ("outside", "everywhere")

CONTRAST = 24
"""Minimum contrast of a stroke, gray levels."""

STRONG = 70
"""Mean contrast of letters, which thin and compact echoes rarely reach."""

CLEAR = 40
"""Mean contrast of a stroke of the same word beside a letter."""

MOST_DOTS = 400
"""Maximum number of dots to examine, those of highest contrast: more are noise."""

IN_A_ROW = 5
"""Dots of a dotted line; one more if they are dark, like the nulls of speckle, or unevenly spaced."""

REACH_PX = 40.0
"""The widest gap between the dots of one line."""

Flags = Bool[np.ndarray, "h w"]
Gray = UInt8[np.ndarray, "h w"]
Values = NDArray[np.float64]
FindWords = Callable[[Gray], Flags]
"""From a gray image (h, w), 0 to 255, to the pixels of words."""


class DeidentifyError(ValueError):
    """An invalid image or setting of de-identification."""


@dataclass(frozen=True)
class CleanedPicture:
    """An image without overlays, and what was removed.

    Attributes:
        outside: pixels blanked outside of the sector that differed from the background; the others there are 0, too.
        inside: pixels inpainted inside the sector.
        sector: the insonated area; all True if it fills the image or was not found.
        confident: False if no sector was found; such an image is not blanked outside, and must be checked.
    """

    pixels: Gray
    outside: Flags
    inside: Flags
    sector: Flags
    confident: bool


@dataclass(frozen=True)
class Removal:
    """What was removed from one image.

    Attributes:
        outside_px, inside_px: pixels blanked outside and inpainted inside.
        share: both, as a share of the image, 0 to 1.
        boxes: (x, y, width, height) of each connected group of these pixels.
    """

    image_id: str
    site: str
    outside_px: int
    inside_px: int
    share: float
    boxes: tuple[tuple[int, int, int, int], ...]
    confident: bool


def describe_search(where: TextRegion | None, find_words: FindWords | None) -> str:
    """Describe where text is removed, and how it is found."""
    if where is None:
        return "nowhere: no text was searched"
    places = {"outside": "around the sector", "everywhere": "around the sector, and strokes and dots drawn on tissue"}
    words = f"words anywhere, found by {installed_detector()}" if find_words else "no text detector was used"
    return f"{places[where]}; {words}"


def remove_overlays(pixels: Gray, where: TextRegion = "outside", find_words: FindWords | None = None) -> CleanedPicture:
    """Remove overlays from a gray image (h, w), 0 to 255; deterministic.

    Args:
        where: "outside" blanks all around the sector; "everywhere" also inpaints marks on tissue.
        find_words: a text detector; its words are removed anywhere.

    Raises:
        DeidentifyError: if it is not a gray 8-bit image, or `where` is unknown.
    """
    _check(pixels)
    if where not in TEXT_REGIONS:
        raise DeidentifyError(f"where is {where!r}: allowed are {', '.join(TEXT_REGIONS)}")
    sector = locate_sector(pixels)
    out = np.where(sector.area, pixels, np.uint8(0))
    inside = np.zeros(pixels.shape, dtype=bool)
    if where == "everywhere" and min(pixels.shape) >= MIN_SIDE_PX:
        deep = cv2.erode(sector.area.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        inside = _grow(_find_marks(out, deep) | _find_marks(255 - out, deep, dots_only=True), 3)
    if find_words is not None:
        inside |= find_words(pixels) & sector.area
    if inside.any():
        out = np.asarray(cv2.inpaint(out, inside.astype(np.uint8), 3, cv2.INPAINT_TELEA))
    stood_out = cv2.absdiff(pixels, np.full_like(pixels, sector.background)) > DARK
    return CleanedPicture(out, ~sector.area & stood_out, inside, sector.area, sector.confident)


def _check(pixels: Gray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.size == 0:
        raise DeidentifyError(f"got {pixels.dtype} {pixels.shape}; an image is uint8 (h, w): read it by read_gray")


def _grow(mask: Flags, width: int) -> Flags:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((width, width), np.uint8))).astype(bool)


@dataclass(frozen=True)
class _Strokes:
    """Connected groups of seed pixels; group 0 is the background.

    Attributes:
        centre, level, spread, contrast: of each group; `spread` is the standard deviation of gray levels.
        long: variance along the group over that across it.
    """

    labels: Int[np.ndarray, "h w"]
    centre: Float[np.ndarray, "n 2"]
    level: Values
    spread: Values
    contrast: Values
    area: Values
    width: Values
    height: Values
    long: Values


def _strokes(pixels: Gray, allowed: Flags) -> _Strokes:
    seeds, contrast = _seeds(pixels)
    count, labels, boxes, centre = cv2.connectedComponentsWithStats((seeds & allowed).astype(np.uint8), connectivity=8)
    where = np.flatnonzero(labels)
    owner, gray = labels.ravel()[where], pixels.ravel()[where].astype(np.float64)
    area = np.maximum(np.bincount(owner, minlength=count), 1).astype(np.float64)

    def mean(values: Values) -> Values:
        return np.asarray(np.bincount(owner, values, count) / area)

    level = mean(gray)
    spread = np.sqrt(np.maximum(mean(gray**2) - level**2, 0))
    y, x = np.divmod(where, pixels.shape[1])
    y, x = y - centre[owner, 1], x - centre[owner, 0]
    trace, turn = mean(x * x) + mean(y * y), np.hypot(mean(x * x) - mean(y * y), 2 * mean(x * y))
    long = (trace + turn) / np.maximum(trace - turn, 1e-9)
    width, height = (boxes[:, i].astype(np.float64) for i in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    return _Strokes(
        labels, centre, level, spread, mean(contrast.ravel()[where].astype(np.float64)), area, width, height, long
    )


def _find_marks(pixels: Gray, allowed: Flags, dots_only: bool = False) -> Flags:
    groups = _strokes(pixels, allowed)
    keep = np.zeros(len(groups.area), dtype=bool)
    if not dots_only:
        keep = _letters(groups)
        keep[1:] |= (groups.contrast[1:] >= CLEAR) & _beside(groups, keep)[1:]
    dots = np.flatnonzero(_dots(groups))
    dots = np.sort(dots[np.argsort(-groups.contrast[dots], kind="stable")[:MOST_DOTS]])
    keep[dots[_in_rows(groups.centre[dots], groups.level[dots], 0.05, IN_A_ROW + dots_only)]] = True
    clear = dots[groups.contrast[dots] >= 3 * CONTRAST]
    keep[clear[_in_rows(groups.centre[clear], groups.level[clear], 0.25, IN_A_ROW + 1)]] = True
    keep[0] = False
    return np.asarray(keep[groups.labels])


def _letters(groups: _Strokes) -> Bool[np.ndarray, " n"]:
    """Return groups of the size of letters and crosses, not elongated: of high contrast, or of one level."""
    small, large = np.minimum(groups.width, groups.height), np.maximum(groups.width, groups.height)
    extent = groups.area / np.maximum(small * large, 1)
    compact = (large <= max(groups.labels.shape) / 6) & (groups.long <= np.where(small < 9, 5, 12))
    even = (small >= 5) & (groups.spread <= 12) & (extent <= 0.6)
    strong = (small >= 4) & (groups.contrast >= STRONG) & (groups.spread <= 0.45 * groups.contrast) & (extent <= 0.75)
    return np.asarray(compact & (even | strong))


def _dots(groups: _Strokes) -> Bool[np.ndarray, " n"]:
    extent = groups.area / np.maximum(groups.width * groups.height, 1)
    dots = (np.maximum(groups.width, groups.height) <= 4) & (extent >= 0.5)
    dots[0] = False
    return np.asarray(dots)


def _beside(groups: _Strokes, chosen: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Return groups within 4 pixels of the chosen ones: the rest of a word."""
    reach = groups.labels[_grow(chosen[groups.labels], 9)]
    return np.asarray(np.bincount(reach, minlength=len(chosen)) > 0)


def _seeds(pixels: Gray) -> tuple[Flags, Gray]:
    """Return thin, bright and sharp pixels, falling by 70 % of their contrast within one pixel; and the contrast."""
    contrast = cv2.subtract(pixels, cv2.morphologyEx(pixels, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)))
    step = cv2.subtract(pixels, cv2.erode(pixels, np.ones((3, 3), np.uint8)))
    usual = cv2.blur(step, (31, 31))
    strong = (contrast >= CONTRAST) & (contrast > 3.25 * usual.astype(np.float32))
    return strong & (step >= 0.7 * contrast.astype(np.float32)), contrast


def _in_rows(
    centres: Float[np.ndarray, "n 2"], level: Float[np.ndarray, " n"], uneven: float, least: int
) -> Int[np.ndarray, " m"]:
    """Return the numbers of dots of similar levels in rows of at least `least`.

    Each dot must continue the two before it, within 1.5 pixels and the share `uneven` of their distance.
    """
    if len(centres) < least:
        return np.zeros(0, dtype=np.int64)
    tree = cKDTree(centres)
    pairs = tree.query_pairs(REACH_PX, output_type="ndarray")
    first, second = np.vstack([pairs, pairs[:, ::-1]]).T
    step = centres[second] - centres[first]
    length = np.hypot(step[:, 0], step[:, 1])
    ok = (length >= 3) & (np.abs(level[first] - level[second]) <= 30)
    first, second, step, length = first[ok], second[ok], step[ok], length[ok]
    ends = centres[second] + step
    gap, third = tree.query(ends)
    good = (gap <= 1.5 + uneven * length) & (np.abs(level[third] - level[second]) <= 30) & (third != first)
    first, second, third = first[good], second[good], third[good]
    follows = {(a, b): c for a, b, c in zip(first.tolist(), second.tolist(), third.tolist(), strict=True)}
    rows: dict[tuple[int, int], tuple[int, ...]] = {pair: (*pair, third) for pair, third in follows.items()}
    for _ in range(least - 3):
        rows = {pair: (*row, follows[row[-2], row[-1]]) for pair, row in rows.items() if row[-2:] in follows}
    return np.unique(np.array(list(rows.values()), dtype=np.int64).reshape(-1))


def describe_removal(cleaned: CleanedPicture, image_id: str, site: str) -> Removal:
    """Return the audit row of one cleaned image."""
    removed = cleaned.outside | cleaned.inside
    _, _, boxes, _ = cv2.connectedComponentsWithStats(removed.astype(np.uint8), connectivity=8)
    rectangles = tuple((int(x), int(y), int(w), int(h)) for x, y, w, h, _ in boxes[1:])
    outside, inside = int(cleaned.outside.sum()), int(cleaned.inside.sum())
    return Removal(image_id, site, outside, inside, float(removed.mean()), rectangles, cleaned.confident)
