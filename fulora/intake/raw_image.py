"""`RawImage`: an image as a source provides it, before it is resized and assigned to a split."""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import UInt8

from fulora.data.column_types import Plane, Split
from fulora.data.patient_numbers import PatientName

DAMAGED_FILE_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, RuntimeError, SyntaxError),
    *(OverflowError, AssertionError, struct.error, zlib.error),
)
"""Errors of pydicom, Pillow and openpyxl on damaged files."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class SourceError(ValueError):
    """A source that does not have the expected layout, or a part of it that cannot be used."""


class FolderError(SourceError):
    """A setting that is wrong for a whole folder; it stops reading even if unusable images are left out."""


FILE_NOT_FOUND = "listed, but the file is not there"
NOT_LISTED = "is not on the list"
MARKED_SYNTHETIC = "is synthetic; synthetic images are mixed in, not curated"
"""Parts of messages, by which `fulora data check` groups them."""


class FileNote(str):
    """A message about a file that is informative; the file is used."""


class NoPixelSize(FileNote):
    """A message about a file that is kept without a pixel size."""


class PatientDoubt(FileNote):
    """A message about patients whose identity is doubtful."""


class PassedOver(FileNote):
    """A message about a file that holds no image for this source; it is listed, and is not an error."""


OnSkip = Callable[[str], None]
"""Called with a message for each row or file that cannot be used; `refuse` raises."""

PixelsAndMask = tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]
"""A gray image and its mask of class numbers, or None."""


def refuse(message: str) -> None:
    """Raise SourceError, unless the message is only a `FileNote`."""
    if not isinstance(message, FileNote):
        raise SourceError(message)


def message_handler(unusable: Literal["stop", "leave_out"], left_out: list[str], noted: list[str]) -> OnSkip:
    """Return an `OnSkip` that sorts messages into two lists, and raises where `unusable` is "stop"."""

    def on_skip(message: str) -> None:
        if unusable == "stop":
            refuse(message)
        kept = isinstance(message, FileNote) and not isinstance(message, PassedOver)
        (noted if kept else left_out).append(message)

    return on_skip


def convert_each(items: Iterable[Item], convert: Callable[[Item], Result], on_skip: OnSkip) -> Iterator[Result]:
    """Convert items one after the other; SourceError skips one, FolderError ends all."""
    for item in items:
        try:
            result = convert(item)
        except FolderError:
            raise
        except SourceError as error:
            on_skip(str(error))
        else:
            yield result


@dataclass(frozen=True)
class RawImage:
    """An image of a source with its metadata.

    Attributes:
        load: returns the gray image (height, width) and its mask of class numbers, or None.
        path, mask_path: the files; None for phantoms.
        published: the split that the source itself assigns; None where it assigns none.
        caption: of the source; "" where it has none.
        number_pseudonym: pseudonym of the normalised patient number, used only to compare numbers; never written.
        curated: whether it comes from an image set of fulora, whose patients are already split.
        synthetic: whether it is a synthetic image, which has no patient; only `fulora data check` reads such images.
    """

    name: str
    plane: Plane
    source: str
    site: str
    patient: str
    load: Callable[[], PixelsAndMask]
    machine: str = ""
    pixel_size_mm: float | None = None
    hc_mm: float | None = None
    aop_deg: float | None = None
    path: Path | None = None
    mask_path: Path | None = None
    published: Split | None = None
    caption: str = ""
    curated: bool = False
    synthetic: bool = False
    number_pseudonym: str = ""

    @property
    def image_id(self) -> str:
        """Its id in an image set."""
        return f"{self.source}_{self.name}"

    @property
    def patient_name(self) -> PatientName:
        """Its patient, for the comparison of patient numbers."""
        return PatientName(self.source, self.site, self.patient, self.number_pseudonym)

    @property
    def patient_key(self) -> str:
        """`source/site/patient`, as in `Image.patient_key`; "" for a synthetic image."""
        return "" if self.synthetic else f"{self.source}/{self.site}/{self.patient}"


def path_within(folder: Path, name: str) -> Path:
    """Return the path of file `name` of a folder.

    Raises:
        SourceError: if the name, or the link it is, leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"{name!r} leads out of {folder}; a source reads files of its own folder only")
    return path
