"""Take burned-in text and overlays out of ultrasound pictures: names, dates, settings, rulers, bars, calipers.

Outside the insonated area everything becomes black. Inside it, words that a text detector finds are painted over with
their surroundings, and on request what is drawn: letters and crosses, which are thin, sharp and of one level, and dots
that stand in a row. It finds most of it, not all: a person has to look at the sheets.
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
"""Gray levels by which a drawn stroke stands out of its surroundings."""

STRONG = 70
"""Mean contrast of letters; echoes as thin and compact rarely reach it."""

CLEAR = 40
"""Mean contrast of a stroke beside a letter that belongs to its word."""

MOST_DOTS = 400
"""No more dots than these, the clearest, are looked at: more are noise."""

IN_A_ROW = 5
"""As many dots make a dotted line; one more if they are dark, as the nulls of speckle are, or unevenly set."""

REACH_PX = 40.0
"""The widest gap between the dots of one line."""

Flags = Bool[np.ndarray, "h w"]
Gray = UInt8[np.ndarray, "h w"]
Values = NDArray[np.float64]
FindWords = Callable[[Gray], Flags]
"""From a gray picture (h, w), 0 to 255, to where words stand in it."""


class DeidentifyError(ValueError):
    """A picture or a choice that de-identification cannot take."""


@dataclass(frozen=True)
class CleanedPicture:
    """A picture without overlays, and what was taken.

    Attributes:
        pixels: (h, w) the cleaned picture.
        outside: pixels blanked outside the sector that stood out of the background; all others there are 0 as well.
        inside: pixels painted over inside the sector.
        sector: the insonated area; all True where it fills the picture or was not found.
        confident: False where no sector was found; such a picture is kept whole outside, so it must be looked at.
    """

    pixels: Gray
    outside: Flags
    inside: Flags
    sector: Flags
    confident: bool


@dataclass(frozen=True)
class Removal:
    """What was taken from one picture.

    Attributes:
        outside_px, inside_px: pixels blanked outside and painted over inside.
        share: both, as a share of the picture, 0 to 1.
        boxes: (x, y, width, height) of each connected group of them.
    """

    image_id: str
    site: str
    outside_px: int
    inside_px: int
    share: float
    boxes: tuple[tuple[int, int, int, int], ...]
    confident: bool


def find_sector(pixels: Gray) -> Flags:
    """The insonated area of a picture; all True where the scan fills it or no sector can be told.

    Raises:
        DeidentifyError: not a gray 8-bit picture.
    """
    _check(pixels)
    return locate_sector(pixels).area


def describe_search(where: TextRegion | None, find_words: FindWords | None) -> str:
    """Where text is removed, and how it is found, in words."""
    if where is None:
        return "nowhere: no text was looked for"
    places = {"outside": "around the sector", "everywhere": "around the sector, and strokes and dots drawn on tissue"}
    words = f"words anywhere, found by {installed_detector()}" if find_words else "no text detector was used"
    return f"{places[where]}; {words}"


def remove_overlays(pixels: Gray, where: TextRegion = "outside", find_words: FindWords | None = None) -> CleanedPicture:
    """Take overlays out of a gray picture (h, w), 0 to 255; the same picture gives the same bytes.

    Args:
        where: "outside" blanks what lies around the sector; "everywhere" also paints over what is drawn on tissue.
        find_words: a text detector; the words that it finds are removed wherever they stand.

    Raises:
        DeidentifyError: not a gray 8-bit picture, or an unknown `where`.
    """
    _check(pixels)
    if where not in TEXT_REGIONS:
        raise DeidentifyError(f"where is {where!r}: allowed are {', '.join(TEXT_REGIONS)}")
    sector = locate_sector(pixels)
    out = np.where(sector.area, pixels, np.uint8(0))
    inside = np.zeros(pixels.shape, dtype=bool)
    if where == "everywhere" and min(pixels.shape) >= MIN_SIDE_PX:
        deep = cv2.erode(sector.area.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        inside = _grow(_drawn(out, deep) | _drawn(255 - out, deep, dots_only=True), 3)
    if find_words is not None:
        inside |= find_words(pixels) & sector.area
    if inside.any():
        out = np.asarray(cv2.inpaint(out, inside.astype(np.uint8), 3, cv2.INPAINT_TELEA))
    stood_out = cv2.absdiff(pixels, np.full_like(pixels, sector.background)) > DARK
    return CleanedPicture(out, ~sector.area & stood_out, inside, sector.area, sector.confident)


def _check(pixels: Gray) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.size == 0:
        raise DeidentifyError(f"got {pixels.dtype} {pixels.shape}; a picture is uint8 (h, w): read it with read_gray")


def _grow(mask: Flags, width: int) -> Flags:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((width, width), np.uint8))).astype(bool)


@dataclass(frozen=True)
class _Strokes:
    """Connected groups of seed pixels; group 0 is the rest.

    Attributes:
        labels: (h, w), the group of every pixel.
        centre, level, spread, contrast: of each group; gray levels, and their standard deviation.
        area, width, height: pixels.
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


def _drawn(pixels: Gray, allowed: Flags, dots_only: bool = False) -> Flags:
    """Bright strokes of letters, crosses and dotted lines."""
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
    """Groups as wide as letters and crosses, not drawn out as echoes are: of high contrast, or of one level."""
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
    """Groups within 4 pixels of the chosen ones: the rest of a word."""
    reach = groups.labels[_grow(chosen[groups.labels], 9)]
    return np.asarray(np.bincount(reach, minlength=len(chosen)) > 0)


def _seeds(pixels: Gray) -> tuple[Flags, Gray]:
    """Pixels that are thin, bright and sharp, falling by 70 % of their contrast within one pixel; the contrast."""
    contrast = cv2.subtract(pixels, cv2.morphologyEx(pixels, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)))
    step = cv2.subtract(pixels, cv2.erode(pixels, np.ones((3, 3), np.uint8)))
    usual = cv2.blur(step, (31, 31))
    strong = (contrast >= CONTRAST) & (contrast > 3.25 * usual.astype(np.float32))
    return strong & (step >= 0.7 * contrast.astype(np.float32)), contrast


def _in_rows(
    centres: Float[np.ndarray, "n 2"], level: Float[np.ndarray, " n"], uneven: float, least: int
) -> Int[np.ndarray, " m"]:
    """Numbers of the dots of like levels that stand `least` in a row.

    Each must stand where the two before it point, to 1.5 pixels and the share `uneven` of their gap.
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
    """The audit row of one cleaned picture."""
    taken = cleaned.outside | cleaned.inside
    _, _, boxes, _ = cv2.connectedComponentsWithStats(taken.astype(np.uint8), connectivity=8)
    found = tuple((int(x), int(y), int(w), int(h)) for x, y, w, h, _ in boxes[1:])
    outside, inside = int(cleaned.outside.sum()), int(cleaned.inside.sum())
    return Removal(image_id, site, outside, inside, float(taken.mean()), found, cleaned.confident)
