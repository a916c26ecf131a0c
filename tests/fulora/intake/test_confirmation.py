"""Only what a person could look at is confirmed, once, and only while it is the very content that the sheets show."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image as Pil
from pydicom import Dataset, FileMetaDataset
from pydicom.pixels import pixel_array, set_pixel_data
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

from fulora.data.image_set import ImageSet
from fulora.digests import file_digest
from fulora.engine import InProcess
from fulora.intake.config import CurateConfig
from fulora.intake.deidentify.confirmation import ConfirmationError, confirm_folder, confirmation_state
from fulora.intake.deidentify.contact_sheets import FRAMES, HEADER_PX
from fulora.intake.deidentify.review import review_folder
from fulora.intake.deidentify.text_detection import find_words, installed_detector
from fulora.intake.dicom.deidentify_folder import deidentify_folder
from fulora.intake.phantoms.scan import draw
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.african_planes import AfricanPlanesConfig
from fulora.intake.sources.hc18 import Hc18Config
from fulora.intake.sources.lora_planes import LoraPlanesConfig
from fulora.intake.sources.psfhs import PsfhsConfig
from fulora.workspace import Workspace
from pipelines.study_inputs import curated

KEY = "0123456789abcdef"
PHANTOM = draw("brain", [0], site="A", size_px=96, seed=3).images[0]
NAMED = np.zeros((160, 200), np.uint8)
NAMED[50:146, 50:146] = PHANTOM
cv2.putText(NAMED, "SMITH", (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1, cv2.LINE_AA)


def dicom(path: Path, pixels: np.ndarray, number: int, interpretation: str = "MONOCHROME2") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = UltrasoundImageStorage, f"1.2.3.{number}", "US"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = "1.2.4", "1.2.5", f"H{number}"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    set_pixel_data(data, pixels, interpretation, 8, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Three files: a picture with a name, a colour picture, and a cine whose second frame alone has a name."""
    dicom(tmp_path / "in" / "brain" / "Jane.dcm", NAMED, 1)
    dicom(tmp_path / "in" / "a_colour.dcm", np.repeat(NAMED[:, :, None], 3, 2), 2, "RGB")
    bare = np.zeros_like(NAMED)
    bare[50:146, 50:146] = PHANTOM
    dicom(tmp_path / "in" / "c_cine.dcm", np.stack([bare, NAMED, bare]), 3)
    deidentify_folder(tmp_path / "in", tmp_path / "clean", KEY, "outside", None)
    return tmp_path / "clean"


def said(folder: Path) -> set[tuple[str, tuple[str, ...]]]:
    files = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
    return {(f.BurnedInAnnotation, tuple(c.CodeValue for c in f.DeidentificationMethodCodeSequence)) for f in files}


NOT_CHECKED, CHECKED = ("YES", ("113100",)), ("NO", ("113100", "113101"))


