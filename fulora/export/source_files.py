"""The files of an exported image set, and the check that all exist and synthetic ones are marked."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.pictures.embedded_metadata import read_mark


class ExportError(ValueError):
    """An image set that cannot be exported as requested."""


def files_of_row(images: ImageSet, row: Image) -> list[Path]:
    """Return the files of a row: its picture, and its mask if it has one."""
    return [images.path / row.split / name for name in (row.file_name, row.mask_file) if name]


def check_files(images: ImageSet, rows: Sequence[Image]) -> None:
    """Raise ExportError for a file that is outside the set, duplicate or missing, and for a missing mark."""
    for row in rows:
        for name in (row.file_name, row.mask_file):
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                raise ExportError(f"{row.image_id}: its file {name!r} is outside the set; its metadata is damaged")
    named = Counter((row.split, name) for row in rows for name in (row.file_name, row.mask_file) if name)
    repeated = [f"{split}/{name}" for (split, name), count in named.items() if count > 1]
    if repeated:
        raise ExportError(f"{repeated[0]}: several images name this file; the set's metadata is damaged")
    for row in rows:
        missing = [path for path in files_of_row(images, row) if not path.is_file()]
        if missing:
            raise ExportError(f"{row.image_id}: its file {missing[0]} is missing; make the set anew")
        if row.origin == "synthetic":
            mark = read_mark(images.path / row.split / row.file_name)
            if mark is None or not mark.synthetic:
                raise ExportError(
                    f"{row.image_id}: is synthetic, and its file {row.file_name} does not say so; make the set anew: "
                    "`ImageSet.write` marks every picture"
                )
