"""What curating will give, from lists, file names and headers alone: no picture is decoded."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image as Pil
from PIL import UnidentifiedImageError

from fulora.data.labels import Split
from fulora.engine import threaded
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.curate import compare_patient_images
from fulora.intake.curate.patient_checks import load_saved_splits
from fulora.intake.curate.patient_splits import split_patients
from fulora.intake.curate.split_assignment import assign_splits
from fulora.intake.raw_image import OnSkip
from fulora.intake.read_sources import read_source, set_class
from fulora.intake.source_config import SourceInputs

Size = tuple[int, int]
"""Width and height in pixels."""

ORIENTATION = 0x0112
"""The EXIF tag; its values from 5 on turn a picture by a quarter."""


class ForecastImage(NamedTuple):
    """An image that curating will give.

    Attributes:
        path: None for a phantom.
        others: the splits that it may get instead, where the split is drawn and pictures have not been compared.
    """

    plane: str
    split: Split
    path: Path | None
    others: frozenset[Split] = frozenset()


def forecast_images(
    source: AnySource, inputs: SourceInputs, config: CurateConfig, on_skip: OnSkip, *, compare_pictures: bool = False
) -> list[ForecastImage]:
    """The images of a source and the split of each.

    Args:
        config: of which the source is one.
        on_skip: told of what cannot be used.
        compare_pictures: decode all pictures, so that patients who show the same stay together, as curating does.
            Without, a split that is drawn can differ from the final one where there are such patients.

    Raises:
        SourceError: the folder has not the source's layout.
        SplitError: patients that cannot be split as asked.
    """
    shown: list[tuple[str, str, str, Path | None]]
    saved = load_saved_splits([inputs])
    known = source.members()
    if known is not None:
        members = list(known)
        planes = {own: set_class(source, own, inputs) for own in {one.plane for one in members}}
        members = [one._replace(plane=planes[one.plane]) for one in members if planes[one.plane]]
        split = saved[0] or split_patients(members, source, config.split_seed)
        shown = [(one.image_id, one.patient, one.plane, None) for one in members]
    else:
        images = list(read_source(source, inputs, on_skip))
        if not images:
            return []
        alone = config.changed(sources=(source,))
        found = compare_patient_images(alone, [images], saved) if compare_pictures else []
        (split,) = assign_splits(alone, [images], saved, found).splits
        shown = [(image.image_id, image.patient_key, image.plane, image.path) for image in images]
    drawn = frozenset(source.split_shares()) if saved[0] is None and not compare_pictures else frozenset()
    return [
        ForecastImage(plane, where, path, drawn - {where})
        for image_id, patient, plane, path in shown
        if (where := split.split_of(image_id, patient))
    ]


def count_sizes(paths: Iterable[Path]) -> Counter[Size]:
    """How many pictures have which size, from their headers; files that cannot be read are passed over.

    The time grows with the number of files, and not with their pixels.
    """
    return Counter(size for size in threaded(picture_size, paths) if size is not None)


def picture_size(path: Path) -> Size | None:
    """Width and height of a picture as it is shown, from its header; None for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] == b"DICM":
                return _dicom_size(path)
        with Pil.open(path) as image:
            has_exif = image.format != "PNG" or "exif" in image.info  # else Pillow would decode a PNG to look for it
            upright = image.format == "TIFF"  # of which Pillow gives the size as it is shown
            turned = has_exif and not upright and image.getexif().get(ORIENTATION, 1) >= 5
            return (image.height, image.width) if turned else image.size
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Pil.DecompressionBombError):
        return None


def _dicom_size(path: Path) -> Size:
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    return int(header.Columns), int(header.Rows)
