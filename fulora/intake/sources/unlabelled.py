"""Any folder of pictures of which no class is known: for predictions without scores."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from fulora.data.labels import UNLABELLED
from fulora.intake.formats.gray_picture import read_real_picture
from fulora.intake.masks.file_names import is_named_as_mask
from fulora.intake.patient_pattern import patient_finder
from fulora.intake.picture_files import find_pictures
from fulora.intake.raw_image import OnSkip, PassedOver, PixelsAndMask, RawImage, SourceError, convert_each, refuse
from fulora.intake.source_config import OwnImagesConfig, SourceInputs


class UnlabelledConfig(OwnImagesConfig):
    """Pictures without a class, in folders or not. Without a `patient_pattern` each is a patient of its own."""

    kind: Literal["unlabelled"] = "unlabelled"

    def source_classes(self) -> tuple[str, ...]:
        """Return the one word that stands for an unknown class."""
        return (UNLABELLED,)

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every picture below the folder; files named like masks are passed over.

        Raises:
            SourceError: if there is no such folder, or no picture in it.
        """
        folder = inputs.required_folder
        find_patient = patient_finder(
            self.patient_pattern, self.patients_unknown or self.patient_pattern is None, classes_on_top=False
        )
        files = find_pictures(folder, on_skip)
        for path in files:
            if is_named_as_mask(folder, path):
                on_skip(PassedOver(f"{path}: is named like a mask"))
        pictures = [path for path in files if not is_named_as_mask(folder, path)]
        if not pictures:
            raise SourceError(f"{folder}: no pictures")

        def convert(path: Path) -> RawImage:
            name = path.relative_to(folder).with_suffix("").as_posix()
            # A path with a folder is no patient number: `12.png` is not patient 12 of another set.
            patient = find_patient(name) if self.patient_pattern else f"{UNLABELLED}/{name}"
            return RawImage(name, UNLABELLED, self.source, self.site, patient, partial(_load, path), path=path)

        yield from convert_each(pictures, convert, on_skip)


def _load(path: Path) -> PixelsAndMask:
    return read_real_picture(path), None
