"""The pixel spacing in the headers of MHA and NIfTI masks, compared with that of a measurement."""

import math
from pathlib import Path

from fulora.intake.formats.metaimage import mha_spacing
from fulora.intake.formats.nifti import nifti_spacing

TOLERANCE = 0.01


def mask_spacing(path: Path) -> tuple[float, float] | None:
    """Return the (x, y) spacing in mm in a mask's header; None for pictures, and where it is missing or 1 x 1.

    Raises:
        SourceError: if the header of an MHA or NIfTI file cannot be read.
    """
    name = path.name.lower()
    if name.endswith(".mha"):
        spacing = mha_spacing(path)
    elif name.endswith((".nii", ".nii.gz")):
        spacing = nifti_spacing(path)
    else:
        return None
    if len(spacing) != 2 or spacing == (1.0, 1.0) or not all(math.isfinite(side) and side > 0 for side in spacing):
        return None
    return spacing[0], spacing[1]


def spacing_conflict(path: Path, mm_xy: tuple[float, float]) -> str:
    """Describe spacings of a mask's file and the list of pixel sizes that differ by more than 1 %; "" if they agree.

    Args:
        mm_xy: mm per pixel of the mask in x and y, by the list.

    Raises:
        SourceError: as `mask_spacing`.
    """
    own = mask_spacing(path)
    if own is None or all(
        math.isclose(side, listed, rel_tol=TOLERANCE) for side, listed in zip(own, mm_xy, strict=True)
    ):
        return ""
    return f"{_text(own)} mm per pixel in the file, {_text(mm_xy)} in the list; the list is used"


def shape_conflict(path: Path, scale_xy: tuple[float, float]) -> str:
    """Describe a spacing of a mask's file whose aspect differs from that used for angles; "" if they agree.

    Args:
        scale_xy: size of the original / of the mask in x and y.

    Raises:
        SourceError: as `mask_spacing`.
    """
    own = mask_spacing(path)
    if own is None or math.isclose(own[0] / own[1], scale_xy[0] / scale_xy[1], rel_tol=TOLERANCE):
        return ""
    taken = f"{scale_xy[0] / scale_xy[1]:.4g}"
    return f"{_text(own)} mm per pixel in the file is not used: width / height of a pixel is taken as {taken}"


def _text(sides: tuple[float, float]) -> str:
    return f"{sides[0]:.4g} x {sides[1]:.4g}"
