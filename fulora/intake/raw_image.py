"""`RawImage`: one picture as a source has it, before it is resized and put into a split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from fulora.data.labels import Plane, Split
from fulora.data.patient_numbers import Name


class SourceError(ValueError):
    """A source that cannot be read as the layout it should have."""


class FolderError(SourceError):
    """What was said of a folder is wrong for all of it: this stops, even where unusable rows are left out."""


FILE_NOT_FOUND = "listed, but the file is not there"
NOT_LISTED = "is not on the list"
MARKED_SYNTHETIC = "is synthetic; synthetic images are mixed in, not curated"
"""What a message says of a row without a file, of a file without a row, and of a row that says what it is."""


class FileNote(str):
    """Told of something that is worth knowing, and no reason to leave anything out."""


class NoPixelSize(FileNote):
    """Told of a file that is kept without a pixel size."""


class PatientDoubt(FileNote):
    """Told of patients of whom it is doubtful who they are."""


class PassedOver(FileNote):
    """Told of a file that holds no image for this source: nothing is missing without it, but it is listed."""


OnSkip = Callable[[str], None]
"""Told of each row or file that is left out. `refuse` is the strict one."""


def refuse(message: str) -> None:
    """Raise SourceError: nothing is left out. What is only `FileNote` is not refused."""
    if not isinstance(message, FileNote):
        raise SourceError(message)


def message_handler(unusable: Literal["stop", "leave_out"], left_out: list[str], noted: list[str]) -> OnSkip:
    """Keeps what is told: of files that are passed over, of what is left out unless it stops, and what is noted."""

    def on_skip(message: str) -> None:
        if unusable == "stop":
            refuse(message)
        kept = isinstance(message, FileNote) and not isinstance(message, PassedOver)
        (noted if kept else left_out).append(message)

    return on_skip


@dataclass(frozen=True)
class RawImage:
    """One picture of a source and what the source says of it.

    Attributes:
        load: returns the gray picture (height, width) and its mask of class numbers, or None.
        path, mask_path: the files behind it; None for phantoms.
        published: the split that the source itself puts it in; None where the source names none.
        caption: what the source says it shows; "" where it says nothing.
        number_pseudonym: pseudonym of the normalised patient number, used only to compare numbers; never written.
        curated: whether it is of an image set of fulora's own, whose patients are in their splits.
    """

    name: str
    plane: Plane
    source: str
    site: str
    patient: str
    load: Callable[[], tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]]
    machine: str = ""
    pixel_size_mm: float | None = None
    hc_mm: float | None = None
    aop_deg: float | None = None
    path: Path | None = None
    mask_path: Path | None = None
    published: Split | None = None
    caption: str = ""
    curated: bool = False
    number_pseudonym: str = ""

    @property
    def image_id(self) -> str:
        """Its id in an image set."""
        return f"{self.source}_{self.name}"

    @property
    def patient_name(self) -> Name:
        """Whom it shows, for the comparison of patient numbers."""
        return Name(self.source, self.site, self.patient, self.number_pseudonym)

    @property
    def patient_key(self) -> str:
        """`source/site/patient`, as in `Image.patient_key`."""
        return f"{self.source}/{self.site}/{self.patient}"


def path_within(folder: Path, name: str) -> Path:
    """The file `name` of a folder.

    Raises:
        SourceError: the name, or the link it is, leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"{name!r} leads out of {folder}; a source reads files of its own folder only")
    return path
