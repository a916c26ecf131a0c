"""Sources in, curated pictures out: cleaned of burned-in text, fitted to one size, each in its split; on all cores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import UInt8
from pydantic import ValidationError

from fulora.biometry.quality import field_of_view_mm
from fulora.data.image import Image
from fulora.data.image_set import Picture
from fulora.data.labels import Split
from fulora.data.pictures.resize import scale_to_square, to_square
from fulora.data.split_file import SplitFile
from fulora.engine import threaded
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.duplicate_links import DuplicatePair, PictureLikeness, find_duplicate_pairs
from fulora.intake.curate.patient_checks import check_patients, load_saved_splits, patient_image_splits, patient_images
from fulora.intake.curate.split_assignment import NearDuplicates, assign_splits
from fulora.intake.deidentify.burned_in_text import (
    CleanedPicture,
    FindWords,
    Removal,
    describe_removal,
    remove_overlays,
)
from fulora.intake.deidentify.text_detection import find_words
from fulora.intake.raw_image import RawImage, SourceError, message_handler
from fulora.intake.read_sources import Rows, read_all_sources
from fulora.intake.source_config import SourceInputs
from fulora.progress import note, track


@dataclass(frozen=True)
class CuratedImage:
    """One curated picture, as it was before, and what was removed from it (None where nothing was looked for).

    `odd_view` is its field of view in mm where no fetal scan has such a one, so that its pixel size must be wrong.
    """

    picture: Picture
    before: UInt8[np.ndarray, "h w"]
    cleaned: CleanedPicture | None
    removal: Removal | None
    odd_view: str = ""


@dataclass
class Curation:
    """Curates the sources of a config; what it had to say is gathered while the pictures stream past.

    Attributes:
        splits: the split of every source, known when its first picture comes.
        left_out: why an image, row or file was left out or passed over, one line each.
        noted: what is worth knowing of files that are kept, one line each.
        near_duplicates: which pictures of two patients are the same or nearly, and what was done about them.
        seen: called with every picture and what was removed from it.
    """

    config: CurateConfig
    inputs: Sequence[SourceInputs]
    seen: Callable[[CuratedImage], None] = lambda cut: None
    splits: list[SplitFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    near_duplicates: NearDuplicates = field(default_factory=NearDuplicates)

    def pictures(self) -> Iterator[Picture]:
        """The pictures of all sources, in order, each in its split.

        Raises:
            SourceError: an image or row that cannot be used, where the config says to stop at one.
            SplitError, SameNumberError: patients that cannot be split as asked, or who may be one under two names.
        """
        odd_views: list[str] = []
        constant: list[str] = []
        on_skip = message_handler(self.config.unusable, self.left_out, self.noted)
        rows = read_all_sources(self.config, self.inputs, on_skip)
        saved = load_saved_splits(self.inputs)
        check_patients(self.config, rows, saved)
        placement = assign_splits(self.config, rows, saved, compare_patient_images(self.config, rows, saved))
        self.splits.extend(placement.splits)
        self.left_out.extend(placement.near_duplicates.left_out)
        self.near_duplicates = placement.near_duplicates
        for source, images, split in zip(self.config.sources, rows, placement.splits, strict=True):
            placed = [
                (image, where) for image in images if (where := split.split_of(image.image_id, image.patient_key))
            ]
            for cut in threaded(partial(_cut, self.config, source), placed):
                if isinstance(cut, str):
                    on_skip(cut)
                    continue
                self.seen(cut)
                if cut.odd_view:
                    odd_views.append(f"{cut.picture.row.image_id}: {cut.odd_view}")
                if np.ptp(cut.before) == 0 or np.ptp(cut.picture.pixels) == 0:
                    constant.append(cut.picture.row.image_id)
                yield cut.picture
        _say("images have a field of view that no fetal scan has, so their pixel size is wrong", odd_views)
        _say("constant images, which show nothing, are in the set", constant)
        _say("things were noted in the files that were read", self.noted)


def _say(what: str, lines: Sequence[str]) -> None:
    if lines:
        note(f"{len(lines)} {what}, such as {lines[0]}")


def compare_patient_images(config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]) -> list[DuplicatePair]:
    """Which pictures of people are the same or nearly: as they are, or as they will be written."""
    if len(patient_image_splits(config, rows, saved)) < 2:
        return []
    people = list(patient_images(config, rows))
    seen = threaded(partial(_both, config), track(people, "pictures compared"))
    return find_duplicate_pairs([image for _, image in people], list(seen))


def _both(config: CurateConfig, item: tuple[AnySource, RawImage]) -> PictureLikeness | None:
    """A picture as it is and as it will be written; None where it cannot be read, which is told when it is written."""
    source, image = item
    cut = _cut(config, source, (image, "train"))
    return None if isinstance(cut, str) else PictureLikeness.of(cut.before, cut.picture.pixels)


def _cut(config: CurateConfig, source: AnySource, item: tuple[RawImage, Split]) -> CuratedImage | str:
    """The picture of a raw image, or why there is none."""
    image, split = item
    try:
        pixels, mask = image.load()
        row = _row(image, split)
    except (SourceError, ValidationError) as error:
        return str(error) if isinstance(error, SourceError) else f"{image.path}: {error.errors()[0]['msg']}"
    where = config.deidentify
    words = text_detector(config)
    cleaned = None if where == "nothing" or not source.has_patients() else remove_overlays(pixels, where, words)
    shown = pixels if cleaned is None else cleaned.pixels
    fitted = to_square(shown, config.image_size_px, config.fit, "area")
    scale = scale_to_square(shown.shape, config.image_size_px, config.fit)
    if mask is not None:
        mask = to_square(mask, config.image_size_px, config.fit, "nearest")
    view = ""
    if row.pixel_size_mm is not None:
        view = field_of_view_mm(float(pixels.shape[1]), float(pixels.shape[0]), row.pixel_size_mm)
        row = row.changed(pixel_size_mm=row.pixel_size_mm / scale)
    removed = None if cleaned is None else describe_removal(cleaned, row.image_id, row.site)
    return CuratedImage(Picture(row, fitted, mask), pixels, cleaned, removed, view)


def text_detector(config: CurateConfig) -> FindWords | None:
    """The text detector that a config asks for."""
    return find_words if config.text_detector == "rapidocr" else None


def _row(image: RawImage, split: Split) -> Image:
    return Image(
        file_name="",
        image_id=image.image_id,
        plane=image.plane,
        split=split,
        origin="real",
        source=image.source,
        site=image.site,
        patient=image.patient,
        machine=image.machine,
        pixel_size_mm=image.pixel_size_mm,
        hc_mm=image.hc_mm,
        aop_deg=image.aop_deg,
        caption=image.caption,
        width=0,
        height=0,
        sha256="",
    )
