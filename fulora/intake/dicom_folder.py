"""Write a folder of DICOM files back without names: every file clean, or none of it in the new folder."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from fulora.intake.deidentify import Where, clean
from fulora.intake.dicom_inputs import files_to_deidentify
from fulora.intake.dicom_profile import Audit, Clean, ProfileError, write_deidentified
from fulora.intake.folders import plane_named
from fulora.progress import track
from fulora.workspace import scratch

AUDIT = "audit.json"


def _written(path: Path, target: Path, key: str, overlays: Clean | None) -> Audit:
    try:
        return write_deidentified(path, target, key=key, clean=overlays, pixels_unchecked=overlays is None)
    except ProfileError as error:
        raise ProfileError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def deidentify_folder(folder: Path, to: Path, key: str, where: Where | None) -> Path:
    """Clean copies `0000001.dcm`, ... of every file below a folder, in the order of their names, and `audit.json`.

    The copies' names say nothing; which was which is told to nobody. Folders named after a plane are kept, so that the
    copies can be curated; no other name is. A file that cannot be cleaned stops it all, and `to` is not made.

    Args:
        where: where burned-in text is removed; None passes pixels on unchecked, and marks them so.

    Returns:
        The audit: for every copy, what was done to it, in numbers.

    Raises:
        ProfileError: `to` is there or lies in the folder, there are no files, or a file that is no DICOM image.
    """
    if to.exists():
        raise ProfileError(f"{to}: is there already; name a folder that is not")
    if to.resolve().is_relative_to(folder.resolve()):
        raise ProfileError(f"{to}: lies in {folder}, which is not clean; name a folder outside")
    files = files_to_deidentify(folder)

    def overlays(frame: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
        found = clean(frame, where or "outside")
        return np.asarray(~found.sector | found.inside)

    work = scratch(to)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        rows = {}
        for number, path in enumerate(track(files, "DICOM files"), 1):
            plane = plane_named(path.parent.name)
            name = f"{plane}/{number:07d}.dcm" if plane else f"{number:07d}.dcm"
            (work / name).parent.mkdir(exist_ok=True)
            rows[name] = asdict(_written(path, work / name, key, overlays if where else None))
        (work / AUDIT).write_text(json.dumps(rows, indent=1), encoding="utf-8")
        work.rename(to)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return to / AUDIT
