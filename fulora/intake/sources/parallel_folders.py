"""Your own images in one folder and their masks in another, paired by name.

`images/007.png` has its mask in `masks/007.png`, or `masks/007_mask.png`: names are paired as `fulora score
segmentation` pairs them. All images show one class, or there is one folder per class below the images; the masks of a
class are then in a folder of its name, or all in one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from fulora.data.column_types import Plane
from fulora.intake.formats.gray_picture import read_real_picture
from fulora.intake.masks.file_names import case_name
from fulora.intake.masks.files import find_masks, read_mask_labels
from fulora.intake.masks.validation import validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.patient_pattern import folder_class, patient_finder
from fulora.intake.picture_files import PICTURES, find_pictures, list_folder
from fulora.intake.pixel_sizes import REFERENCE, PixelSize, has_references, read_pixel_sizes, read_references
from fulora.intake.raw_image import (
    NoPixelSize,
    OnSkip,
    PixelsAndMask,
    RawImage,
    SourceError,
    convert_each,
    path_within,
    refuse,
)
from fulora.intake.source_config import OwnImagesConfig, SourceInputs

IMAGES = (*PICTURES, ".mha")


class ParallelFoldersConfig(OwnImagesConfig):
    r"""Your own images and masks, in two folders of `folder`.

    Attributes:
        images, masks: names of the two folders.
        plane: the class of all images; without it the folders below `images` are the classes.
        pixel_sizes: a CSV in `folder` with `filename` and `pixel size(mm)`; a column `head circumference (mm)` is read
            as the reference. Images that it does not name have no pixel size.
    """

    kind: Literal["parallel_folders"] = "parallel_folders"
    images: str = Field(default="images", min_length=1)
    masks: str = Field(default="masks", min_length=1)
    plane: Plane = ""
    pixel_sizes: str = ""

    def source_classes(self) -> tuple[str, ...] | None:
        """Return the class of all images; None where folders are the classes."""
        return (self.plane,) if self.plane else None

    def has_masks(self) -> bool:
        """Return True: images without a mask are skipped."""
        return True

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every image with its mask; images without one, and masks without an image, are passed to `on_skip`.

        Raises:
            SourceError: if a folder or list does not exist, there are no images or masks, two masks have one name, or
                no setting identifies patients.
        """
        folder = inputs.required_folder
        find_patient = patient_finder(self.patient_pattern, self.patients_unknown, classes_on_top=not self.plane)
        images, masks = _subfolder(folder, "images", self.images), _subfolder(folder, "masks", self.masks)
        if images.resolve() == masks.resolve():
            raise SourceError(f"{images}: images and masks are in one folder; use class_folders with a mask_suffix")
        pairs = list(_pairs(_by_mask_folder(images, masks, self.plane, on_skip), on_skip))
        sizes, references = _read_measures(folder, self.pixel_sizes)
        values = source_mask_values(masks, [pair.mask for pair in pairs])

        def convert(pair: _ImageAndMask) -> RawImage:
            name = pair.image.relative_to(images).with_suffix("").as_posix()
            patient, size = find_patient(name), sizes.get(pair.case)
            if self.pixel_sizes and size is None:
                on_skip(NoPixelSize(f"{pair.image}: no pixel size in {self.pixel_sizes}"))
            return RawImage(
                name,
                pair.plane,
                self.source,
                self.site,
                patient,
                partial(_load, pair, values, size),
                pixel_size_mm=None if size is None else size.mm,
                hc_mm=references.get(pair.case),
                path=pair.image,
                mask_path=pair.mask,
            )

        yield from convert_each(pairs, convert, on_skip)


@dataclass(frozen=True)
class _ImageAndMask:
    image: Path
    mask: Path
    plane: Plane
    case: str


def _subfolder(folder: Path, field: str, name: str) -> Path:
    path = path_within(folder, name)
    if not path.is_dir():
        names = ", ".join(one.name for one in list_folder(folder) if one.is_dir()) if folder.is_dir() else ""
        raise SourceError(f"{path}: no such folder; set {field}=NAME. Existing folders: {names or 'none'}")
    return path


def _by_mask_folder(images: Path, masks: Path, plane: Plane, on_skip: OnSkip) -> dict[Path, list[tuple[Path, Plane]]]:
    """Return the images, each with its class, by the folder of their masks."""
    if plane:
        return {masks: [(path, plane) for path in find_pictures(images, on_skip, IMAGES)]}
    by_folder: dict[Path, list[tuple[Path, Plane]]] = {}
    folders = {path.name for path in list_folder(masks) if path.is_dir()}
    tops = {path.name for path in list_folder(images) if path.is_dir()}
    one_folder_per_class = bool(folders & tops)
    for name in sorted(folders - tops) if one_folder_per_class else ():
        on_skip(f"{masks / name}: a folder of masks without a folder of images, {images / name}")
    for path in find_pictures(images, on_skip, IMAGES):
        if path.parent == images:
            on_skip(f"{path}: is in no class folder; set plane=NAME, or move it into a folder named after its class")
            continue
        top = path.relative_to(images).parts[0]
        mask_folder = masks / top if one_folder_per_class else masks
        by_folder.setdefault(mask_folder, []).append((path, folder_class(images / top)))
    return by_folder


def _pairs(by_masks: Mapping[Path, list[tuple[Path, Plane]]], on_skip: OnSkip) -> Iterator[_ImageAndMask]:
    """Yield every image with the mask of its name; images and masks without a partner are passed to `on_skip`."""
    if not any(by_masks.values()):
        raise SourceError(f"no images ({', '.join(IMAGES)}) in the folder that `images` names")
    for folder, shown in by_masks.items():
        masks, seen = find_masks(folder), dict[str, Path]()
        for path, plane in shown:
            case = case_name(path)
            if case in seen:
                on_skip(f"{path}: has the same mask as {seen[case]}; rename one of the two")
            elif case not in masks:
                on_skip(f"{path}: no mask of its name in {folder}; expected {case}.png or {case}_mask.png")
            else:
                yield _ImageAndMask(path, masks[case], plane, case)
            seen.setdefault(case, path)
        for case in masks.keys() - seen.keys():
            on_skip(f"{masks[case]}: a mask without an image; expected an image named {case}")


def _read_measures(folder: Path, name: str) -> tuple[dict[str, PixelSize], dict[str, float]]:
    if not name:
        return {}, {}
    path = path_within(folder, name)
    return read_pixel_sizes(path), read_references(path, REFERENCE) if has_references(path) else {}


def _load(pair: _ImageAndMask, values: MaskValues, size: PixelSize | None) -> PixelsAndMask:
    pixels = read_real_picture(pair.image)
    if size is not None and size.original not in (None, pixels.shape[::-1]):
        raise SourceError(
            f"{pair.image}: is {pixels.shape[1]}x{pixels.shape[0]} px, but its pixel size is for {size.original} px "
            "(width, height); list the pixel size of this file, without width and height"
        )
    return pixels, validate_mask(pixels, read_mask_labels(pair.mask, values), pair.mask)
