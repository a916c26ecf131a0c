"""Training folders of kohya's LoRA scripts: `20_fetal/001.png` with its caption in `20_fetal/001.txt` or `.caption`.

The number before `_`, kohya's repeats of each image in an epoch, is ignored: it is a choice of the trainer. FU-LoRA's
folders are supported as well: one per class, with one caption for all of its images in
`duplicate_text_for_each_image.txt`. As in kohya, only the first line of a caption is used.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from fulora.data.column_types import Plane
from fulora.intake.formats.gray_picture import read_real_picture
from fulora.intake.masks.file_names import separate_masks
from fulora.intake.patient_pattern import folder_class, patient_finder
from fulora.intake.picture_files import find_pictures, list_files
from fulora.intake.published_lists import read_text
from fulora.intake.raw_image import OnSkip, PixelsAndMask, RawImage, SourceError, convert_each, refuse
from fulora.intake.source_config import OwnImagesConfig, SourceInputs

CAPTION_FOR_ALL = "duplicate_text_for_each_image.txt"
ENDINGS = (".txt", ".caption")


class KohyaConfig(OwnImagesConfig):
    r"""kohya's training folders (`20_fetal`) with captions.

    Attributes:
        words: maps words of a caption or of a folder's name to classes: {"liver": "liver", "hepatic": "liver"}. Whole
            words, in any case; all words of an image must stand for one class. Without, they are the words of the
            label set; without a label set, every folder is a class, named as it is without its number.
    """

    kind: Literal["kohya"] = "kohya"
    words: dict[str, Plane] = Field(default_factory=dict)

    def source_classes(self) -> tuple[str, ...] | None:
        """Return the classes of its words, if there are any."""
        return tuple(dict.fromkeys(self.words.values())) or None

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every picture whose class is known; captions without a picture are passed to `on_skip`.

        Raises:
            SourceError: if there is no such folder or no picture in it, or no setting identifies patients.
        """
        folder, words = inputs.required_folder, self.words
        if not words and inputs.labels is not None:
            words = {word: one.name for one in inputs.labels.classes for word in one.words()}
        find_patient = patient_finder(self.patient_pattern, self.patients_unknown)
        pictures = find_pictures(folder, on_skip)
        if not pictures:
            raise SourceError(f"{folder}: no pictures; expected folders such as 20_fetal with pictures and captions")
        images, masks = separate_masks(folder, pictures)
        for path in masks:
            on_skip(f"{path}: named like a mask, and kohya's folders hold images only; remove it")
        for path in _captions_without_picture(folder, pictures):
            on_skip(f"{path}: a caption without a picture beside it")

        def convert(path: Path) -> RawImage:
            name, caption = path.relative_to(folder).with_suffix("").as_posix(), caption_of(path)
            text = f"{caption} {name.rpartition('/')[0]}"
            plane = class_in(path, text, words) if words else _class_of_folder(folder, path)
            patient = find_patient(name)
            load = partial(_load, path)
            return RawImage(name, plane, self.source, self.site, patient, load, path=path, caption=caption)

        yield from convert_each(images, convert, on_skip)


def _captions_without_picture(folder: Path, pictures: list[Path]) -> list[Path]:
    stems = {path.with_suffix("") for path in pictures}
    texts = [path for path in list_files(folder) if path.suffix.lower() in ENDINGS]
    return sorted(path for path in texts if path.name != CAPTION_FOR_ALL and path.with_suffix("") not in stems)


def caption_of(picture: Path) -> str:
    """Return the first line of the caption of a picture, or of its folder's shared caption; "" if there is none.

    Raises:
        SourceError: if a caption is no UTF-8 text, or there are two.
    """
    own = [path for path in (picture.with_suffix(ending) for ending in ENDINGS) if path.is_file()]
    if len(own) > 1:
        raise SourceError(f"{picture}: two captions, {own[0].name} and {own[1].name}; keep one")
    shared = picture.with_name(CAPTION_FOR_ALL)
    path = own[0] if own else shared
    if not path.is_file():
        return ""
    return next(iter(read_text(path).strip().splitlines()), "").strip()


def class_in(path: Path, text: str, words: Mapping[str, Plane]) -> Plane:
    """Return the class that the words of a text stand for; a part of a longer word ("left kidney") does not count.

    Raises:
        SourceError: if there are words of no class, or of several.
    """
    spans = {
        match.span(): plane
        for word, plane in words.items()
        for match in re.finditer(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text, re.IGNORECASE)
    }
    planes = {plane for span, plane in spans.items() if not any(_is_part(span, other) for other in spans)}
    if len(planes) != 1:
        which = f"words for {' and '.join(sorted(planes))}" if planes else f"none of the words {', '.join(words)}"
        raise SourceError(f"{path}: {which} in its caption and folder ({text.strip()!r}); exactly one class is needed")
    return planes.pop()


def _is_part(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _class_of_folder(folder: Path, path: Path) -> Plane:
    top = path.relative_to(folder).parts[0]
    name = re.sub(r"^\d+_", "", top)
    if path.parent == folder or not name:
        raise SourceError(f"{path}: is in no class folder; expected folders such as 20_left kidney, or set words")
    return folder_class(folder / name)


def _load(path: Path) -> PixelsAndMask:
    return read_real_picture(path), None
