"""Any folder with one folder a class: `<class>/<anything>.png`, as most people have their own images.

Without a label set the folders are the classes. With one they are named like its classes, or as its `folders` and
`aliases` say, in any case; below them anything goes. `liver/007_mask.png` is the mask of `liver/007.png` if that is
said to be so. Such a folder says nothing of pixel sizes.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from fulora.data.labels import Plane
from fulora.intake.folders import find_pictures, folder_class, patient_finder, read_real_picture
from fulora.intake.masks.file_names import case_name, file_stem, is_named_as_mask
from fulora.intake.masks.validation import validate_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.raw_image import FolderError, OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs


class ClassFoldersConfig(FolderSourceConfig):
    r"""Your own images, one folder a class.

    Attributes:
        patient_pattern: a regular expression with one group, the patient, found in the path below the folder:
            `Patient(\d+)`. It must not find the class's folder.
        patients_unknown: without a pattern, take every image as a patient of its own. Splits may then leak: images of
            one woman can stand in training and in test, and every score comes out too high.
        site, source: names that its images get; two folders whose patient numbers may coincide need other names.
        mask_suffix: `_mask` where `x.png` has its mask in `x_mask.png`; None without masks. An image without a mask has
            none. All masks are read with one mapping of values to classes (`mask_values`).
    """

    kind: Literal["class_folders"] = "class_folders"
    patient_pattern: str | None = None
    patients_unknown: bool = False
    site: str = ""
    source: str = "own"
    mask_suffix: str | None = None

    def has_masks(self) -> bool:
        """Where masks are told from images."""
        return self.mask_suffix is not None

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every picture of the class folders; pictures in none, and masks without an image, are told to `on_skip`.

        Raises:
            SourceError: no such folder, no pictures in it, folders of splits or of masks on top, it is not said how
                patients are known, masks that are not said to be masks, or a suffix that no file has.
        """
        return _read(self, inputs.required_folder, on_skip)


def _read(config: ClassFoldersConfig, folder: Path, on_skip: OnSkip) -> Iterator[RawImage]:
    patient_in = patient_finder(config.patient_pattern, config.patients_unknown)
    files = find_pictures(folder, on_skip)
    for top in sorted({path.relative_to(folder).parts[0] for path in files if path.parent != folder}):
        folder_class(folder / top)
    images, masks = _apart(files, config.mask_suffix)
    _no_masks_among(folder, images, config.mask_suffix, bool(masks))
    if not images:
        raise SourceError(f"{folder}: no pictures; expected one folder a class, with pictures in it")
    for stem in sorted(masks.keys() - images.keys()):
        on_skip(f"{masks[stem]}: a mask without an image beside it")
    values = source_mask_values(folder, [path for stem, path in masks.items() if stem in images])
    for stem, path in images.items():
        name = stem.relative_to(folder).as_posix()
        try:
            plane = _class(folder, path)
            patient = patient_in(name)
        except FolderError:
            raise
        except SourceError as error:
            on_skip(str(error))
            continue
        mask = masks.get(stem)
        load = partial(_load, path, mask, values)
        yield RawImage(name, plane, config.source, config.site, patient, load, path=path, mask_path=mask)


def _apart(files: list[Path], mask_suffix: str | None) -> tuple[dict[Path, Path], dict[Path, Path]]:
    """Images and masks, each by the path of the image without its ending."""
    images, masks = {}, {}
    for path in files:
        if mask_suffix and path.stem.endswith(mask_suffix):
            masks[path.with_name(path.stem.removesuffix(mask_suffix))] = path
        else:
            images[path.with_suffix("")] = path
    return images, masks


def _no_masks_among(folder: Path, images: Mapping[Path, Path], mask_suffix: str | None, found: bool) -> None:
    """Refuse pictures that are masks by their name, and a suffix that no file has: either is a slip of the pen."""
    if mask_suffix and not found:
        raise SourceError(f"{folder}: no file has the mask_suffix '{mask_suffix}'; correct it, or leave it out")
    for path in images.values():
        name, in_folder = case_name(path), not is_named_as_mask(path.parent, path)
        if not is_named_as_mask(folder, path) or not (in_folder or path.with_name(name) in images):
            continue
        advice = (
            "take it out"
            if in_folder or not file_stem(path).startswith(name)
            else (f"say mask_suffix={file_stem(path)[len(name) :]}, or take masks out")
        )
        raise SourceError(f"{path}: looks like the mask of {name}; {advice}")


def _class(folder: Path, path: Path) -> Plane:
    if path.parent == folder:
        raise SourceError(f"{path}: lies in no class's folder; put it into one that is named after it")
    return folder_class(folder / path.relative_to(folder).parts[0])


def _load(
    path: Path, mask: Path | None, values: MaskValues
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"] | None]:
    pixels = read_real_picture(path)
    return pixels, None if mask is None else validate_mask(pixels, values.read(mask), mask)
