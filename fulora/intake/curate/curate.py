"""Curation of images on all cores: burned-in text removed, fitted to one size, each with its split."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import UInt8
from pydantic import ValidationError

from fulora.biometry.quality import field_of_view_mm
from fulora.data.column_types import Split
from fulora.data.image import Image
from fulora.data.image_set import Picture
from fulora.data.pictures.resize import scale_to_square, to_square
from fulora.data.split_file import SplitFile
from fulora.engine import threaded
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.duplicate_pairs import DuplicatePair, PictureLikeness, find_duplicate_pairs
from fulora.intake.curate.patient_checks import check_patients, load_saved_splits, patient_image_splits, patient_images
from fulora.intake.curate.split_assignment import NearDuplicates, assign_splits
from fulora.intake.deidentify import burned_in_text
from fulora.intake.deidentify.text_detection import find_words
from fulora.intake.raw_image import RawImage, SourceError, message_handler
from fulora.intake.read_sources import Rows, read_all_sources
from fulora.intake.source_config import SourceInputs
from fulora.progress import note, track


@dataclass(frozen=True)
class CuratedImage:
    """A curated image, its original pixels, and what was removed from it (None if no text was searched).

    `odd_view` is its field of view in mm if it is implausible, so that its pixel size must be wrong.
    """

    picture: Picture
    before: UInt8[np.ndarray, "h w"]
    cleaned: burned_in_text.CleanedPicture | None
    removal: burned_in_text.Removal | None
    odd_view: str = ""


@dataclass
class Curation:
    """Curates the sources of a config, and collects messages.

    Attributes:
        splits: the split of every source, known before its first image.
        left_out: images, rows and files that were left out or passed over, with the reason, one line each.
    """

    config: CurateConfig
    inputs: Sequence[SourceInputs]
    seen: Callable[[CuratedImage], None] = lambda curated: None
    splits: list[SplitFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    near_duplicates: NearDuplicates = field(default_factory=NearDuplicates)

    def pictures(self) -> Iterator[Picture]:
        """Yield the images of all sources, in order, each with its split.

        Raises:
            SourceError: if an image or row is unusable, and `unusable` is "stop".
            SplitError, SameNumberError: if patients cannot be split by the rules, or may be the same under two names.
        """
        odd_views: list[str] = []
        constant: list[str] = []
        on_skip = message_handler(self.config.unusable, self.left_out, self.noted)
        rows = read_all_sources(self.config, self.inputs, on_skip)
        saved = load_saved_splits(self.inputs)
        check_patients(self.config, rows, saved)
        pairs = compare_patient_images(self.config, rows, saved)
        splits, self.near_duplicates = assign_splits(self.config, rows, saved, pairs)
        self.splits.extend(splits)
        self.left_out.extend(self.near_duplicates.left_out)
        for source, images, split in zip(self.config.sources, rows, splits, strict=True):
            placed = [(one, where) for one in images if (where := split.split_of(one.image_id, one.patient_key))]
            for curated in threaded(partial(_curate_image, self.config, source), placed):
                if isinstance(curated, str):
                    on_skip(curated)
                    continue
                self.seen(curated)
                if curated.odd_view:
                    odd_views.append(f"{curated.picture.row.image_id}: {curated.odd_view}")
                if np.ptp(curated.before) == 0 or np.ptp(curated.picture.pixels) == 0:
                    constant.append(curated.picture.row.image_id)
                yield curated.picture
        _report("images have an implausible field of view, so their pixel size is wrong", odd_views)
        _report("blank images are in the set", constant)
        _report("notes about files", self.noted)


def _report(what: str, lines: Sequence[str]) -> None:
    if lines:
        note(f"{len(lines)} {what}, such as {lines[0]}")


def compare_patient_images(config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None]) -> list[DuplicatePair]:
    """Find duplicate images of two patients, before or after processing."""
    if len(patient_image_splits(config, rows, saved)) < 2:
        return []
    images = list(patient_images(config, rows))
    features = threaded(partial(_read_likeness, config), track(images, "images compared"))
    return find_duplicate_pairs([image for _, image in images], list(features))


def _read_likeness(config: CurateConfig, item: tuple[AnySource, RawImage]) -> PictureLikeness | None:
    """Return the features of an image; None if it cannot be read, which is reported when it is written."""
    source, image = item
    curated = _curate_image(config, source, (image, "train"))
    return None if isinstance(curated, str) else PictureLikeness.of(curated.before, curated.picture.pixels)


def _curate_image(config: CurateConfig, source: AnySource, item: tuple[RawImage, Split]) -> CuratedImage | str:
    image, split = item
    try:
        pixels, mask = image.load()
        row = _row(image, split)
    except (SourceError, ValidationError) as error:
        return str(error) if isinstance(error, SourceError) else f"{image.path}: {error.errors()[0]['msg']}"
    cleaned = None
    if config.deidentify != "nothing" and source.has_patients():
        cleaned = burned_in_text.remove_overlays(pixels, config.deidentify, text_detector(config))
    shown = pixels if cleaned is None else cleaned.pixels
    fitted = to_square(shown, config.image_size_px, config.fit, "area")
    scale = scale_to_square(shown.shape, config.image_size_px, config.fit)
    if mask is not None:
        mask = to_square(mask, config.image_size_px, config.fit, "nearest")
    view = ""
    if row.pixel_size_mm is not None:
        view = field_of_view_mm(float(pixels.shape[1]), float(pixels.shape[0]), row.pixel_size_mm)
        row = row.changed(pixel_size_mm=row.pixel_size_mm / scale)
    removed = None if cleaned is None else burned_in_text.describe_removal(cleaned, row.image_id, row.site)
    return CuratedImage(Picture(row, fitted, mask), pixels, cleaned, removed, view)


def text_detector(config: CurateConfig) -> burned_in_text.FindWords | None:
    """Return the text detector of a config; None without one."""
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
