"""Sources in, curated pictures out: cleaned of burned-in text, fitted to one size, each in its split; on all cores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import ValidationError

from fulora.biometry.quality import field_of_view_mm
from fulora.data.labels import Split
from fulora.data.manifest import Image, Picture, pixel_digest
from fulora.data.split_file import SplitFile
from fulora.data.splits import Member
from fulora.engine import threaded
from fulora.intake.config import AnySource, CurateConfig, PhantomsConfig
from fulora.intake.deidentify import Cleaned, Removal, clean, removal
from fulora.intake.division import divide
from fulora.intake.raw import RawImage, SourceError, refuse
from fulora.intake.read import Inputs, read_source
from fulora.progress import note, track


@dataclass(frozen=True)
class Cut:
    """One curated picture, as it was before, and what was removed from it (None where nothing was looked for).

    `odd_view` is its field of view in mm where no fetal scan has such a one, so that its pixel size must be wrong.
    """

    picture: Picture
    before: UInt8[np.ndarray, "h w"]
    cleaned: Cleaned | None
    removal: Removal | None
    odd_view: str = ""


@dataclass
class Curation:
    """Curates the sources of a config; what it had to say is gathered while the pictures stream past.

    Attributes:
        splits: the split of every source, known when its first picture comes.
        left_out: why an image or row was left out, one line each.
        seen: called with every picture and what was removed from it.
    """

    config: CurateConfig
    inputs: Sequence[Inputs]
    seen: Callable[[Cut], None] = lambda cut: None
    splits: list[SplitFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def pictures(self) -> Iterator[Picture]:
        """The pictures of all sources, in order, each in its split.

        Raises:
            SourceError: an image or row that cannot be used, where the config says to stop at one.
        """
        odd_views: list[str] = []
        for source, inputs in zip(self.config.sources, self.inputs, strict=True):
            complain = refuse if self.config.unusable == "stop" else self.left_out.append
            images = list(read_source(source, inputs, self.config.image_size_px, complain))
            split = self._split(source, images, inputs)
            self.splits.append(split)
            placed = [(image, where) for image in images if (where := split.split_of(_id(image), patient_key(image)))]
            for cut in threaded(partial(_cut, self.config, source), placed):
                if isinstance(cut, str):
                    complain(cut)
                    continue
                self.seen(cut)
                if cut.odd_view:
                    odd_views.append(f"{cut.picture.row.image_id}: {cut.odd_view}")
                yield cut.picture
        if odd_views:
            note(
                f"{len(odd_views)} images have a field of view that no fetal scan has, so their pixel size is wrong, "
                f"such as {odd_views[0]}"
            )

    def _split(self, source: AnySource, images: Sequence[RawImage], inputs: Inputs) -> SplitFile:
        if inputs.split_file is not None:
            return SplitFile.load(inputs.split_file)
        divided = len(source.shares()) > 1 and not isinstance(source, PhantomsConfig)
        digests = threaded(_digest, track(images, "pictures compared")) if divided else ("" for _ in images)
        members = [member(image, digest) for image, digest in zip(images, digests, strict=True)]
        return divide(members, source, self.config.split_seed)


def member(image: RawImage, digest: str) -> Member:
    """What a split needs to know of a raw image."""
    return Member(_id(image), patient_key(image), image.plane, image.site, digest, image.published)


def patient_key(image: RawImage) -> str:
    """`source/site/patient`, as in `Image.patient_key`."""
    return f"{image.source}/{image.site}/{image.patient}"


def _id(image: RawImage) -> str:
    return f"{image.source}_{image.name}"


def _digest(image: RawImage) -> str:
    """Of the raw picture; "" where it cannot be read, which is told when it is curated."""
    try:
        return pixel_digest(image.load()[0])
    except SourceError:
        return ""


def _cut(config: CurateConfig, source: AnySource, item: tuple[RawImage, Split]) -> Cut | str:
    """The picture of a raw image, or why there is none."""
    image, split = item
    try:
        pixels, mask = image.load()
        row = _row(image, split)
    except (SourceError, ValidationError) as error:
        return str(error) if isinstance(error, SourceError) else f"{image.path}: {error.errors()[0]['msg']}"
    where = config.deidentify
    cleaned = None if where == "nothing" or isinstance(source, PhantomsConfig) else clean(pixels, where)
    fitted, scale = fit(pixels if cleaned is None else cleaned.pixels, config.image_size_px, config.fit, cv2.INTER_AREA)
    if mask is not None:
        mask, _ = fit(mask, config.image_size_px, config.fit, cv2.INTER_NEAREST)
    view = ""
    if row.pixel_size_mm is not None:
        view = field_of_view_mm(float(pixels.shape[1]), float(pixels.shape[0]), row.pixel_size_mm)
        row = row.model_copy(update={"pixel_size_mm": row.pixel_size_mm / scale})
    removed = None if cleaned is None else removal(cleaned, row.image_id, row.site)
    return Cut(Picture(row, fitted, mask), pixels, cleaned, removed, view)


def _row(image: RawImage, split: Split) -> Image:
    return Image(
        file_name="",
        image_id=_id(image),
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


def fit(
    pixels: UInt8[np.ndarray, "h w"], size_px: int, how: str, interpolation: int
) -> tuple[UInt8[np.ndarray, "new_h new_w"], float]:
    """A picture on a square of `size_px`, without distortion, and its scale (new pixels per old pixel).

    Args:
        how: `letterbox` keeps all of it, centred on black; `crop` keeps its central square; `native` changes nothing.
    """
    height, width = pixels.shape
    if how == "native" or (height, width) == (size_px, size_px):
        return pixels, 1.0
    if how == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square, longest = pixels[top : top + side, left : left + side], side
    else:
        longest = max(height, width)
        square = np.zeros((longest, longest), np.uint8)
        top, left = (longest - height) // 2, (longest - width) // 2
        square[top : top + height, left : left + width] = pixels
    return cv2.resize(square, (size_px, size_px), interpolation=interpolation), size_px / longest
