"""Folders of masks as people have them: PNG and other pictures, MetaImage, NIfTI; found, paired by name, and read."""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image as Pil

from fulora.intake.decode import read_gray
from fulora.intake.folders import PICTURES, pictures_in
from fulora.intake.masks import enclosed, read_classes
from fulora.intake.nifti import read_nifti
from fulora.intake.plain_png import read_plain_png
from fulora.intake.raw import SourceError
from fulora.intake.sources.psfhs import one_channel, read_mha
from fulora.intake.tables import number_in, read_table

T = TypeVar("T")

ENDINGS = (*PICTURES, ".mha", ".nii", ".gz")
OF_MASKS = re.compile(r"_(mask|annotation|seg|segmentation|label|pred|prediction)$", re.IGNORECASE)
RING = re.compile(r"_annotation$", re.IGNORECASE)
NAMES = {"filename": "file_name", "pixel size(mm)": "pixel_size_mm"}


def case_of(path: Path) -> str:
    """The name by which masks, images and lists belong together.

    Without folder, endings and `_Mask`, `_Annotation`, `_seg`, `_label`, `_pred`.
    """
    return OF_MASKS.sub("", _stem(path))


def _stem(path: Path) -> str:
    """The file's name without its ending, of which `.nii.gz` is one."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def masks_in(folder: Path) -> dict[str, Path]:
    """The masks of a folder by case, in the order of their names.

    Where some files are named as masks are (`010_HC_Mask.png`), only those count: their images lie beside them.

    Raises:
        SourceError: no such folder, no masks, a file that is no picture, or two masks of one case.
    """
    files = pictures_in(folder, endings=ENDINGS)
    named = [path for path in files if OF_MASKS.search(_stem(path))]
    found: dict[str, Path] = {}
    for path in named or files:
        if case_of(path) in found:
            raise SourceError(
                f"{path}: a second mask of {case_of(path)}, beside {found[case_of(path)].name}; remove one"
            )
        found[case_of(path)] = path
    if not found:
        raise SourceError(f"{folder}: no masks; read are {', '.join(ENDINGS[:-1])}, .nii.gz")
    return found


def read_labels(path: Path) -> UInt8[np.ndarray, "h w"]:
    """A mask as (height, width) class numbers, never scaled; black and white are 0 and 1; colours must be grays.

    Raises:
        SourceError: unreadable file, colours, or other than whole numbers from 0 to 255.
    """
    name = path.name.lower()
    if name.endswith(".mha"):
        values = one_channel(read_mha(path), path)
    elif name.endswith((".nii", ".nii.gz")):
        values = read_nifti(path)
    else:
        values = _of_picture(path)
    return values & 1 if _shades(values) == {0, 255} else values


def _shades(values: UInt8[np.ndarray, "h w"]) -> set[int]:
    histogram = cv2.calcHist([values], [0], None, [256], [0, 256])
    return {int(value) for value in np.flatnonzero(histogram)}


def _of_picture(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Class numbers of a picture file; one in colour must be gray in every pixel."""
    pixels = read_plain_png(path)
    if pixels is None:
        gray = read_gray(path)  # every check of a picture file
        with Pil.open(path) as image:
            if image.mode in ("P", "1"):
                return read_classes(path)
            pixels = gray if image.mode == "L" else np.asarray(image.convert("RGB"))
    if pixels.ndim == 2:
        return pixels
    first, *others = cv2.split(pixels)
    if not all(np.array_equal(first, other) for other in others):
        raise SourceError(f"{path}: holds colours; the values of a mask are class numbers, so save it as gray")
    return np.asarray(first)


def read_region(path: Path, label: int | None = None) -> Bool[np.ndarray, "h w"]:
    """One region of a mask; the ring of an `_Annotation` is filled.

    Args:
        label: its class number; None for a mask of one class, whatever its number.

    Raises:
        SourceError: as `read_labels`, several classes and no label, or a ring that is open.
    """
    labels = read_labels(path)
    classes = sorted(_shades(labels) - {0})
    if label is None and len(classes) > 1:
        some = ", ".join(map(str, classes[:6]))
        raise SourceError(f"{path}: holds the classes {some}; say which one is meant, such as --label {classes[-1]}")
    region = np.asarray(labels > 0 if label is None else labels == label)
    return enclosed(region, path) if RING.search(_stem(path)) and region.any() else region


@dataclass(frozen=True)
class PixelSize:
    """mm a pixel of the original image, and its (width, height), None where a list does not tell."""

    mm: float
    original: tuple[int, int] | None = None

    def scale_xy(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Original size / mask size for x and y, of a mask of this (height, width)."""
        return scale_to(self.original, shape)


def scale_to(original: tuple[int, int] | None, shape: tuple[int, ...]) -> tuple[float, float]:
    """Original (width, height) / mask size for x and y; 1 where the original is not known, so taken as the mask's."""
    return (1.0, 1.0) if original is None else (original[0] / shape[1], original[1] / shape[0])


def read_pixel_sizes(path: Path) -> dict[str, PixelSize]:
    """Pixel sizes by case, from a list with `filename` (or `file_name`) and `pixel size(mm)` (or `pixel_size_mm`).

    Columns `width` and `height` tell the size of the original in pixels, where masks were resized.

    Raises:
        SourceError: no list, missing columns, a number that cannot be, or a case that stands twice.
    """
    found: dict[str, PixelSize] = {}
    for row in read_table(path):
        named = {NAMES.get(name, name): value for name, value in row.items()}
        if missing := [name for name in ("file_name", "pixel_size_mm") if name not in named]:
            raise SourceError(f"{path}: columns missing: {', '.join(missing)}; found: {', '.join(row)}")
        name, case = named["file_name"], case_of(Path(named["file_name"]))
        if case in found:
            raise SourceError(f"{path}: {case} stands twice; which row counts cannot be known")
        sides = [
            int(number_in(named[side], f"{path}, {name}: {side}", 1, 100_000))
            for side in ("width", "height")
            if named.get(side)
        ]
        if len(sides) == 1:
            raise SourceError(f"{path}, {name}: only one of width and height; give both, or none")
        size = number_in(named["pixel_size_mm"], f"{path}, {name}: pixel_size_mm", 0.005, 2)
        found[case] = PixelSize(size, (sides[0], sides[1]) if sides else None)
    return found


def references_in(path: Path, column: str) -> dict[str, float]:
    """A published measure by case, from the same kind of list; cases without one are left out.

    Raises:
        SourceError: as `read_pixel_sizes`, or no such column.
    """
    rows = read_table(path, (column,))
    values = {case_of(Path(row.get("filename") or row.get("file_name", ""))): row[column] for row in rows}
    return {case: number_in(value, f"{path}, {case}: {column}", 0.1, 1000) for case, value in values.items() if value}


def each(cases: Mapping[str, Path], of: Callable[[str, Path], T], workers: int) -> Iterator[T]:
    """`of` every case, in their order, on threads: decoders, OpenCV and SciPy let go of Python's lock."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            yield from pool.map(of, cases.keys(), cases.values())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
