"""A person confirms that no text is left in pictures that were cleaned automatically, after looking at the sheets.

What is confirmed is that very content: digests of all of it stand in the record, which is only ever added to. It stands
in the review beside an export or an image set, so that neither changes by it except for what DICOM files say.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom import dcmread

import fulora
from fulora.contents import LIST, differences, read_list, remedy
from fulora.data.image_set import ImageSet
from fulora.digests import file_digest
from fulora.intake.deidentify.review import CONFIRMATIONS, EXPORT_LIST, REVIEW, SHEETS, review_folder
from fulora.intake.dicom.confidentiality_profile import sign_checked
from fulora.intake.sources.imagefolder import AUDIT
from fulora.json_files import parse_json
from fulora.progress import track
from fulora.stage import RECORD, read_record

LONGEST_NAME = 200
ABOUT_CONTENT = (RECORD, LIST)
"""Files of an artifact that say what its content is, and do not belong to it."""


class ConfirmationError(ValueError):
    """Something that cannot be confirmed."""


def confirm_folder(folder: Path, by: str) -> str:
    """Confirm a DICOM export, or an image set, that a person has checked on its sheets; returns what was done.

    Raises:
        ConfirmationError: no name of the person; neither an export nor an image set; no text was looked for; sheets or
            content that are missing, additional or changed since; or it is confirmed already.
    """
    by = " ".join(by.split())
    if not 1 <= len(by) <= LONGEST_NAME or not by.isprintable():
        raise ConfirmationError(f"who confirms? Give the name of the person who looked, 1 to {LONGEST_NAME} characters")
    if (review_folder(folder) / REVIEW).is_file():
        return _confirm_export(folder, by)
    if (folder / RECORD).is_file():
        return _confirm_images(ImageSet(folder, ""), by)
    raise ConfirmationError(
        f"{folder}: cannot be confirmed: it has no review ({review_folder(folder) / REVIEW}) and is no image set that "
        "`fulora data curate` made; name the folder that was written with --to, and keep its review beside it"
    )


# --- DICOM exports


def _confirm_export(folder: Path, by: str) -> str:
    beside = review_folder(folder)
    review = _read(beside / REVIEW)
    _check_sheets(beside / SHEETS, review["sheets"])
    _no_other_sheets(beside / SHEETS, review["sheets"])
    wanted: dict[str, str] = {name: row["sha256"] for name, row in review["files"].items()}
    _check_names(folder, set(wanted) | set(review["other files"]))
    _check_others(folder, review["other files"], set(wanted))
    done = {name: after for line in _records(folder) for name, after in line.get("confirmed", {}).items()}
    found = {name: file_digest(folder / name) for name in track(wanted, "files compared")}
    for name, sha256 in found.items():
        if sha256 not in (wanted[name], done.get(name)):
            raise ConfirmationError(f"{folder / name}: has changed since its sheets were made; de-identify again")
    left = [name for name in wanted if found[name] == wanted[name]]
    if not left:
        raise ConfirmationError(f"{folder}: is already {_last(folder)}; nothing was changed")
    after = {name: hashlib.sha256(_checked(folder / name)).hexdigest() for name in track(left, "files prepared")}
    _record(folder, by, {"checked": wanted, "confirmed": done | after, "sheets": review["sheets"]})
    part = beside / "signed.part"
    for name in track(left, "files signed"):
        part.write_bytes(_checked(folder / name))
        part.replace(folder / name)
    return (
        f"{len(wanted)} files confirmed by {by}: they say PatientIdentityRemoved YES, BurnedInAnnotation NO and "
        "'Clean Pixel Data Option' now; "
        f"recorded in {beside / CONFIRMATIONS}"
    )


def _checked(path: Path) -> bytes:
    """The file as it is once a person has checked it."""
    dataset = dcmread(path)
    sign_checked(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _check_names(folder: Path, wanted: set[str]) -> None:
    there = _names(folder)
    for problem, names in (("is missing", wanted - there), ("is on no sheet", there - wanted)):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            remedy = "remove it" if names <= there else "restore the export, or de-identify again"
            raise ConfirmationError(f"{folder / min(names)}: {problem}{more}; {remedy}")


def _check_others(folder: Path, digests: Mapping[str, str], wanted: set[str]) -> None:
    """Hold the files without pictures against the review, and the review's files against the list of the export."""
    for name, sha256 in digests.items():
        if file_digest(folder / name) != sha256:
            raise ConfirmationError(f"{folder / name}: has changed since it was written; de-identify again")
    written = set(_read(folder / EXPORT_LIST)) if EXPORT_LIST in digests else set()
    if written != wanted:
        name = min(written ^ wanted)
        raise ConfirmationError(
            f"{review_folder(folder) / REVIEW}: is not the review of this export: {name} is only in one of it and "
            f"{folder / EXPORT_LIST}; de-identify again"
        )


