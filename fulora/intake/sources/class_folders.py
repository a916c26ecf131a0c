"""Any folder with one folder per class: `<class>/<anything>.png`.

Without a label set the folders are the classes. With one they are named like its classes, or as its `folders` and
`aliases` say, in any case; below them any names are allowed. With a `mask_suffix`, `liver/007_mask.png` is the mask of
`liver/007.png`. Such a folder holds no pixel sizes.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from fulora.data.column_types import Plane
from fulora.intake.formats.gray_picture import read_real_picture
from fulora.intake.masks.file_names import case_name, file_stem, is_named_as_mask
from fulora.intake.masks.validation import read_valid_mask
from fulora.intake.masks.value_mapping import MaskValues, source_mask_values
from fulora.intake.patient_pattern import folder_class, patient_finder
from fulora.intake.picture_files import find_pictures
from fulora.intake.raw_image import OnSkip, PixelsAndMask, RawImage, SourceError, convert_each, refuse
from fulora.intake.source_config import OwnImagesConfig, SourceInputs


class ClassFoldersConfig(OwnImagesConfig):
    r"""Your own images, one folder per class.

    Attributes:
        mask_suffix: `_mask` where `x.png` has its mask in `x_mask.png`; None without masks. An image without a mask has
            none. All masks are read with one mapping of values to classes (`fulora.intake.masks.value_mapping`).
    """

    kind: Literal["class_folders"] = "class_folders"
    mask_suffix: str | None = None

    def has_masks(self) -> bool:
        """Return whether a suffix of masks is set."""
        return self.mask_suffix is not None

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every picture of the class folders; pictures outside, and masks without an image, go to `on_skip`.

        Raises:
            SourceError: if there is no such folder or no picture in it, the top folders are splits or masks, no
                setting identifies patients, masks lie among the images, or no file has the suffix.
        """
        folder = inputs.required_folder
        find_patient = patient_finder(self.patient_pattern, self.patients_unknown)
        files = find_pictures(folder, on_skip)
        for top in sorted({path.relative_to(folder).parts[0] for path in files if path.parent != folder}):
            folder_class(folder / top)
        images, masks = _separate(files, self.mask_suffix)
        _refuse_masks_among(folder, images, self.mask_suffix, bool(masks))
        if not images:
            raise SourceError(f"{folder}: no pictures; expected one folder per class, with pictures in it")
        for stem in sorted(masks.keys() - images.keys()):
            on_skip(f"{masks[stem]}: a mask without an image beside it")
        values = source_mask_values(folder, [path for stem, path in masks.items() if stem in images])

        def convert(stem: Path) -> RawImage:
            path, mask, name = images[stem], masks.get(stem), stem.relative_to(folder).as_posix()
            plane, patient = _class_of(folder, path), find_patient(name)
            load = partial(load_pair, path, mask, values)
            return RawImage(name, plane, self.source, self.site, patient, load, path=path, mask_path=mask)

        yield from convert_each(images, convert, on_skip)


def _separate(files: list[Path], mask_suffix: str | None) -> tuple[dict[Path, Path], dict[Path, Path]]:
    """Return images and masks, each by the path of the image without its ending."""
    images, masks = {}, {}
    for path in files:
        if mask_suffix and path.stem.endswith(mask_suffix):
            masks[path.with_name(path.stem.removesuffix(mask_suffix))] = path
        else:
            images[path.with_suffix("")] = path
    return images, masks


def _refuse_masks_among(folder: Path, images: Mapping[Path, Path], mask_suffix: str | None, has_masks: bool) -> None:
    if mask_suffix and not has_masks:
        raise SourceError(f"{folder}: no file has the mask_suffix '{mask_suffix}'; correct it, or leave it out")
    for path in images.values():
        name, in_folder = case_name(path), not is_named_as_mask(path.parent, path)
        if not is_named_as_mask(folder, path) or not (in_folder or path.with_name(name) in images):
            continue
        advice = f"set mask_suffix={file_stem(path)[len(name) :]}, or remove the masks"
        if in_folder or not file_stem(path).startswith(name):
            advice = "remove it"
        raise SourceError(f"{path}: looks like the mask of {name}; {advice}")


def _class_of(folder: Path, path: Path) -> Plane:
    if path.parent == folder:
        raise SourceError(f"{path}: is in no class folder; move it into a folder named after its class")
    return folder_class(folder / path.relative_to(folder).parts[0])


def load_pair(path: Path, mask: Path | None, values: MaskValues) -> PixelsAndMask:
    """Read an image that must not be synthetic, and its mask, if any; raises SourceError."""
    pixels = read_real_picture(path)
    return pixels, read_valid_mask(pixels, mask, values)
