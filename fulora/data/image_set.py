"""`ImageSet`: a folder of images in splits; a set in which patients leak between splits cannot be written.

On disk it is a valid Hugging Face `imagefolder`: one folder a split, each with a `metadata.jsonl` of `Image` rows whose
first key is `file_name`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.data.column_types import SPLITS, Split
from fulora.data.image import METADATA, Image, ImageSetError
from fulora.data.image_set_rules import RuleChecker
from fulora.data.label_set import LabelSet, read_label_set
from fulora.data.pictures.decoding import decode_picture
from fulora.data.pictures.picture_writer import write_picture
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.provenance import Provenance, read_provenance
from fulora.data.row_writer import row_writer
from fulora.engine import threaded
from fulora.json_files import explained, parse_json
from fulora.stage import Artifact


@dataclass(frozen=True)
class Picture:
    """An image with its pixels, to be written into a set.

    Attributes:
        row: its metadata; `file_name`, `mask_file`, size and digest are set when the set is written.
        pixels: (height, width) gray, 0 to 255.
        mask: (height, width) of small class numbers, 0 background; or None.
    """

    row: Image
    pixels: UInt8[np.ndarray, "h w"]
    mask: UInt8[np.ndarray, "h w"] | None = None


@dataclass(frozen=True)
class ImageSet(Artifact):
    """A folder `train/ validation/ test/` of gray PNGs, masks and `metadata.jsonl`. Read lazily."""

    def iter_rows(self, split: Split | None = None) -> Iterator[Image]:
        """Iterate over the rows of one split, or of all, in the order they were written, reading lazily.

        Raises:
            ImageSetError: if a line is not a row; the message names the file, the line and the fields.
        """
        for name in SPLITS if split is None else (split,):
            path = self.path / name / METADATA
            if path.is_file():
                with path.open("rb") as lines:
                    for number, line in enumerate(lines, 1):
                        try:
                            yield Image.from_json(parse_json(line))
                        except ValueError as error:
                            what = explained(error) if isinstance(error, ValidationError) else error
                            raise ImageSetError(f"{path}, line {number}: is no row of an image set ({what})") from error

    def rows(self, split: Split | None = None) -> list[Image]:
        """Return the rows of one split, or of all. A split without images has no folder."""
        return list(self.iter_rows(split))

    def pixels(self, row: Image) -> UInt8[np.ndarray, "h w"]:
        """Return the picture of a row: (height, width) gray, 0 to 255. Raises as `stored`."""
        stored = self.stored(row)
        return stored if stored.ndim == 2 else np.asarray(Pil.fromarray(stored).convert("L"))

    def stored(self, row: Image) -> UInt8[np.ndarray, "h w *rgb"]:
        """Return the picture of a row as it was written: (height, width) gray or (height, width, 3) colour, 0 to 255.

        Raises:
            FileNotFoundError, PictureFileError: if the file is missing; if it cannot be read.
            ImageSetError: if its pixels are not those that were written.
        """
        path = self.path / row.split / row.file_name
        stored = decode_picture(path)
        if pixel_digest(stored) != row.sha256:
            raise ImageSetError(
                f"{path}: is not the picture of its row in {METADATA}: {_describe_difference(stored, row)}; put the "
                "original back, or make the set again"
            )
        return stored

    def mask(self, row: Image) -> UInt8[np.ndarray, "h w"]:
        """Return the mask of a row: (height, width) class numbers.

        Raises:
            ImageSetError: if the row has none, or it is of another size than its picture.
            PictureFileError: if it cannot be read.
        """
        if not row.mask_file:
            raise ImageSetError(f"{row.image_id}: has no mask")
        path = self.path / row.split / row.mask_file
        mask = decode_picture(path)
        if mask.shape != (row.height, row.width):
            raise ImageSetError(f"{path}: is not the mask of its row in {METADATA}: {_describe_difference(mask, row)}")
        return mask

    def pictures(self, split: Split | None = None) -> Iterator[Picture]:
        """Iterate over rows with their pixels and masks."""
        for row in self.rows(split):
            yield Picture(row, self.pixels(row), self.mask(row) if row.mask_file else None)

    def label_set(self) -> LabelSet:
        """Read the classes.

        Raises:
            LabelSetError: if the set was written before image sets had a label set.
            DamagedFileError: if the file is not a label set.
        """
        return read_label_set(self.path)

    def provenance(self) -> Provenance:
        """Read the provenance of the generators and models behind its images and masks; empty for real images.

        Raises:
            DamagedFileError: if the file is damaged.
            EarlierVersionError: if an earlier version of fulora wrote the set.
        """
        provenance = read_provenance(self.path)
        if provenance is None and any(row.origin == "synthetic" for row in self.iter_rows("train")):
            return Provenance.unknown(f"the generator of {self.path.name}")
        return provenance or Provenance()

    @classmethod
    def write(
        cls, folder: Path, pictures: Iterable[Picture], *, labels: LabelSet, provenance: Provenance | None = None
    ) -> int:
        """Write pictures as an image set, on all cores, its metadata last. No picture is kept in memory.

        Args:
            labels: the classes; every row's `plane` is one of them.
            provenance: of the generators and models behind its images and masks.

        Returns:
            The number of pictures.

        Raises:
            ImageSetError: if the set breaks a rule (`fulora.data.image_set_rules`); no metadata are written then.
        """
        rows = threaded(partial(_write_picture, folder), pictures)
        return cls.write_rows(folder, rows, labels=labels, provenance=provenance)

    @classmethod
    def write_rows(
        cls, folder: Path, rows: Iterable[Image], *, labels: LabelSet, provenance: Provenance | None = None
    ) -> int:
        """Write the metadata of pictures that are in the folder already; else as `write`."""
        checker, count = RuleChecker(provenance, labels.names), 0
        with row_writer(folder, METADATA) as add:
            for row in rows:
                checker.add(row)
                add(row)
                count += 1
            checker.refuse()
        labels.write(folder)
        if provenance is not None and provenance.entries:
            provenance.write(folder)
        return count


def _describe_difference(pixels: UInt8[np.ndarray, "h w *rgb"], row: Image) -> str:
    if pixels.shape[:2] != (row.height, row.width):
        return f"it has {pixels.shape[1]}x{pixels.shape[0]} px, not {row.width}x{row.height}"
    return "its pixels were changed since it was written"


def _write_picture(folder: Path, picture: Picture) -> Image:
    name = picture.row.image_id.replace("/", "_") + ".png"
    height, width = picture.pixels.shape
    row = picture.row.changed(
        file_name=f"images/{name}",
        mask_file="" if picture.mask is None else f"masks/{name}",
        width=width,
        height=height,
        sha256=pixel_digest(picture.pixels),
    )
    write_picture(folder / row.split, row, picture.pixels, picture.mask)
    return row
