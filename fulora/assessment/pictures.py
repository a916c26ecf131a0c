"""Pictures of any image set or folder, with what is known of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from fulora.data.labels import PLANES
from fulora.data.manifest import ImageSet
from fulora.intake.decode import read_gray

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
UNKNOWN = "unknown"


class PicturesError(ValueError):
    """A folder that holds no pictures, or sets that cannot be compared."""


@dataclass(frozen=True)
class Pictures:
    """Gray pictures, 0 to 255, each of its own size.

    Attributes:
        planes: "unknown" where a folder does not say.
        patients: whom each shows; the picture itself where that is not known, and for a synthetic picture.
        patients_known: whether patients were told apart.
    """

    pixels: Sequence[UInt8[np.ndarray, "_ _"]]
    ids: Shaped[np.ndarray, " n"]
    planes: Shaped[np.ndarray, " n"]
    patients: Shaped[np.ndarray, " n"]
    patients_known: bool

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, chosen: Bool[np.ndarray, " n"] | Int[np.ndarray, " m"]) -> "Pictures":
        """Some of them."""
        places = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        kept = [self.pixels[place] for place in places.tolist()]
        return Pictures(kept, self.ids[places], self.planes[places], self.patients[places], self.patients_known)


def read_pictures(folder: Path) -> Pictures:
    """The pictures of an image set, all splits; or of a folder, whose subfolders may be named after planes.

    Raises:
        PicturesError: no such folder, or no pictures in it.
    """
    if not folder.is_dir():
        raise PicturesError(f"{folder}: is no folder; give an image set or a folder of pictures")
    images = ImageSet(folder, "")
    if rows := images.rows():
        return Pictures(
            [images.pixels(row) for row in rows],
            np.array([row.image_id for row in rows]),
            np.array([row.plane for row in rows]),
            np.array([row.patient_key or row.image_id for row in rows]),
            all(row.patient_key for row in rows),
        )
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise PicturesError(f"{folder}: holds neither an image set nor pictures ({', '.join(ENDINGS)})")
    names = np.array([path.relative_to(folder).as_posix() for path in files])
    return Pictures(
        [read_gray(path) for path in files], names, np.array([_plane(path) for path in files]), names, False
    )


def _plane(path: Path) -> str:
    return next((plane for plane in PLANES if plane in (part.lower() for part in path.parts[:-1])), UNKNOWN)
