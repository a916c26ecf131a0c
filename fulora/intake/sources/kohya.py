"""Training folders of kohya's LoRA scripts: `20_fetal/001.png` with its caption in `20_fetal/001.txt` or `.caption`.

The number before `_` says how often kohya shows each image in an epoch. It is ignored here: how often an image is
shown is the trainer's choice, not a fact of the image. FU-LoRA's folders are understood as well: one a class, with one
caption for all of its images in `duplicate_text_for_each_image.txt`. Of a caption the first line counts, as for kohya.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from fulora.data.labels import Plane
from fulora.intake.folders import find_pictures, folder_class, list_files, patient_finder, read_real_picture
from fulora.intake.masks.file_names import separate_masks
from fulora.intake.raw_image import FolderError, OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import FolderSourceConfig, SourceInputs
from fulora.intake.tables import read_text

CAPTION_FOR_ALL = "duplicate_text_for_each_image.txt"
ENDINGS = (".txt", ".caption")


class KohyaConfig(FolderSourceConfig):
    r"""kohya's training folders (`20_fetal`) with captions.

    Attributes:
        words: which word of a caption or of a folder's name means which class: {"liver": "liver", "hepatic": "liver"}.
            Whole words, in any case; of each image they must all stand for one class. Without, they are the words of
            the label set; where there is none, every folder is a class, named as it is without its number.
        patient_pattern, patients_unknown, site, source: as in `class_folders`.
    """

    kind: Literal["kohya"] = "kohya"
    words: dict[str, Plane] = Field(default_factory=dict)
    patient_pattern: str | None = None
    patients_unknown: bool = False
    site: str = ""
    source: str = "own"

    def source_classes(self) -> tuple[str, ...] | None:
        """What its words stand for, where they are said."""
        return tuple(dict.fromkeys(self.words.values())) or None

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Every picture of the folders whose class is known; captions without a picture are told to `on_skip`.

        Raises:
            SourceError: no such folder, no pictures in it, or it is not said how patients are known.
        """
        words = self.words
        if not words and inputs.labels is not None:
            words = {word: one.name for one in inputs.labels.classes for word in one.words()}
        return _read(self, inputs.required_folder, words, on_skip)


def _read(config: KohyaConfig, folder: Path, words: Mapping[str, Plane], on_skip: OnSkip) -> Iterator[RawImage]:
    patient_in = patient_finder(config.patient_pattern, config.patients_unknown)
    files = find_pictures(folder, on_skip)
    if not files:
        raise SourceError(f"{folder}: no pictures; expected folders such as 20_fetal with pictures and captions")
    files, masks = separate_masks(folder, files)
    for path in masks:
        on_skip(f"{path}: named as a mask, and kohya's folders hold images only; take it out")
    for path in _alone(folder, [*files, *masks]):
        on_skip(f"{path}: a caption without a picture beside it")
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            caption = caption_of(path)
            within = name.rpartition("/")[0]
            plane = class_in(path, f"{caption} {within}", words) if words else _folder_class(folder, path)
            patient = patient_in(name)
        except FolderError:
            raise
        except SourceError as error:
            on_skip(str(error))
            continue
        yield RawImage(
            name, plane, config.source, config.site, patient, partial(_load, path), path=path, caption=caption
        )


def _alone(folder: Path, files: list[Path]) -> list[Path]:
    stems = {path.with_suffix("") for path in files}
    texts = [path for path in list_files(folder) if path.suffix.lower() in ENDINGS]
    return sorted(path for path in texts if path.name != CAPTION_FOR_ALL and path.with_suffix("") not in stems)


def caption_of(picture: Path) -> str:
    """The first line of the caption beside a picture, or of the one for all of its folder; "" where there is none.

    Raises:
        SourceError: a caption that is no UTF-8 text, or two captions.
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
    """The class that the words of a text stand for; a word that is part of a longer one ("left kidney") is none.

    Raises:
        SourceError: words for no class, or for several.
    """
    spans = {
        match.span(): plane
        for word, plane in words.items()
        for match in re.finditer(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text, re.IGNORECASE)
    }
    found = {plane for span, plane in spans.items() if not any(_is_part(span, other) for other in spans)}
    if len(found) != 1:
        which = f"words for {' and '.join(sorted(found))}" if found else f"none of the words {', '.join(words)}"
        raise SourceError(f"{path}: {which} in its caption and folder ({text.strip()!r}); exactly one class is needed")
    return found.pop()


def _is_part(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]


def _folder_class(folder: Path, path: Path) -> Plane:
    """The class of a picture by its top folder alone, which is named `20_left kidney`."""
    top = path.relative_to(folder).parts[0]
    name = re.sub(r"^\d+_", "", top)
    if path.parent == folder or not name:
        raise SourceError(f"{path}: lies in no class's folder; expected folders such as 20_left kidney, or give words")
    return folder_class(folder / name)


def _load(path: Path) -> tuple[UInt8[np.ndarray, "h w"], None]:
    return read_real_picture(path), None
