"""Which reader a configured source has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from fulora.intake.config import (
    AfricanPlanesConfig,
    AnySource,
    ClassFoldersConfig,
    CurateConfig,
    DicomConfig,
    FetalPlanesConfig,
    FolderSourceConfig,
    Hc18Config,
    ImageFolderConfig,
    KohyaConfig,
    LoraPlanesConfig,
    PhantomsConfig,
    PsfhsConfig,
)
from fulora.intake.raw import Complain, RawImage, SourceError, refuse
from fulora.intake.sources.african_planes import read_african_planes
from fulora.intake.sources.class_folders import read_class_folders
from fulora.intake.sources.dicom import read_dicom
from fulora.intake.sources.fetal_planes import read_fetal_planes
from fulora.intake.sources.hc18 import read_hc18
from fulora.intake.sources.imagefolder import read_imagefolder
from fulora.intake.sources.kohya import read_kohya
from fulora.intake.sources.lora_planes import read_lora_planes
from fulora.intake.sources.phantoms import SITES, draw
from fulora.intake.sources.psfhs import read_psfhs

ADVICE = (
    "Make one with `python -c 'import secrets; print(secrets.token_hex(16))' > key.txt`, and keep it apart "
    "from the data"
)


@dataclass(frozen=True)
class Inputs:
    """What a source reads from outside: its folder (None for phantoms), a saved split, the key of pseudonyms."""

    folder: Path | None = None
    split_file: Path | None = None
    key_file: Path | None = None


Rows = Sequence[Sequence[RawImage]]
"""The raw images of every source of a config, without their pixels."""


def read_rows(config: CurateConfig, inputs: Sequence[Inputs], complain: Complain = refuse) -> list[list[RawImage]]:
    """The raw images of every source; what cannot be used is told to `complain`.

    Raises:
        SourceError: a folder has not the source's layout.
    """
    return [
        list(read_source(source, given, config.image_size_px, complain))
        for source, given in zip(config.sources, inputs, strict=True)
    ]


def read_source(source: AnySource, inputs: Inputs, size_px: int, complain: Complain = refuse) -> Iterator[RawImage]:
    """The raw images of one source; what cannot be used is told to `complain`.

    Args:
        size_px: width and height that phantoms are drawn at.

    Raises:
        SourceError: the folder has not the source's layout.
    """
    if isinstance(source, PhantomsConfig):
        return _phantoms(source, size_px)
    if inputs.folder is None:
        raise SourceError(f"source {source.kind}: needs a folder under data_root")
    return islice(_read_folder(source, inputs.folder, inputs.key_file, complain), source.limit)


def _read_folder(
    source: FolderSourceConfig, folder: Path, key_file: Path | None, complain: Complain
) -> Iterator[RawImage]:
    match source:
        case FetalPlanesConfig():
            return read_fetal_planes(folder, complain, source.half, source.list_file)
        case LoraPlanesConfig():
            return read_lora_planes(folder, complain)
        case AfricanPlanesConfig():
            return read_african_planes(folder, complain)
        case Hc18Config():
            return read_hc18(folder, complain, source.part)
        case PsfhsConfig():
            return read_psfhs(folder, source.block, complain)
        case ClassFoldersConfig(patient_pattern=pattern, patients_unknown=unknown, site=site, source=name):
            return read_class_folders(folder, pattern, unknown, site, name, source.mask_suffix, complain)
        case ImageFolderConfig():
            return read_imagefolder(folder, complain, source.site, source.source)
        case KohyaConfig(patient_pattern=pattern, patients_unknown=unknown, site=site, source=name):
            return read_kohya(folder, source.words, pattern, unknown, site, name, complain)
        case DicomConfig():
            return read_dicom(folder, source.plane, complain, key=read_key(key_file))
    raise SourceError(f"{type(source).__name__}: no source that has a reader")


def read_key(path: Path | None) -> str:
    """The secret that patients' pseudonyms are made with: the first line of a file.

    Raises:
        SourceError: no file, no text, several lines, or fewer than 16 characters.
    """
    if path is None or not path.is_file():
        raise SourceError(f"{path}: no such file; it should hold the key of the pseudonyms. {ADVICE}")
    try:
        key = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is no text; the key of the pseudonyms is one line of it. {ADVICE}") from error
    if len(key) < 16 or len(key.splitlines()) > 1:
        raise SourceError(
            f"{path}: holds {len(key)} characters in {len(key.splitlines())} lines; the key of the pseudonyms needs 16 "
            f"or more in one line. {ADVICE}"
        )
    return key


def _phantoms(source: PhantomsConfig, size_px: int) -> Iterator[RawImage]:
    for site in source.sites:
        for plane in source.planes:
            first = source.first_patient * source.images_per_patient
            numbers = range(first, first + source.per_plane)
            drawn = draw(plane, numbers, site=site, size_px=size_px, seed=source.seed)
            for place, number in enumerate(numbers):
                mask = drawn.masks[place] if drawn.masks[place].any() else None
                yield RawImage(
                    name=f"{site}_{plane}_{number:05d}",
                    plane=plane,
                    source="phantoms",
                    site=site,
                    patient=str(number // source.images_per_patient),
                    load=partial(_drawn, drawn.images[place], mask),
                    machine=SITES[site].machine,
                    pixel_size_mm=float(drawn.pixel_size_mm[place]),
                    hc_mm=_known(drawn.hc_mm[place]),
                    aop_deg=_known(drawn.aop_deg[place]),
                )


def _drawn(pixels: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    return pixels, mask


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