def test_the_review_shows_every_frame_outside_the_export_and_claims_nothing(export: Path) -> None:
    assert said(export) == {NOT_CHECKED}
    review = json.loads((review_folder(export) / "review.json").read_text())
    assert review["counts"] == {
        "files": 3,
        "cleaned automatically, not checked": 3,
        "nothing removed, not checked": 0,
        "frames": 5,
        "frames changed": 3,
    }
    names = ["0000001.dcm", "0000003.dcm", "brain/0000002.dcm"]
    assert sorted(review["files"]) == names == sorted(p.relative_to(export).as_posix() for p in export.rglob("*.dcm"))
    assert all(review["files"][name]["sha256"] == file_digest(export / name) for name in names)
    assert review["files"]["0000003.dcm"]["sheets"] == ["frames-0001.png"]
    sheets = review_folder(export) / "sheets"
    assert {path.name: file_digest(path) for path in sheets.iterdir()} == review["sheets"]
    assert not list(export.rglob("*.png"))
    assert "keep this folder private" in (review_folder(export) / "KEEP-PRIVATE.txt").read_text()
    with Pil.open(sheets / "frames-0001.png") as image:
        page = np.asarray(image.convert("L"))
    width, height = FRAMES.cell
    cells = [page[HEADER_PX + r * height :][24:height, c * width :][:, : width // 3] for r, c in ((0, 0), (0, 1))]
    assert cells[1][:40, :80].max() > 200 > cells[0][:40, 10:80].max()  # "before" of frame 2 has the name


def test_the_sheets_show_what_was_written_in_its_colours(tmp_path: Path) -> None:
    """Blue letters are nearly black in gray: a person has to see them as they are."""
    blue = np.repeat(NAMED[:, :, None], 3, 2)
    cv2.putText(blue, "SMITH", (60, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 255), 2)
    dicom(tmp_path / "in" / "x.dcm", blue, 1, "RGB")
    deidentify_folder(tmp_path / "in", tmp_path / "clean", KEY, None, None)
    with Pil.open(tmp_path / "clean-review" / "sheets" / "pictures-0001.png") as image:
        page = np.asarray(image)
    after = page[:, 640:1280].astype(int)
    assert ((after[..., 2] > 200) & (after[..., 0] < 40)).sum() > 100


def test_confirming_signs_every_file_and_records_who_and_what(export: Path) -> None:
    before = {path: pixel_array(path) for path in export.rglob("*.dcm")}
    digests = {path.relative_to(export).as_posix(): file_digest(path) for path in before}
    assert "3 files confirmed by A. Person" in confirm_folder(export, " A.  Person ")
    assert said(export) == {CHECKED}
    for path, pixels in before.items():
        np.testing.assert_array_equal(pixel_array(path), pixels)
    (line,) = map(json.loads, (review_folder(export) / "confirmations.jsonl").read_text().splitlines())
    assert (line["confirmed_by"], line["checked"]) == ("A. Person", digests)
    assert line["confirmed"] == {name: file_digest(export / name) for name in digests}
    assert line["at"].endswith("+00:00")
    with pytest.raises(ConfirmationError, match=r"is already confirmed by A\. Person at .*; nothing was changed"):
        confirm_folder(export, "B. Person")
    assert len((review_folder(export) / "confirmations.jsonl").read_text().splitlines()) == 1


def test_pictures_in_which_no_text_was_looked_for_are_shown_and_can_be_confirmed(export: Path) -> None:
    shutil.rmtree(export)
    shutil.rmtree(review_folder(export))
    review = deidentify_folder(export.with_name("in"), export, KEY, None, None)
    assert review.searched == "nowhere: no text was searched"
    assert review.counts()["nothing removed, not checked"] == 3
    assert said(export) == {NOT_CHECKED}
    confirm_folder(export, "A. Person")
    assert said(export) == {CHECKED}


def test_a_confirmation_that_was_cut_off_is_finished(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.replace, []

    def fail_second(new: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError("no space left")
        real(new, target)

    monkeypatch.setattr(os, "replace", fail_second)
    with pytest.raises(OSError, match="no space left"):
        confirm_folder(export, "A. Person")
    monkeypatch.undo()
    assert said(export) == {NOT_CHECKED, CHECKED}
    confirm_folder(export, "A. Person")
    assert said(export) == {CHECKED}


def change_pixels(export: Path) -> str:
    data = pydicom.dcmread(export / "0000001.dcm")
    pixels = pixel_array(data).copy()
    pixels[0, 0] = 255
    set_pixel_data(data, pixels, "RGB", 8, generate_instance_uid=False)
    data.save_as(export / "0000001.dcm")
    return r"0000001\.dcm: has changed since its sheets were written"


def change_tags(export: Path) -> str:
    data = pydicom.dcmread(export / "brain" / "0000002.dcm")
    data.PatientName = "Doe^Jane"
    data.save_as(export / "brain" / "0000002.dcm")
    return r"brain/0000002\.dcm: has changed"


def take_file(export: Path) -> str:
    (export / "0000003.dcm").unlink()
    return r"0000003\.dcm: is missing; restore the export"


def add_file(export: Path) -> str:
    shutil.copy(export / "0000001.dcm", export / "brain" / "new.dcm")
    return r"brain/new\.dcm: is on no sheet"


def hide_file(export: Path) -> str:
    shutil.copy(export / "0000001.dcm", export / "brain" / ".IM0099")
    return r"brain/\.IM0099: is on no sheet; remove it"


def hide_folder(export: Path) -> str:
    shutil.copytree(export / "brain", export / ".more")
    return r"\.more/0000002\.dcm: is on no sheet; remove it"


def browse(export: Path) -> str:
    (export / ".DS_Store").write_bytes(b"x")
    return r"\.DS_Store: is on no sheet; remove it"


def change_list(export: Path) -> str:
    shutil.copy(export.with_name("in") / "a_colour.dcm", export / "audit.json")
    return r"audit\.json: has changed since it was written"


def edit_review(export: Path) -> str:
    (export / "0000003.dcm").unlink()
    path = review_folder(export) / "review.json"
    review = json.loads(path.read_text())
    del review["files"]["0000003.dcm"]
    path.write_text(json.dumps(review))
    return r"review\.json: is not the review of this export: 0000003\.dcm"


def forget_list(export: Path) -> str:
    path = review_folder(export) / "review.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"other files": {}}))
    return r"audit\.json: is on no sheet; remove it"


def add_sheet(export: Path) -> str:
    sheets = review_folder(export) / "sheets"
    shutil.copy(sheets / "frames-0001.png", sheets / "frames-0099.png")
    return r"frames-0099\.png: is not a sheet of this export; remove it"


def link_folder(export: Path) -> str:
    (export / "more").symlink_to(export.with_name("in"))
    return r"more: is on no sheet"


def take_sheet(export: Path) -> str:
    (review_folder(export) / "sheets" / "frames-0001.png").unlink()
    return r"frames-0001\.png: this sheet is missing; without it nothing can be confirmed"


def change_sheet(export: Path) -> str:
    shutil.copy(*(review_folder(export) / "sheets" / f"{name}-0001.png" for name in ("pictures", "frames")))
    return r"frames-0001\.png: this sheet has changed"


def take_review(export: Path) -> str:
    shutil.rmtree(review_folder(export))
    return r"clean: cannot be confirmed: it has no review"


def damage_review(export: Path) -> str:
    (review_folder(export) / "review.json").write_text("{")
    return r"review\.json: is damaged"


def damage_record(export: Path) -> str:
    (review_folder(export) / "confirmations.jsonl").write_text('{"confirmed_by"\n')
    return r"confirmations\.jsonl, line 1: is damaged"


CHANGES = [
    change_pixels,
    change_tags,
    take_file,
    add_file,
    link_folder,
    take_sheet,
    change_sheet,
    take_review,
    damage_review,
    damage_record,
    hide_file,
    hide_folder,
    browse,
    change_list,
    edit_review,
    forget_list,
    add_sheet,
]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_confirming_other_content_than_was_reviewed_is_refused(export: Path, change: Callable[[Path], str]) -> None:
    message = change(export)
    with pytest.raises(ConfirmationError, match=message):
        confirm_folder(export, "A. Person")
    assert said(export) == {NOT_CHECKED}


@pytest.mark.parametrize("by", ["", "  ", "x" * 201, "A\x1b[2J"])
def test_a_confirmation_needs_the_name_of_a_person(export: Path, by: str) -> None:
    with pytest.raises(ConfirmationError, match="give the name of the person who checked"):
        confirm_folder(export, by)


def test_an_export_whose_review_is_there_already_is_not_made(export: Path) -> None:
    shutil.rmtree(export)
    with pytest.raises(ValueError, match="clean-review: already exists"):
        deidentify_folder(export.with_name("in"), export, KEY, "outside", None)
    assert not export.exists()


# --- image sets


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A finished image set of four pictures, one of them without text."""
    (tmp_path / "in" / "brain").mkdir(parents=True)
    for number in range(3):
        Pil.fromarray(np.roll(NAMED, number, 1)).save(tmp_path / "in" / "brain" / f"P{number}.png")
    Pil.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / "in" / "brain" / "P4.png")
    source = {"kind": "class_folders", "folder": "in", "patient_pattern": r"P(\d+)", "role": "train"}
    config = CurateConfig.model_validate({"sources": [source], "image_size_px": 64})
    return curated(config, tmp_path, Workspace(tmp_path / "work", InProcess())).path


def test_an_image_set_is_not_checked_until_a_person_confirms_it(images: Path) -> None:
    before = {path: path.read_bytes() for path in images.rglob("*") if path.is_file()}
    assert confirmation_state(images) == "cleaned automatically, not checked"
    assert "4 images confirmed by A. Person" in confirm_folder(images, "A. Person")
    assert str(confirmation_state(images)).startswith("confirmed by A. Person at 20")
    assert {path: path.read_bytes() for path in images.rglob("*") if path.is_file()} == before
    with pytest.raises(ConfirmationError, match=r"is already confirmed by A\. Person"):
        confirm_folder(images, "A. Person")
    (line,) = map(json.loads, (review_folder(images) / "confirmations.jsonl").read_text().splitlines())
    assert line["content"] == json.loads((images / "stage.json").read_text())["digest"]


def test_other_content_of_the_same_name_is_not_confirmed(images: Path) -> None:
    confirm_folder(images, "A. Person")
    record = json.loads((images / "stage.json").read_text())
    (images / "stage.json").write_text(json.dumps(record | {"digest": "another making"}))
    assert confirmation_state(images) == "cleaned automatically, not checked"


def change_picture(images: Path) -> str:
    row = ImageSet(images, "").rows()[0]
    path = images / row.split / row.file_name
    Pil.fromarray(255 - np.asarray(Pil.open(path))).save(path)
    return rf"changed since its sheets were written: \S*{path.name} \(changed\)"


def take_picture(images: Path) -> str:
    row = ImageSet(images, "").rows()[-1]
    (images / row.split / row.file_name).unlink()
    return r"changed since its sheets were written: \S*\.png \(missing\)"


def add_picture(images: Path) -> str:
    Pil.fromarray(NAMED).save(images / "train" / "images" / "new.png")
    return r"changed since its sheets were written: train/images/new\.png \(added\)"


def take_image_sheet(images: Path) -> str:
    (images / "audit" / "unchanged-0001.png").unlink()
    return r"unchanged-0001\.png: this sheet is missing"


def take_audit(images: Path) -> str:
    shutil.rmtree(images / "audit")
    return r"no text was searched in this set, or its audit/ was removed"


@pytest.mark.slow
@pytest.mark.parametrize("change", [change_picture, take_picture, add_picture, take_image_sheet, take_audit])
def test_an_image_set_that_is_not_as_it_was_shown_is_refused(images: Path, change: Callable[[Path], str]) -> None:
    message = change(images)
    with pytest.raises(ConfirmationError, match=message):
        confirm_folder(images, "A. Person")
    assert not review_folder(images).exists()


def test_a_set_in_which_no_text_was_looked_for_has_no_state(tmp_path: Path) -> None:
    assert confirmation_state(tmp_path) is None


# --- real images


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["lora_planes", "african_planes", "hc18", "psfhs"])
def test_a_name_over_tissue_is_on_the_sheets_and_the_image_is_not_called_clean(
    data_root: Path, tmp_path: Path, name: str
) -> None:
    read = {
        "lora_planes": lambda: LoraPlanesConfig().read(SourceInputs(data_root / "fetal_planes_lora")),
        "african_planes": lambda: AfricanPlanesConfig().read(SourceInputs(data_root / "african" / "african_train")),
        "hc18": lambda: Hc18Config().read(SourceInputs(data_root / "hc18")),
        "psfhs": lambda: PsfhsConfig(block=25).read(SourceInputs(data_root / "psfhs")),
    }[name]
    pixels = next(item for item in read() if int(item.patient) % 2).load()[0].copy()
    height, width = pixels.shape
    letters = np.zeros_like(pixels)
    cv2.putText(letters, "DOE^JANE", (width // 3, height // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 235, 1, cv2.LINE_AA)
    dicom(tmp_path / "in" / "x.dcm", np.maximum(pixels, letters), 1)
    deidentify_folder(tmp_path / "in", tmp_path / "clean", KEY, "outside", find_words if installed_detector() else None)
    assert said(tmp_path / "clean") == {NOT_CHECKED}
    with Pil.open(tmp_path / "clean-review" / "sheets" / "pictures-0001.png") as image:
        assert image.size[0] == 1920
    if installed_detector():
        assert (pixel_array(tmp_path / "clean" / "0000001.dcm")[letters > 60] == 0).mean() > 0.95
    confirm_folder(tmp_path / "clean", "A. Person")
    assert said(tmp_path / "clean") == {CHECKED}


@pytest.mark.parametrize("name", ["train/images/.new.png", ".DS_Store"])
def test_a_hidden_file_in_an_image_set_is_refused(images: Path, name: str) -> None:
    (images / name).write_bytes(b"x")
    with pytest.raises(ConfirmationError, match=rf"{re.escape(name)} \(added\)\. Remove what was added"):
        confirm_folder(images, "A. Person")
