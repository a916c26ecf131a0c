"""Which files of a folder are de-identified: the images that check and curate read as well."""

from pathlib import Path

from fulora import progress
from fulora.intake.dicom_profile import ProfileError
from fulora.intake.raw import Noted
from fulora.intake.sources.dicom_files import ultrasound_in


def files_to_deidentify(folder: Path) -> list[Path]:
    """The ultrasound images below a folder, in the order of their paths; what is passed over is printed, file by file.

    Raises:
        ProfileError: files that cannot be used, all of them named; or no image among the files.
        SourceError: no folder, or no DICOM file in it.
    """
    told: list[str] = []
    images = [found.path for found in ultrasound_in(folder, told.append)]
    passed = [message for message in told if isinstance(message, Noted)]
    wrong = [message for message in told if not isinstance(message, Noted)]
    lines = [f"passed over: {len(passed)} files without an ultrasound image", *passed] if passed else []
    if lines:
        progress.console.print("\n  ".join(lines), soft_wrap=True, highlight=False, markup=False)
    if wrong:
        raise ProfileError("\n".join([f"{len(wrong)} files cannot be used; nothing is written:", *wrong]))
    if not images:
        raise ProfileError(f"{folder}: no ultrasound image among its files")
    return images
