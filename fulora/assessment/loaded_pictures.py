"""Pictures of any image set or folder, with their metadata."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8

from fulora.data.column_types import SPLITS
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.pictures.decoding import open_picture
from fulora.data.pictures.pixels import pixel_digest
from fulora.intake.formats.decode import read_gray
from fulora.intake.masks.file_names import find_pictures_and_masks
from fulora.intake.picture_files import PICTURES
from fulora.progress import note

UNKNOWN = "unknown"
COLUMNS = ("ids", "planes", "patients", "sites", "machines", "tints")
NO_CLASSES = {*SPLITS, "val", "valid", "images"}
"""Names of folders that are not classes."""


class PicturesError(ValueError):
    """A folder without pictures, or sets that cannot be compared."""


@dataclass(frozen=True)
class Pictures:
    """Gray pictures, 0 to 255, each of its own size.

    Attributes:
        planes: "unknown" if no folder names it.
        patients: of each picture; the picture itself if unknown, and for a synthetic picture.
        patients_known: whether patients are known.
        sites, machines: "" if unknown.
        tints: how much redder and bluer than green each file is on average, in gray levels; 0 for a gray file.
    """

    pixels: Sequence[UInt8[np.ndarray, "_ _"]]
    ids: Shaped[np.ndarray, " n"]
    planes: Shaped[np.ndarray, " n"]
    patients: Shaped[np.ndarray, " n"]
    patients_known: bool
    sites: Shaped[np.ndarray, " n"]
    machines: Shaped[np.ndarray, " n"]
    tints: Float[np.ndarray, "n 2"]

    def __len__(self) -> int:
        return len(self.ids)

    def digest(self, place: int) -> str:
        """Return the digest of one picture's pixels."""
        return pixel_digest(self.pixels[place])

    def __add__(self, other: "Pictures") -> "Pictures":
        """Concatenate."""
        columns = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in COLUMNS}
        known = self.patients_known and other.patients_known
        return Pictures([*self.pixels, *other.pixels], patients_known=known, **columns)

    def of(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "Pictures":
        """Select some pictures, by a mask or by indices."""
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        columns = {name: getattr(self, name)[places] for name in COLUMNS}
        return replace(self, pixels=[self.pixels[place] for place in places.tolist()], **columns)


def read_pictures(folder: Path, labels: LabelSet | None = None) -> Pictures:
    """Read the pictures of an image set, all splits; or of a folder, whose subfolders may be named after classes.

    Args:
        labels: the classes that subfolders may name; with None any name is a class.

    Raises:
        PicturesError: if the folder is missing or has no pictures.
    """
    if not folder.is_dir():
        raise PicturesError(f"{folder}: is not a folder; give an image set or a folder of pictures")
    images = ImageSet(folder, "")
    if rows := images.rows():
        return of_rows(images, rows)
    files, masks = find_pictures_and_masks(folder)
    if not files:
        raise PicturesError(f"{folder}: holds neither an image set nor pictures ({', '.join(PICTURES)})")
    if masks:
        note(f"{folder}: {len(masks)} files named as masks passed over, such as {masks[0].name}")
    planes = [_plane(path.relative_to(folder), folder, labels) for path in files]
    if labels is not None and (unknown := planes.count(UNKNOWN)):
        note(f"{folder}: {unknown} of {len(files)} pictures are in no folder named {' or '.join(labels.names)}")
    names = np.array([path.relative_to(folder).as_posix() for path in files])
    nowhere = np.array([""] * len(files))
    return Pictures(
        pixels=[read_gray(path) for path in files],
        ids=names,
        planes=np.array(planes),
        patients=names,
        patients_known=False,
        sites=nowhere,
        machines=nowhere,
        tints=np.array([_tint(path) for path in files]),
    )


def of_rows(images: ImageSet, rows: Sequence[Image]) -> Pictures:
    """Read the pictures of some rows of an image set."""
    return Pictures(
        pixels=[images.pixels(row) for row in rows],
        ids=np.array([row.image_id for row in rows]),
        planes=np.array([row.plane for row in rows]),
        patients=np.array([row.patient_key or row.image_id for row in rows]),
        patients_known=all(row.patient_key for row in rows),
        sites=np.array([row.site for row in rows]),
        machines=np.array([row.machine for row in rows]),
        tints=np.array([_tint(images.path / row.split / row.file_name) for row in rows]),
    )


def _plane(path: Path, folder: Path, labels: LabelSet | None) -> str:
    """Return the class of the innermost folder that names one; the outermost can only name a known class."""
    names = [part for part in reversed(path.parts[:-1]) if part.lower() not in NO_CLASSES]
    if labels is not None:
        names = [name for part in (*names, folder.resolve().name) if (name := labels.named(part))]
    return next(iter(names), UNKNOWN)


def _tint(path: Path) -> tuple[float, float]:
    with open_picture(path) as image:
        if image.mode not in ("RGB", "RGBA", "P", "YCbCr", "CMYK"):
            return 0.0, 0.0
        red, green, blue = np.asarray(image.convert("RGB"), np.float64).reshape(-1, 3).mean(axis=0)
    return float(red - green), float(blue - green)
