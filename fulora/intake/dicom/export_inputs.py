"""Which files of a folder are de-identified: the images that check and curate read as well."""

from collections.abc import Sequence
from pathlib import Path

from fulora import progress
from fulora.intake.dicom.confidentiality_profile import ProfileError
from fulora.intake.dicom.patients import DicomPatients
from fulora.intake.dicom.ultrasound_files import find_ultrasound
from fulora.intake.raw_image import FileNote, PassedOver


def files_to_deidentify(folder: Path) -> list[Path]:
    """The ultrasound images below a folder, in the order of their paths.

    Printed are files that are passed over, attributes that are not followed, and patients of whom it is doubtful who
    they are.

    Raises:
        ProfileError: files that cannot be used, all of them named.
        SourceError: no folder, or no ultrasound image in it.
    """
    told: list[str] = []
    images, people = [], DicomPatients()
    for found in find_ultrasound(folder, told.append):
        images.append(found.path)
        people.add(found)
    passed = [message for message in told if isinstance(message, PassedOver)]
    noted = [message for message in told if isinstance(message, FileNote) and message not in passed]
    wrong = [message for message in told if not isinstance(message, FileNote)]
    _print(f"passed over: {len(passed)} files without an ultrasound image", passed)
    _print(f"read as their pixels say, not as their attributes do: {len(noted)} files", noted)
    doubts = [*people.spellings(), *people.doubts()]
    _print(f"check who these patients are, a pseudonym does not show it any more: {len(doubts)} doubts", doubts)
    if wrong:
        raise ProfileError("\n".join([f"{len(wrong)} files cannot be used; nothing is written:", *wrong]))
    return images


def _print(title: str, lines: Sequence[str]) -> None:
    if lines:
        progress.console.print("\n  ".join([title, *lines]), soft_wrap=True, highlight=False, markup=False)
