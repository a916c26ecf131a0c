"""The insonated area of an ultrasound image: the area of the beam, without the screen around it.

Tissue has soft borders of fading speckle; letters, rulers and bars have sharp ones. So strokes are removed from the lit
pixels, groups with soft borders are kept, and the area is their convex hull, which includes black shadows and fluid. If
two straight beams bound the hull, it is completed to the fan as far as tissue extends sideways and down.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

MIN_SIDE_PX = 32
"""No sector is searched in smaller images."""

DIM = 6
"""Gray levels above the background of pixels that are classified as tissue or letters."""

DARK = 2
"""Tolerance of the background's gray level."""

LARGE = 0.008
"""Share of the image that no letter covers after the removal of strokes."""

BRIGHT = 50
"""Gray levels above the background that letters reach, but not weak echoes."""

BLOCK = 17
"""Width in pixels of the faint compression blocks around marks."""

MIN_AREA = 0.08
MIN_FILL = 0.35
"""Least share of the image, and of tissue in the hull, of a confident sector."""

Values = NDArray[np.float64]
Points = Float[np.ndarray, "_ 2"]
Point = Float[np.ndarray, "2"]
Mask = UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class Sector:
    """The insonated area.

    Attributes:
        area: (h, w), True inside; all True if the scan fills the image or no sector was found.
        confident: False if no sector was found.
        background: gray level of the screen around it.
    """

    area: Bool[np.ndarray, "h w"]
    confident: bool
    background: int = 0


def locate_sector(pixels: UInt8[np.ndarray, "h w"]) -> Sector:
    """Locate the insonated area; return the whole image, not confident, if no area meets the criteria."""
    side = min(pixels.shape)
    whole = np.ones(pixels.shape, dtype=bool)
    if side < MIN_SIDE_PX:
        return Sector(whole, confident=False)
    background = _background(pixels)
    above = cv2.absdiff(pixels, np.full_like(pixels, background))
    lit = (above > DIM).astype(np.uint8)
    tissue = _soft(_groups(_without_strokes(lit, side), above, lit))
    if not tissue.any():
        return Sector(whole, confident=False, background=background)
    lit = (above > DARK).astype(np.uint8)
    rest = _groups(lit & ~_grow(tissue, 3), above, lit)
    tissue |= _faint(rest)
    tissue |= _skin_lines(rest, tissue)
    area = _area(tissue, lit)
    confident = area.mean() >= MIN_AREA and np.count_nonzero(tissue) >= MIN_FILL * np.count_nonzero(area)
    return Sector(area if confident else whole, bool(confident), background)


def _background(pixels: Mask) -> int:
    """Return the most common dark level along the border; 0 if no level is common."""
    border = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel(), pixels[:, -3:].ravel()])
    counts = np.bincount(border, minlength=256)
    level = int(counts.argmax())
    return level if level <= 64 and counts[level] >= 0.12 * border.size else 0