# --- image sets


def _confirm_images(images: ImageSet, by: str) -> str:
    folder, record = images.path, read_record(images.path)
    if not (folder / AUDIT / REVIEW).is_file():
        raise ConfirmationError(
            f"{folder}: no {AUDIT}/{REVIEW}: no text was looked for in this set, or its {AUDIT}/ was removed; "
            "without sheets nobody can check it"
        )
    review = _read(folder / AUDIT / REVIEW)
    _check_sheets(folder / AUDIT, review["sheets"])
    _check_content(folder)
    if (said := confirmed_by(folder)) is not None:
        raise ConfirmationError(f"{folder}: is already {said}; nothing was changed")
    _record(folder, by, {"content": record["digest"], "sheets": review["sheets"], "counts": review["counts"]})
    return (
        f"{review['counts']['images']} images confirmed by {by}: no text is left; "
        f"recorded in {review_folder(folder) / CONFIRMATIONS}"
    )


def _check_content(folder: Path) -> None:
    """Hold every file of an image set against the list of what it was made with; no other may be there."""
    listed = set(read_list(folder)) | set(ABOUT_CONTENT)
    wrong = [str(one) for one in differences(folder, thorough=True)]
    added = sorted(f"{name} (added)" for name in _names(folder) - listed)
    found = sorted({*wrong, *added})
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        advice = "Remove what was added" if set(found) == set(added) else remedy(folder)
        raise ConfirmationError(f"{folder}: not as when its sheets were made: {found[0]}{more}. {advice}")


def confirmation_state(folder: Path) -> str | None:
    """What is known of the text in an image set's pictures; None where none was looked for."""
    if not (folder / AUDIT / REVIEW).is_file():
        return None
    return confirmed_by(folder) or str(_read(folder / AUDIT / REVIEW)["state"])


def confirmed_by(folder: Path) -> str | None:
    """Who confirmed an image set, and when; None where nobody has."""
    content = read_record(folder)["digest"]
    return next((_said(line) for line in _records(folder) if line.get("content") == content), None)


# --- files, sheets and records


def _names(folder: Path) -> set[str]:
    """Every file and link below a folder, hidden ones and what file browsers leave as well, by its path there."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in found}


def _check_sheets(folder: Path, wanted: Mapping[str, str]) -> None:
    for name, sha256 in wanted.items():
        path = folder / name
        if not path.is_file():
            raise ConfirmationError(f"{path}: this sheet is missing; what nobody can look at cannot be confirmed")
        if file_digest(path) != sha256:
            raise ConfirmationError(f"{path}: this sheet has changed since it was made; de-identify again")


def _no_other_sheets(folder: Path, wanted: Mapping[str, str]) -> None:
    if others := _names(folder) - set(wanted):
        raise ConfirmationError(f"{folder / min(others)}: is no sheet of this export; remove it")


def _record(folder: Path, by: str, what: Mapping[str, object]) -> None:
    """Add a line to the confirmations, on the disk before this returns."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    line = {"confirmed_by": by, "at": at, "fulora": fulora.__version__, **what}
    path = review_folder(folder) / CONFIRMATIONS
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    path = review_folder(folder) / CONFIRMATIONS
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else (), 1):
        try:
            yield dict(parse_json(line))
        except ValueError as error:
            raise ConfirmationError(f"{path}, line {number}: is damaged ({error}); restore this record") from error


def _last(folder: Path) -> str:
    return _said(list(_records(folder))[-1])


def _said(line: Mapping[str, object]) -> str:
    return f"confirmed by {line['confirmed_by']} at {line['at']}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(parse_json(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ConfirmationError(f"{path}: is damaged ({error}); de-identify again") from error
