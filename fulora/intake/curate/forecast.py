"""A forecast of curation from lists, file names and headers; no image is decoded."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image as Pil
from PIL import UnidentifiedImageError

from fulora.data.column_types import Split
from fulora.engine import threaded
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.curate import compare_patient_images
from fulora.intake.curate.patient_checks import load_saved_splits
from fulora.intake.curate.patient_splits import split_patients
from fulora.intake.curate.split_assignment import assign_splits
from fulora.intake.picture_files import is_dicom
from fulora.intake.raw_image import OnSkip
from fulora.intake.read_sources import read_source, set_class
from fulora.intake.source_config import SourceInputs

Size = tuple[int, int]
"""Width and height in pixels."""

ORIENTATION = 0x0112
"""The EXIF tag; values of 5 and more rotate an image by 90 degrees."""


class ForecastImage(NamedTuple):
    """An expected image of the image set.

    Attributes:
        others: splits that it may get instead, if the split is random and images were not compared.
    """

    plane: str
    split: Split
    path: Path | None
    others: frozenset[Split] = frozenset()


def forecast_images(
    source: AnySource, inputs: SourceInputs, config: CurateConfig, on_skip: OnSkip, *, compare_pictures: bool = False
) -> list[ForecastImage]:
    """Return the expected images of a source, with their splits.

    Args:
        compare_pictures: decode all images, so that patients with duplicates stay together, as in curation. Without, a
            random split can differ from the final one if there are such patients.

    Raises:
        SourceError: if the folder does not have the source's layout.
        SplitError: if patients cannot be divided by the rules.
    """
    images: list[tuple[str, str, str, Path | None]]
    saved = load_saved_splits([inputs])
    predicted = source.members()
    if predicted is not None:
        members = list(predicted)
        planes = {own: set_class(source, own, inputs) for own in {one.plane for one in members}}
        members = [one._replace(plane=planes[one.plane]) for one in members if planes[one.plane]]
        split = saved[0] or split_patients(members, source, config.split_seed)
        images = [(one.image_id, one.patient, one.plane, None) for one in members]
    else:
        rows = list(read_source(source, inputs, on_skip))
        if not rows:
            return []
        alone = config.changed(sources=(source,))
        pairs = compare_patient_images(alone, [rows], saved) if compare_pictures else []
        ((split,), _) = assign_splits(alone, [rows], saved, pairs)
        images = [(image.image_id, image.patient_key, image.plane, image.path) for image in rows]
    possible = frozenset(source.split_shares()) if saved[0] is None and not compare_pictures else frozenset()
    return [
        ForecastImage(plane, where, path, possible - {where})
        for image_id, patient, plane, path in images
        if (where := split.split_of(image_id, patient))
    ]


def count_sizes(paths: Iterable[Path]) -> Counter[Size]:
    """Count images by size, from their headers; unreadable files are ignored."""
    return Counter(size for size in threaded(picture_size, paths) if size is not None)


def picture_size(path: Path) -> Size | None:
    """Return width and height of an upright image, from its header; None for an unreadable file."""
    try:
        if is_dicom(path):
            return _dicom_size(path)
        with Pil.open(path) as image:
            has_exif = image.format != "PNG" or "exif" in image.info  # Pillow would decode a PNG to look for it
            is_upright = image.format == "TIFF"  # Pillow returns the upright size
            turned = has_exif and not is_upright and image.getexif().get(ORIENTATION, 1) >= 5
            return (image.height, image.width) if turned else image.size
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Pil.DecompressionBombError):
        return None


def _dicom_size(path: Path) -> Size:
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    return int(header.Columns), int(header.Rows)
