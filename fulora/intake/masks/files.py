"""Folders of masks as people have them: PNG and other pictures, MetaImage, NIfTI; found, paired by name, and read."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, UInt8

from fulora.intake.folders import PICTURES, find_pictures
from fulora.intake.masks.file_names import RING, case_name, file_stem, separate_masks
from fulora.intake.masks.validation import fill_outline
from fulora.intake.masks.value_mapping import MaskValues
from fulora.intake.raw_image import SourceError
from fulora.progress import note

T = TypeVar("T")

ENDINGS = (*PICTURES, ".gif", ".mha", ".nii", ".gz")


def find_masks(folder: Path) -> dict[str, Path]:
    """The masks of a folder by case, in the order of their names.

    Where some files are named as masks are (`010_HC_Mask.png`, `masks/010.png`), only those count: the others are
    their images.

    Raises:
        SourceError: no such folder, no masks, a file that is no picture, or two masks of one case.
    """
    pictures, masks = separate_masks(folder, find_pictures(folder, endings=ENDINGS))
    found: dict[str, Path] = {}
    if masks and pictures:
        note(
            f"{folder}: {len(masks)} files are named as masks; {len(pictures)} others are images, "
            f"such as {pictures[0].name}"
        )
    for path in masks or pictures:
        case = case_name(path)
        if case in found:
            raise SourceError(f"{path}: a second mask of {case}, beside {found[case].name}; remove one")
        found[case] = path
    if not found:
        raise SourceError(f"{folder}: no masks; read are {', '.join(ENDINGS[:-1])}, .nii.gz")
    return found


def resolve_label(values: MaskValues, label: int | None) -> int | None:
    """The class number that is meant, None for the only one.

    Raises:
        SourceError: several classes and no label, or a class that no mask holds.
    """
    some = ", ".join(map(str, values.numbers[:6]))
    if label is None and len(values.numbers) > 1:
        raise SourceError(
            f"the masks hold the classes {some}; say which one is meant, such as --label {values.numbers[-1]}"
        )
    if label is not None and values.numbers and label not in values.numbers:
        raise SourceError(f"no mask holds class {label}; they hold the classes {some} ({values.text()})")
    return label


def read_region(path: Path, values: MaskValues, label: int | None = None) -> Bool[np.ndarray, "h w"]:
    """One region of a mask; the ring of an `_Annotation` is filled.

    Args:
        values: the mapping of the mask's values to classes.
        label: the region's class number; None for masks of one class, whatever its number (`resolve_label`).

    Raises:
        SourceError: as `MaskValues.read`, or a ring that is open.
    """
    labels = values.read(path)
    return _filled(np.asarray(labels > 0 if label is None else labels == label), path)


def read_mask_labels(path: Path, values: MaskValues) -> UInt8[np.ndarray, "h w"]:
    """The class numbers of a mask; the ring of an `_Annotation` of one class is filled.

    Raises:
        SourceError: as `read_region`.
    """
    labels = values.read(path)
    numbers = np.unique(labels[labels > 0])
    return labels if len(numbers) != 1 else np.asarray(_filled(labels > 0, path) * numbers[0], np.uint8)


def _filled(region: Bool[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    return fill_outline(region, path) if RING.search(file_stem(path)) and region.any() else region


def map_cases(cases: Mapping[str, Path], of: Callable[[str, Path], T], workers: int) -> Iterator[T]:
    """`of` every case, in their order, on threads: decoders, OpenCV and SciPy let go of Python's lock."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(of, cases.keys(), cases.values())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