def _without_strokes(lit: Mask, side: int) -> Mask:
    """Remove strokes thinner than 1/50 of the shorter side from the lit pixels."""
    width = max(7, side // 50) | 1
    dense = (cv2.blur(lit * np.uint8(255), (width, width)) > 217).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return np.asarray(cv2.dilate(dense, disc) & lit)


def _grow(mask: Mask, width: int) -> Mask:
    return np.asarray(cv2.dilate(mask, np.ones((width, width), np.uint8)))


@dataclass(frozen=True)
class _Groups:
    """Connected groups of pixels; group 0 is the background.

    Attributes:
        area, width, extent: pixels, width of the bounding box, and the share of it that they fill.
        bright: share of the pixels above BRIGHT.
        sharp: share of the border pixels towards the dark where the gray rises within two pixels to half the group's
            mean (8 to 30 levels).
        huge: more than 15 % of the image; its other attributes are not measured.
    """

    labels: NDArray[np.int32]
    area: Values
    width: Values
    extent: Values
    bright: Values
    sharp: Values
    huge: Bool[np.ndarray, " n"]

    def take(self, chosen: Bool[np.ndarray, " n"]) -> Mask:
        """Return the pixels of the chosen groups."""
        return np.asarray((chosen & (np.arange(len(chosen)) > 0)).astype(np.uint8)[self.labels])


def _groups(mask: Mask, above: Mask, lit: Mask) -> _Groups:
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    area = np.maximum(boxes[:, cv2.CC_STAT_AREA], 1).astype(np.float64)  # the background is 0 if a mask fills the image
    huge = area > 0.15 * mask.size
    huge[0] = True
    small = np.flatnonzero((~huge)[labels])
    owner, gray = labels.ravel()[small], above.ravel()[small]
    mean = np.bincount(owner, gray, count) / area
    bright = np.bincount(owner[gray > BRIGHT], minlength=count) / area
    border = small[_grow(1 - lit, 3).ravel()[small] > 0]
    owner = labels.ravel()[border]
    rises = _grow(above, 5).ravel()[border] >= np.clip(0.5 * mean, 8, 30)[owner]
    sharp = np.bincount(owner[rises], minlength=count) / np.maximum(np.bincount(owner, minlength=count), 1)
    width = boxes[:, cv2.CC_STAT_WIDTH].astype(np.float64)
    extent = area / np.maximum(width * boxes[:, cv2.CC_STAT_HEIGHT], 1)
    return _Groups(labels, area, width, extent, bright, sharp, huge)


def _soft(groups: _Groups) -> Mask:
    """Return groups of tissue: huge, large, or with soft borders, but no filled rectangles."""
    size = groups.labels.size
    open_shape = groups.extent <= 0.85
    soft = (groups.sharp < 0.75) & (groups.area >= max(30, 3e-4 * size))
    return groups.take((soft | (groups.area > LARGE * size)) & open_shape | groups.huge)


def _faint(groups: _Groups) -> Mask:
    """Return groups of weak echoes: soft and not bright, and not beside bright ones, as artefacts of letters are."""
    drawn = (groups.bright > 0.05) & ~groups.huge
    size = groups.labels.size
    soft = (groups.sharp < 0.5) & (groups.area >= max(12, 3e-5 * size))
    wide = (groups.area > LARGE * size) & (groups.extent > 0.2)
    faint = ~drawn & (soft | wide)
    return np.asarray(groups.take(faint) & ~_grow(groups.take(drawn), BLOCK))


def _skin_lines(groups: _Groups, tissue: Mask) -> Mask:
    """Return groups of echoes of the transducer's face: thin arcs about the apex, from beam to beam."""
    chosen = np.zeros(len(groups.area), dtype=bool)
    fan = _fan(_hull(tissue), tissue)
    if fan is None:
        return groups.take(chosen)
    apex, outline = fan
    face, side = float(np.hypot(*(outline[0] - apex))), min(tissue.shape)
    opening = np.arctan2(*(outline[[0, -1]] - apex).T)
    chord = float(np.hypot(*(outline[-1] - outline[0])))
    for number in np.flatnonzero((groups.width >= 0.4 * chord) & (groups.width <= 1.5 * chord) & ~groups.huge):
        radius, angle = np.hypot(*(at := np.argwhere(groups.labels == number)[:, ::-1] - apex).T), np.arctan2(*at.T)
        near_face = face - 0.06 * side <= radius.min() and radius.max() <= face + 0.06 * side
        thin = np.ptp(radius) <= 0.05 * side and near_face
        across = np.ptp(angle) >= 0.5 * np.ptp(opening)
        chosen[number] = thin and across and bool(np.abs(angle - opening.mean()).max() <= 0.55 * np.ptp(opening))
    return groups.take(chosen)


def _hull(tissue: Mask) -> Points:
    outlines, _ = cv2.findContours(tissue, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return np.asarray(cv2.convexHull(np.vstack(outlines))[:, 0].astype(np.float64))


def _area(tissue: Mask, lit: Mask) -> Bool[np.ndarray, "h w"]:
    """Return the hull of the tissue, completed to a fan, cut at the transducer's face, and dilated by one pixel."""
    hull = _hull(tissue)
    area = np.zeros_like(tissue)
    cv2.fillConvexPoly(area, hull.astype(np.int32), 1)
    fan = _fan(hull, tissue)
    if fan is not None:
        apex, outline = fan
        whole = np.zeros_like(tissue)
        cv2.fillConvexPoly(whole, np.rint(outline).astype(np.int32), 1)
        left, top, width, height = cv2.boundingRect(hull.astype(np.int32))
        whole[:top], whole[top + height :], whole[:, :left], whole[:, left + width :] = 0, 0, 0, 0
        if np.count_nonzero(whole) < 1.6 * np.count_nonzero(area):
            area |= whole
        edge = np.argwhere(tissue & _grow(1 - tissue, 3))[:, ::-1]
        face = float(np.hypot(*(edge - apex).T).min()) - 2
        if face >= 1:
            _cut_face(area, lit, apex, int(face))
    return _grow(area, 3).astype(bool)


def _cut_face(area: Mask, lit: Mask, apex: Float[np.ndarray, " 2"], radius: int) -> None:
    """Remove from `area` the part between the transducer and its skin line, unless half of it is lit like tissue."""
    disc = np.zeros_like(area)
    cv2.circle(disc, (round(float(apex[0])), round(float(apex[1]))), radius, 1, cv2.FILLED)
    disc &= area
    if 2 * np.count_nonzero(disc & lit) < np.count_nonzero(disc):
        area[disc > 0] = 0


def _fan(hull: Points, tissue: Mask) -> tuple[Point, Points] | None:
    """Return apex and outline of the fan between the hull's straight left and right beams; None if there is none."""
    left, right = _beam(hull, tissue, -1), _beam(hull, tissue, 1)
    if left is None or right is None:
        return None
    (start, along), (other, across) = left, right
    matrix = np.column_stack([along, -across])
    if abs(np.linalg.det(matrix)) < 0.1:
        return None
    apex = start + along * np.linalg.solve(matrix, other - start)[0]
    if apex[1] > hull[:, 1].min() + 0.1 * min(tissue.shape):
        return None
    radius = np.hypot(*(hull - apex).T)
    first, last = math.atan2(along[0], along[1]), math.atan2(across[0], across[1])
    angle = np.linspace(first, last, 64)
    arc = apex + radius.max() * np.column_stack([np.sin(angle), np.cos(angle)])
    return apex, np.vstack([apex + radius.min() * along, arc, apex + radius.min() * across])


def _beam(hull: Points, tissue: Mask, side: int) -> tuple[Point, Point] | None:
    """Return a point and the downward direction of the hull's longest straight edge along tissue."""
    height, width = tissue.shape
    near = _grow(tissue, 5)
    best, beam = 0.0, None
    for start, end in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        along = (end - start) * (1 if end[1] > start[1] else -1)
        length = math.hypot(*along)
        middle = (start + end) / 2
        outer = min(middle[0], middle[1], width - 1 - middle[0], height - 1 - middle[1]) < 2
        if (
            length < 0.2 * min(height, width)
            or outer
            or not 3 <= math.degrees(math.atan2(side * along[0], along[1])) <= 75
            or side * (middle[0] - hull[:, 0].mean()) < 0
        ):
            continue
        points = np.rint(start + np.linspace(0.02, 0.98, int(length))[:, None] * (end - start)).astype(int)
        support = float(near[points[:, 1], points[:, 0]].mean())
        if support >= 0.6 and support * length > best:
            best = support * length
            beam = (start, along / length)
    return beam
