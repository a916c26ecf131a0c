"""What `fulora score segmentation` says of masks beside their scores: doubtful sizes, and invented classes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.commands.mask_protocols import CaseScores


def size_notes(scored: Sequence[Sequence[CaseScores]]) -> dict[str, list[str]]:
    """The cases whose field of view or stated spacing is doubtful, printed on standard error; nothing without any."""
    from fulora.progress import note

    found: dict[str, list[str]] = {}
    if views := [f"{case.case}: {case.view}" for case in scored[0] if case.view]:
        note(
            f"{len(views)} cases have a field of view that no fetal scan has, such as {views[0]}; "
            "are the pixel sizes right?"
        )
        found["odd_fields_of_view"] = views
    if spacings := [f"{case.case}: {case.spacing}" for cases in scored for case in cases if case.spacing]:
        note(f"{len(spacings)} cases have files that state another pixel spacing, such as {spacings[0]}")
        found["file_spacings"] = spacings
    return found


def tell_unused_spacing(folders: Sequence[Mapping[str, Path]]) -> None:
    """Print on standard error that distances are in pixels although files state the spacing of theirs."""
    from fulora.progress import note

    files = [path for folder in folders for path in folder.values()]
    found = {path: spacing for path in files if (spacing := _stated(path))}
    if found:
        path, (across, down) = next(iter(found.items()))
        note(
            f"{len(found)} masks state a pixel spacing, such as {path} {across:.4g} x {down:.4g} mm; it is not used: "
            "distances are in pixels"
        )


def _stated(path: Path) -> tuple[float, float] | None:
    """The spacing of a mask's file; None too where it cannot be read: files without a partner are not scored."""
    from fulora.intake.masks.spacing import mask_spacing
    from fulora.intake.raw_image import SourceError

    try:
        return mask_spacing(path)
    except SourceError:
        return None


def invented_in(cases: Sequence[CaseScores]) -> dict[str, Any]:
    """How many predictions hold a class that no reference has, and how many hold which; nothing without any."""
    classes = Counter(number for case in cases for number in case.invented)
    if not classes:
        return {}
    masks = sum(bool(case.invented) for case in cases)
    return {"invented": {"masks": masks, "classes": {str(number): classes[number] for number in sorted(classes)}}}
