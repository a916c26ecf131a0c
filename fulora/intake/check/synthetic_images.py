"""The synthetic images of an image set, and whom their generators know."""

from functools import partial
from pathlib import Path

from fulora.data.hybrid import MIX_RECORD
from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import ImageSet
from fulora.data.image_set_rules import RuleChecker
from fulora.intake.check.findings import Finding, leak, note
from fulora.intake.raw_image import PixelsAndMask, RawImage, SourceError


def synthetic_images(folder: Path) -> list[RawImage]:
    """Return the synthetic images of an image set of fulora; none of other folders, and none if a row is damaged."""
    images = ImageSet(folder, "")
    try:
        rows = [row for row in images.iter_rows() if row.origin == "synthetic"]
    except ImageSetError:
        return []
    return [
        RawImage(
            name=row.image_id.removeprefix(f"{row.source}_"),
            plane=row.plane,
            source=row.source,
            site=row.site,
            patient=row.patient,
            load=partial(_load, images, row),
            machine=row.machine,
            path=folder / row.split / row.file_name,
            published=row.split,
            caption=row.caption,
            curated=True,
            synthetic=True,
        )
        for row in rows
    ]


def has_added_copies(folder: Path) -> bool:
    """Return whether a mix made the set, which may have added copies of its images on purpose."""
    return (folder / MIX_RECORD).is_file()


def check_generators(folder: Path) -> list[Finding]:
    """Find validation and test patients of an image set of fulora whom its generators know, and unknown generators.

    Raises:
        DamagedFileError, EarlierVersionError: if `provenance.json` cannot be read.
    """
    images = ImageSet(folder, "")
    provenance = images.provenance()
    checker = RuleChecker(provenance)
    for row in images.iter_rows():
        checker.add(row)
    known = "held-out patients were used to train or to select what made these images"
    unknown = "models behind these images have unknown training data, so that leaks cannot be looked for"
    return [
        leak("patients of the generator", known, checker.trained_on()),
        note("unknown generators", unknown, provenance.unknowns()),
    ]


def _load(images: ImageSet, row: Image) -> PixelsAndMask:
    try:
        return images.pixels(row), images.mask(row) if row.mask_file else None
    except (OSError, ValueError) as error:
        raise SourceError(str(error)) from error
