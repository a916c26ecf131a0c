"""Your own images in one folder and their masks in another, paired by name.

`images/007.png` has its mask in `masks/007.png`, or `masks/007_mask.png`: names belong together as `fulora score
segmentation` pairs them. All images show one class, or there is one folder a class below the images; the masks of a
class then lie in a folder of its name, or all in one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from fulora.data.labels import Plane
from fulora.intake.folders import PICTURES, find_pictures, folder_class, list_folder, patient_finder, read_real_picture
from fulora.intake.masks.file_names import case_name
from fulora.intake.masks.files import find_masks, read_mask_labels
from fulora.intake.masks.validation import validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.pixel_sizes import REFERENCE, PixelSize, has_references, read_pixel_sizes, read_references
from fulora.intake.raw_image import FolderError, NoPixelSize, OnSkip, RawImage, SourceError, path_within, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs

IMAGES = (*PICTURES, ".mha")


class ParallelFoldersConfig(FolderSourceConfig):
    r"""Your own images and masks, in two folders of `folder`.

    Attributes:
        images, masks: the two folders.
        plane: the class that all images show; without it the folders below `images` are the classes.
        pixel_sizes: a CSV in `folder` with `filename` and `pixel size(mm)`; a column `head circumference (mm)` is taken
            for the reference. Images that it does not name have no pixel size.
        patient_pattern: a regular expression with one group, the patient, found in an image's path below `images`:
            `Patient(\d+)`.
        patients_unknown: without a pattern, take every image as a patient of its own; splits may then leak.
        site, source: names that its images get; two folders whose patient numbers may coincide need other names.
    """

    kind: Literal["parallel_folders"] = "parallel_folders"
    images: str = Field(default="images", min_length=1)
    masks: str = Field(default="masks", min_length=1)
    plane: Plane = ""
    pixel_sizes: str = ""
    patient_pattern: str | None = None
    patients_unknown: bool = False
    site: str = ""
    source: str = "own"

    def source_classes(self) -> tuple[str, ...] | None:
        """The class that all images show; None where folders are the classes."""
        return (self.plane,) if self.plane else None

    def has_masks(self) -> bool:
        """Always."""
        return True

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every image with its mask; images without one, and masks without an image, are told to `on_skip`.

        Raises:
            SourceError: a folder or list that is not there, no images or masks, two masks of one name, or it is not
                said how patients are known.
        """
        return _read(self, inputs.required_folder, on_skip)


@dataclass(frozen=True)
class _Pair:
    """An image with its mask, its class, and the name by which the two belong together."""

    image: Path
    mask: Path
    plane: Plane
    case: str


def _read(config: ParallelFoldersConfig, folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    patient_in = patient_finder(config.patient_pattern, config.patients_unknown, classes_on_top=not config.plane)
    images, masks = (_below(folder, name, path) for name, path in (("images", config.images), ("masks", config.masks)))
    if images.resolve() == masks.resolve():
        raise SourceError(f"{images}: images and masks are one folder; use class_folders with a mask_suffix for it")
    pairs = list(_pairs(_by_masks(images, masks, config.plane, on_skip), on_skip))
    sizes, references = _measures(folder, config.pixel_sizes)
    values = source_mask_values(masks, [pair.mask for pair in pairs])
    for pair in pairs:
        name = pair.image.relative_to(images).with_suffix("").as_posix()
        try:
            patient = patient_in(name)
        except FolderError:
            raise
        except SourceError as error:
            on_skip(str(error))
            continue
        size = sizes.get(pair.case)
        if config.pixel_sizes and size is None:
            on_skip(NoPixelSize(f"{pair.image}: {config.pixel_sizes} gives it no pixel size"))
        yield RawImage(
            name,
            pair.plane,
            config.source,
            config.site,
            patient,
            partial(_load, pair, values, size),
            pixel_size_mm=None if size is None else size.mm,
            hc_mm=references.get(pair.case),
            path=pair.image,
            mask_path=pair.mask,
        )


def _below(folder: Path, what: str, name: str) -> Path:
    path = path_within(folder, name)
    if not path.is_dir():
        there = ", ".join(one.name for one in list_folder(folder) if one.is_dir()) if folder.is_dir() else ""
        raise SourceError(f"{path}: no such folder; say {what}=NAME. Folders there: {there or 'none'}")
    return path


def _by_masks(images: Path, masks: Path, plane: Plane, on_skip: OnSkip) -> dict[Path, list[tuple[Path, Plane]]]:
    """The images, each with its class, by the folder that their masks lie in."""
    if plane:
        return {masks: [(path, plane) for path in find_pictures(images, on_skip, IMAGES)]}
    found: dict[Path, list[tuple[Path, Plane]]] = {}
    folders = {path.name for path in list_folder(masks) if path.is_dir()}
    tops = {path.name for path in list_folder(images) if path.is_dir()}
    apart = bool(folders & tops)
    for name in sorted(folders - tops) if apart else ():
        on_skip(f"{masks / name}: a folder of masks without a folder of images, {images / name}")
    for path in find_pictures(images, on_skip, IMAGES):
        if path.parent == images:
            on_skip(f"{path}: lies in no class's folder; say plane=NAME, or put it into a folder named after its class")
            continue
        top = path.relative_to(images).parts[0]
        found.setdefault(masks / top if apart else masks, []).append((path, folder_class(images / top)))
    return found


def _pairs(by_masks: Mapping[Path, list[tuple[Path, Plane]]], on_skip: OnSkip) -> Iterator[_Pair]:
    """Every image with the mask of its name; what has no other half is told to `on_skip`."""
    if not any(by_masks.values()):
        raise SourceError(f"no images ({', '.join(IMAGES)}) in the folder that `images` names")
    for folder, shown in by_masks.items():
        masks, seen = find_masks(folder), dict[str, Path]()
        for path, plane in shown:
            case = case_name(path)
            if case in seen:
                on_skip(f"{path}: has the mask of {seen[case]}; give each image a name of its own")
            elif case not in masks:
                on_skip(f"{path}: no mask in {folder} has its name; expected {case}.png or {case}_mask.png")
            else:
                yield _Pair(path, masks[case], plane, case)
            seen.setdefault(case, path)
        for case in masks.keys() - seen.keys():
            on_skip(f"{masks[case]}: a mask without an image; expected one that is named {case}")


def _measures(folder: Path, name: str) -> tuple[dict[str, PixelSize], dict[str, float]]:
    """Pixel sizes and reference circumferences of a list, by case."""
    if not name:
        return {}, {}
    path = path_within(folder, name)
    return read_pixel_sizes(path), read_references(path, REFERENCE) if has_references(path) else {}


def _load(
    pair: _Pair, values: MaskValues, size: PixelSize | None
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    pixels = read_real_picture(pair.image)
    if size is not None and size.original not in (None, pixels.shape[::-1]):
        raise SourceError(
            f"{pair.image}: is {pixels.shape[1]}x{pixels.shape[0]} px, and its pixel size is of {size.original} px "
            "(width, height); list the pixel size of this file, without width and height"
        )
    return pixels, validate_mask(pixels, read_mask_labels(pair.mask, values), pair.mask)
