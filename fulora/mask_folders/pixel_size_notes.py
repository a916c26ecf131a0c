"""Notes on the pixel sizes of masks that are scored: implausible fields of view, and stated pixel spacings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.intake.masks.spacing import mask_spacing
from fulora.intake.raw_image import SourceError
from fulora.progress import note
from fulora.segmentation.challenge_protocols import CaseScores


def note_pixel_sizes(scored: Sequence[Sequence[CaseScores]]) -> dict[str, list[str]]:
    """Return the cases with a doubtful field of view or stated spacing, and print a note of them; empty without any.

    Args:
        scored: the cases of each prediction.
    """
    doubts: dict[str, list[str]] = {}
    if views := [f"{case.case}: {case.view}" for case in scored[0] if case.view]:
        note(
            f"{len(views)} cases have a field of view that no fetal scan has, such as {views[0]}; "
            "are the pixel sizes right?"
        )
        doubts["odd_fields_of_view"] = views
    if spacings := [f"{case.case}: {case.spacing}" for cases in scored for case in cases if case.spacing]:
        note(f"{len(spacings)} cases have files that state another pixel spacing, such as {spacings[0]}")
        doubts["file_spacings"] = spacings
    return doubts


def note_unused_spacing(folders: Sequence[Mapping[str, Path]]) -> None:
    """Print a note if distances are in pixels although files state their pixel spacing."""
    files = [path for folder in folders for path in folder.values()]
    stated = {path: spacing for path in files if (spacing := _stated_spacing(path))}
    if stated:
        path, (across, down) = next(iter(stated.items()))
        note(
            f"{len(stated)} masks state a pixel spacing, such as {path} {across:.4g} x {down:.4g} mm; it is not used: "
            "distances are in pixels"
        )


def _stated_spacing(path: Path) -> tuple[float, float] | None:
    try:
        return mask_spacing(path)
    except SourceError:  # a file without a partner, which is not scored
        return None
