"""Folders of masks (PNG and other pictures, MetaImage, NIfTI): found, paired by name, and read."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, UInt8

from fulora.intake.masks.file_names import ANNOTATION, case_name, file_stem, separate_masks
from fulora.intake.masks.validation import fill_outline
from fulora.intake.masks.value_mapping import MaskValues
from fulora.intake.picture_files import PICTURES, find_pictures
from fulora.intake.raw_image import SourceError
from fulora.progress import note

T = TypeVar("T")

ENDINGS = (*PICTURES, ".gif", ".mha", ".nii", ".gz")


def find_masks(folder: Path) -> dict[str, Path]:
    """Return the masks of a folder by case, sorted by name.

    If some files are named like masks (`010_HC_Mask.png`, `masks/010.png`), the others are taken for their images.

    Raises:
        SourceError: if there is no such folder, no mask, an unsupported file, or two masks of one case.
    """
    pictures, masks = separate_masks(folder, find_pictures(folder, endings=ENDINGS))
    by_case: dict[str, Path] = {}
    if masks and pictures:
        note(
            f"{folder}: {len(masks)} files are named like masks; the {len(pictures)} others are images, "
            f"such as {pictures[0].name}"
        )
    for path in masks or pictures:
        case = case_name(path)
        if case in by_case:
            raise SourceError(f"{path}: a second mask of {case}, beside {by_case[case].name}; remove one")
        by_case[case] = path
    if not by_case:
        raise SourceError(f"{folder}: no masks; supported: {', '.join(ENDINGS[:-1])}, .nii.gz")
    return by_case


def resolve_label(values: MaskValues, label: int | None) -> int | None:
    """Return the class number to read; None for the only one.

    Raises:
        SourceError: if there are several classes and no label, or no mask holds the label.
    """
    some = ", ".join(map(str, values.numbers[:6]))
    if label is None and len(values.numbers) > 1:
        raise SourceError(f"the masks hold the classes {some}; choose one, such as --label {values.numbers[-1]}")
    if label is not None and values.numbers and label not in values.numbers:
        raise SourceError(f"no mask holds class {label}; they hold the classes {some} ({values.describe()})")
    return label


def read_region(path: Path, values: MaskValues, label: int | None = None) -> Bool[np.ndarray, "h w"]:
    """Return one region of a mask; the outline of an `_Annotation` is filled.

    Args:
        values: the mapping of the mask's values to classes.
        label: the region's class number; None for masks of one class, whatever its number (`resolve_label`).

    Raises:
        SourceError: as `MaskValues.read`, or if an outline is open.
    """
    labels = values.read(path)
    return _fill_annotation(np.asarray(labels > 0 if label is None else labels == label), path)


def read_mask_labels(path: Path, values: MaskValues) -> UInt8[np.ndarray, "h w"]:
    """Return the class numbers of a mask, an outlined class filled; raises as `read_region`."""
    labels = values.read(path)
    numbers = np.unique(labels[labels > 0])
    return labels if len(numbers) != 1 else np.asarray(_fill_annotation(labels > 0, path) * numbers[0], np.uint8)


def _fill_annotation(region: Bool[np.ndarray, "h w"], path: Path) -> Bool[np.ndarray, "h w"]:
    return fill_outline(region, path) if ANNOTATION.search(file_stem(path)) and region.any() else region


def map_cases(cases: Mapping[str, Path], function: Callable[[str, Path], T], workers: int) -> Iterator[T]:
    """Apply a function to every case, in order, on threads: decoders, OpenCV and SciPy release Python's lock."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(function, cases.keys(), cases.values())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
