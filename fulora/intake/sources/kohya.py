"""Training folders of kohya's LoRA scripts: `20_fetal/001.png` with its caption in `20_fetal/001.txt` or `.caption`.

The number before `_` says how often kohya shows each image in an epoch. It is ignored here: how often an image is
shown is the trainer's choice, not a fact of the image. FU-LoRA's folders are understood as well: one a class, with one
caption for all of its images in `duplicate_text_for_each_image.txt`. Of a caption the first line counts, as for kohya.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.data.labels import ALL_PLANES, Plane
from fulora.intake.folders import files_below, patient_finder, pictures_in, read_real
from fulora.intake.mask_names import apart
from fulora.intake.raw import Complain, PatternError, RawImage, SourceError, refuse
from fulora.intake.tables import read_text

CAPTION_FOR_ALL = "duplicate_text_for_each_image.txt"
ENDINGS = (".txt", ".caption")


def read_kohya(
    folder: Path,
    planes: Mapping[str, Plane],
    patient_pattern: str | None = None,
    patients_unknown: bool = False,
    site: str = "",
    source: str = "kohya",
    complain: Complain = refuse,
) -> Iterator[RawImage]:
    r"""Every picture of the folders whose plane is known; captions without a picture are told to `complain`.

    Args:
        planes: the plane that a word stands for, in the caption or in the folder's name: {"brain": "brain", "head":
            "brain"}. Whole words, in any case. The words found must all stand for one plane.
        patient_pattern: a regular expression with one group, the patient, found in the path below `folder`:
            `Patient(\d+)`.
        patients_unknown: without a pattern, take every image as a patient of its own; splits may then leak.
        site, source: names that its images get.

    Raises:
        SourceError: no such folder, no pictures in it, no words or a word for no plane, or it is not said how patients
            are known.
    """
    patient_in = patient_finder(patient_pattern, patients_unknown)
    wrong = sorted({plane for plane in planes.values() if plane not in ALL_PLANES})
    if wrong or not planes:
        found = ", ".join(wrong) or "nothing"
        raise SourceError(f"planes: words must stand for {', '.join(ALL_PLANES)}; found {found}")
    files = pictures_in(folder, complain)
    if not files:
        raise SourceError(f"{folder}: no pictures; expected folders such as 20_fetal with pictures and captions")
    files, masks = apart(folder, files)
    for path in masks:
        complain(f"{path}: named as a mask, and kohya's folders hold images only; take it out")
    for path in _alone(folder, [*files, *masks]):
        complain(f"{path}: a caption without a picture beside it")
    for path in files:
        name = path.relative_to(folder).with_suffix("").as_posix()
        try:
            caption = caption_of(path)
            plane = plane_in(path, f"{caption} {name.rpartition('/')[0]}", planes)
            patient = patient_in(name)
        except PatternError:
            raise
        except SourceError as error:
            complain(str(error))
            continue
        yield RawImage(name, plane, source, site, patient, partial(_load, path), path=path, caption=caption)


def _alone(folder: Path, files: list[Path]) -> list[Path]:
    stems = {path.with_suffix("") for path in files}
    texts = [path for path in files_below(folder) if path.suffix.lower() in ENDINGS]
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


def plane_in(path: Path, text: str, planes: Mapping[str, Plane]) -> Plane:
    """The plane that the words of a text stand for.

    Raises:
        SourceError: words for no plane, or for several.
    """
    found = {
        plane
        for word, plane in planes.items()
        if re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text, re.IGNORECASE)
    }
    if len(found) != 1:
        which = f"words for {' and '.join(sorted(found))}" if found else f"none of the words {', '.join(planes)}"
        raise SourceError(f"{path}: {which} in its caption and folder ({text.strip()!r}); exactly one plane is needed")
    return found.pop()


def _load(path: Path) -> tuple[UInt8[np.ndarray, "h w"], None]:
    return read_real(path), None
