"""The pixel spacing that MHA and NIfTI masks state themselves, against what a measurement takes it for."""

import math
from pathlib import Path

from fulora.intake.formats.metaimage import mha_spacing
from fulora.intake.formats.nifti import nifti_spacing

TOLERANCE = 0.01


def mask_spacing(path: Path) -> tuple[float, float] | None:
    """The (x, y) spacing in mm that a mask's file states; None of pictures, of 1 x 1, and where it is not stated.

    Raises:
        SourceError: an MHA or NIfTI file whose header cannot be read.
    """
    name = path.name.lower()
    if name.endswith(".mha"):
        found = mha_spacing(path)
    elif name.endswith((".nii", ".nii.gz")):
        found = nifti_spacing(path)
    else:
        return None
    if len(found) != 2 or found == (1.0, 1.0) or not all(math.isfinite(side) and side > 0 for side in found):
        return None
    return found[0], found[1]


def spacing_conflict(path: Path, mm_xy: tuple[float, float]) -> str:
    """What a mask's file and the list of pixel sizes say, where they differ by more than 1 %; "" where they agree.

    Args:
        mm_xy: mm a pixel of the mask in x and y, by the list.

    Raises:
        SourceError: as `mask_spacing`.
    """
    own = mask_spacing(path)
    if own is None or all(
        math.isclose(mine, listed, rel_tol=TOLERANCE) for mine, listed in zip(own, mm_xy, strict=True)
    ):
        return ""
    return f"the file says {_text(own)} mm a pixel, the list {_text(mm_xy)}; the list counts"


def shape_conflict(path: Path, scale_xy: tuple[float, float]) -> str:
    """What a mask's file says of pixels that are not of the shape which angles take them for; "" where they agree.

    Args:
        scale_xy: size of the original / of the mask in x and y.

    Raises:
        SourceError: as `mask_spacing`.
    """
    own = mask_spacing(path)
    if own is None or math.isclose(own[0] / own[1], scale_xy[0] / scale_xy[1], rel_tol=TOLERANCE):
        return ""
    taken = f"{scale_xy[0] / scale_xy[1]:.4g}"
    return f"the file says {_text(own)} mm a pixel, which is not used: width / height of a pixel is taken as {taken}"


def _text(sides: tuple[float, float]) -> str:
    return f"{sides[0]:.4g} x {sides[1]:.4g}"
