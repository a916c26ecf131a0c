"""Synthetic images of other tools: pictures in folders named after classes, of a generator nobody described."""

from collections.abc import Iterator
from pathlib import Path

from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.data.image_set import Picture
from fulora.data.label_set import LabelSet
from fulora.intake.formats.decode import read_gray
from fulora.intake.masks.file_names import find_pictures_and_masks
from fulora.intake.raw_image import SourceError
from fulora.progress import note

SOURCE = "imported"
UNKNOWN_SEED = "unknown"
SHOWN = 5


def list_synthetic(folder: Path, labels: LabelSet) -> dict[str, Plane]:
    """Return the class of every picture of a folder, by its path below it: that of the innermost folder that names one.

    Raises:
        SourceError: if there are no pictures, or some are in no folder that names a class.
    """
    files, masks = find_pictures_and_masks(folder)
    if not files:
        raise SourceError(f"{folder}: holds neither an image set nor pictures")
    if masks:
        note(f"{folder}: {len(masks)} files named as masks are not read, such as {masks[0].name}")
    names = [path.relative_to(folder) for path in files]
    classes = {name.as_posix(): _class_of(folder.resolve().name / name, labels) for name in names}
    if nowhere := [name for name, plane in classes.items() if plane is None]:
        raise SourceError(
            f"{folder}: {len(nowhere)} of {len(files)} pictures are in no folder named after a class "
            f"({', '.join(labels.names)}), such as {', '.join(nowhere[:SHOWN])}; move them into such folders, or out"
        )
    return {name: plane for name, plane in classes.items() if plane is not None}


def read_synthetic(folder: Path, labels: LabelSet, generator: str) -> Iterator[Picture]:
    """Yield every picture as a synthetic training image, whose seed is unknown; its id is its path below the folder.

    Raises:
        SourceError: as `list_synthetic`; or if a picture cannot be read.
    """
    for name, plane in list_synthetic(folder, labels).items():
        row = Image(
            file_name="",
            image_id=name,
            plane=plane,
            split="train",
            origin="synthetic",
            source=SOURCE,
            site="",
            patient="",
            seed=UNKNOWN_SEED,
            generator=generator,
            width=0,
            height=0,
            sha256="",
        )
        yield Picture(row, read_gray(folder / name))


def _class_of(name: Path, labels: LabelSet) -> Plane | None:
    return next((plane for part in reversed(name.parts[:-1]) if (plane := labels.named(part))), None)
