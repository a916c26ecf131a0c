"""Confirmation by a person that no text is left in automatically cleaned images, after checking the sheets.

The confirmed content is recorded by digests of all files, in an append-only record. It is in the review beside an
export or an image set, so that these do not change, except for attributes of DICOM files.
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
from fulora.data.image_set import ImageSet
from fulora.digests import file_digest
from fulora.files import move_into_place
from fulora.intake.deidentify.review import CONFIRMATIONS, EXPORT_LIST, REVIEW, SHEETS, review_folder
from fulora.intake.dicom.confidentiality_profile import sign_checked
from fulora.intake.sources.imagefolder import AUDIT
from fulora.integrity import LIST, differences, read_list, remedy
from fulora.json_files import parse_json
from fulora.progress import track
from fulora.stage import RECORD, read_record

LONGEST_NAME = 200
ABOUT_CONTENT = (RECORD, LIST)
"""Files of an artifact that describe its content, and do not belong to it."""


class ConfirmationError(ValueError):
    """An export or image set that cannot be confirmed."""


def confirm_folder(folder: Path, by: str) -> str:
    """Confirm a DICOM export, or an image set, that a person has checked on its sheets; return a description.

    Raises:
        ConfirmationError: if the person has no name, the folder is neither an export nor an image set, no text was
            searched, sheets or content are missing, additional or changed, or it is already confirmed.
    """
    by = " ".join(by.split())
    if not 1 <= len(by) <= LONGEST_NAME or not by.isprintable():
        raise ConfirmationError(f"give the name of the person who checked the sheets, 1 to {LONGEST_NAME} characters")
    if (review_folder(folder) / REVIEW).is_file():
        return _confirm_export(folder, by)
    if (folder / RECORD).is_file():
        return _confirm_images(ImageSet(folder, ""), by)
    raise ConfirmationError(
        f"{folder}: cannot be confirmed: it has no review ({review_folder(folder) / REVIEW}) and is not an image set "
        "of `fulora data curate`; name the folder that was written with --to, and keep its review beside it"
    )


# --- DICOM exports


def _confirm_export(folder: Path, by: str) -> str:
    beside = review_folder(folder)
    review = _read(beside / REVIEW)
    _check_sheets(beside / SHEETS, review["sheets"])
    if others := _list_files(beside / SHEETS) - set(review["sheets"]):
        raise ConfirmationError(f"{beside / SHEETS / min(others)}: is not a sheet of this export; remove it")
    wanted: dict[str, str] = {name: row["sha256"] for name, row in review["files"].items()}
    _check_names(folder, set(wanted) | set(review["other files"]))
    _check_others(folder, review["other files"], set(wanted))
    done = {name: after for line in _records(folder) for name, after in line.get("confirmed", {}).items()}
    digests = {name: file_digest(folder / name) for name in track(wanted, "files compared")}
    for name, sha256 in digests.items():
        if sha256 not in (wanted[name], done.get(name)):
            raise ConfirmationError(f"{folder / name}: has changed since its sheets were written; de-identify again")
    left = [name for name in wanted if digests[name] == wanted[name]]
    if not left:
        raise ConfirmationError(f"{folder}: is already {_describe([*_records(folder)][-1])}; nothing was changed")
    after = {name: hashlib.sha256(_signed(folder / name)).hexdigest() for name in track(left, "files prepared")}
    _record(folder, by, {"checked": wanted, "confirmed": done | after, "sheets": review["sheets"]})
    part = beside / "signed.part"
    for name in track(left, "files signed"):
        part.write_bytes(_signed(folder / name))
        move_into_place(part, folder / name)
    return (
        f"{len(wanted)} files confirmed by {by}: they declare PatientIdentityRemoved YES, BurnedInAnnotation NO and "
        f"'Clean Pixel Data Option' now; recorded in {beside / CONFIRMATIONS}"
    )


def _signed(path: Path) -> bytes:
    dataset = dcmread(path)
    sign_checked(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _check_names(folder: Path, wanted: set[str]) -> None:
    existing = _list_files(folder)
    for problem, names in (("is missing", wanted - existing), ("is on no sheet", existing - wanted)):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            remedy = "remove it" if names <= existing else "restore the export, or de-identify again"
            raise ConfirmationError(f"{folder / min(names)}: {problem}{more}; {remedy}")


def _check_others(folder: Path, digests: Mapping[str, str], wanted: set[str]) -> None:
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
            f"{folder}: no {AUDIT}/{REVIEW}: no text was searched in this set, or its {AUDIT}/ was removed; "
            "it cannot be checked without sheets"
        )
    review = _read(folder / AUDIT / REVIEW)
    _check_sheets(folder / AUDIT, review["sheets"])
    _check_content(folder)
    if (confirmation := confirmed_by(folder)) is not None:
        raise ConfirmationError(f"{folder}: is already {confirmation}; nothing was changed")
    _record(folder, by, {"content": record["digest"], "sheets": review["sheets"], "counts": review["counts"]})
    return (
        f"{review['counts']['images']} images confirmed by {by}: no text is left; "
        f"recorded in {review_folder(folder) / CONFIRMATIONS}"
    )


def _check_content(folder: Path) -> None:
    """Compare every file of an image set with the list of its content; other files are not allowed."""
    listed = set(read_list(folder)) | set(ABOUT_CONTENT)
    wrong = [str(one) for one in differences(folder, thorough=True)]
    added = sorted(f"{name} (added)" for name in _list_files(folder) - listed)
    changes = sorted({*wrong, *added})
    if changes:
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        advice = "Remove what was added" if set(changes) == set(added) else remedy(folder)
        raise ConfirmationError(f"{folder}: changed since its sheets were written: {changes[0]}{more}. {advice}")


def confirmation_state(folder: Path) -> str | None:
    """Return the state of text removal of an image set; None if no text was searched."""
    if not (folder / AUDIT / REVIEW).is_file():
        return None
    return confirmed_by(folder) or str(_read(folder / AUDIT / REVIEW)["state"])


def confirmed_by(folder: Path) -> str | None:
    """Return who confirmed an image set, and when; None if it is not confirmed."""
    content = read_record(folder)["digest"]
    return next((_describe(line) for line in _records(folder) if line.get("content") == content), None)


# --- files, sheets and records


def _list_files(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {path.relative_to(folder).as_posix() for path in paths}


def _check_sheets(folder: Path, wanted: Mapping[str, str]) -> None:
    for name, sha256 in wanted.items():
        path = folder / name
        if not path.is_file():
            raise ConfirmationError(f"{path}: this sheet is missing; without it nothing can be confirmed")
        if file_digest(path) != sha256:
            raise ConfirmationError(f"{path}: this sheet has changed since it was written; de-identify again")


def _record(folder: Path, by: str, what: Mapping[str, object]) -> None:
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


def _describe(line: Mapping[str, object]) -> str:
    return f"confirmed by {line['confirmed_by']} at {line['at']}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(parse_json(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ConfirmationError(f"{path}: is damaged ({error}); de-identify again") from error
