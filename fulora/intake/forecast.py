"""What curating will give, from lists, file names and headers alone: no picture is decoded."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image as Pil
from PIL import UnidentifiedImageError

from fulora.data.labels import Split
from fulora.data.manifest import pixel_digest
from fulora.data.split_file import SplitFile
from fulora.data.splits import Member
from fulora.engine import threaded
from fulora.intake.config import AnySource, PhantomsConfig
from fulora.intake.division import divide
from fulora.intake.placement import member
from fulora.intake.raw import Complain, RawImage, SourceError
from fulora.intake.read import Inputs, read_source
from fulora.intake.sources.phantoms import SITES

Size = tuple[int, int]
"""Width and height in pixels."""

ORIENTATION = 0x0112
"""The EXIF tag; its values from 5 on turn a picture by a quarter."""


class Expected(NamedTuple):
    """An image that curating will give; `path` is None for a phantom."""

    plane: str
    split: Split
    path: Path | None


def expected(
    source: AnySource, inputs: Inputs, seed: int, complain: Complain, *, compare_pictures: bool = False
) -> list[Expected]:
    """The images of a source and the split of each.

    Args:
        seed: the config's `split_seed`.
        complain: told of what cannot be used.
        compare_pictures: decode all pictures, so that patients who share one stay together, as curating does. Without,
            a split that is drawn can differ from the final one where there are such patients.

    Raises:
        SourceError: the folder has not the source's layout.
        SplitError: patients that cannot be split as asked.
    """
    paths: list[Path | None]
    if isinstance(source, PhantomsConfig):
        members = list(phantom_members(source))
        paths = [None] * len(members)
    else:
        images = list(read_source(source, inputs, 0, complain))
        digests = threaded(_digest, images) if compare_pictures else ("" for _ in images)
        members = [member(image, digest) for image, digest in zip(images, digests, strict=True)]
        paths = [image.path for image in images]
    if not members:
        return []
    split = SplitFile.load(inputs.split_file) if inputs.split_file else divide(members, source, seed)
    return [
        Expected(one.plane, where, path)
        for one, path in zip(members, paths, strict=True)
        if (where := split.split_of(one.image_id, one.patient))
    ]


def phantom_members(source: PhantomsConfig) -> Iterator[Member]:
    """What a split knows of phantoms, without drawing them.

    Raises:
        SourceError: a site that there is none of.
    """
    unknown = [site for site in source.sites if site not in SITES]
    if unknown:
        raise SourceError(f"sites: there is no population {', '.join(unknown)}; there are {', '.join(SITES)}")
    first = source.first_patient * source.images_per_patient
    for site in source.sites:
        for plane in source.planes:
            for number in range(first, first + source.per_plane):
                patient = f"phantoms/{site}/{number // source.images_per_patient}"
                yield Member(f"phantoms_{site}_{plane}_{number:05d}", patient, plane, site)


def _digest(image: RawImage) -> str:
    try:
        return pixel_digest(image.load()[0])
    except SourceError:
        return ""


def sizes_in(paths: Iterable[Path]) -> Counter[Size]:
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
            turned = has_exif and image.getexif().get(ORIENTATION, 1) >= 5
            return (image.height, image.width) if turned else image.size
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Pil.DecompressionBombError):
        return None


def _dicom_size(path: Path) -> Size:
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    return int(header.Columns), int(header.Rows)
