"""Who is shown in DICOM files: found before pseudonyms hide it, and told without an id or a name."""

import re
from pathlib import Path

import numpy as np
import pytest
from dicom_made import KEY, RAMP, dicom, save
from pydicom import Dataset, Sequence

from fulora.data.patient_numbers import SameNumberError
from fulora.intake.check.check_folder import check_folder, curate_config
from fulora.intake.check.findings import Check
from fulora.intake.config import CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.curate.patient_checks import read_and_check_patients
from fulora.intake.dicom.deidentify_folder import files_to_deidentify
from fulora.intake.key_file import read_key
from fulora.intake.raw_image import SourceError
from fulora.intake.source_config import SourceInputs
from pipelines.checks.findings import Findings
from pipelines.checks.images import Sources

Row = tuple[str, str, str]
SOURCE = {"kind": "dicom", "folder": "in", "key_file": "key.txt"}


def export(folder: Path, *rows: Row) -> Path:
    """A picture of each (PatientID, PatientName, PatientBirthDate)."""
    for number, (patient_id, name, date) in enumerate(rows):
        data = dicom(np.roll(RAMP, 7 * number, axis=1))
        data.PatientID, data.PatientName, data.PatientBirthDate = patient_id, name, date
        save(folder / "in" / "brain" / f"{number}.dcm", data)
    (folder / "key.txt").write_text(KEY)
    return folder / "in"


def checked(folder: Path) -> Check:
    return check_folder(folder, {"key_file": folder.with_name("key.txt")})


def config(**values: str) -> CurateConfig:
    return CurateConfig.model_validate(
        {"sources": [SOURCE | {"role": "train+test"}], "near_duplicates": "ignore", **values}
    )


@pytest.mark.parametrize("other", ["00000011", " 11 ", "0 0 11"])
def test_two_spellings_of_one_id_are_refused_without_printing_the_id(
    tmp_path: Path, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = export(tmp_path, ("11", "A^B", "19900101"), (other, "A^B", "19900101"))
    inputs = [SourceInputs(folder, key_file=tmp_path / "key.txt")]
    if other == " 11 ":  # blanks around a value are no part of it
        assert checked(folder).n_patients == 1
        return
    with pytest.raises(SameNumberError, match=r"1 patient number occurs under two names: \w{12} \(\d.dcm\) = \w{12} "):
        read_and_check_patients(config(), inputs)
    assert len(read_and_check_patients(config(same_numbers="different_patients"), inputs)) == 2
    kinds = {one.kind: one for one in checked(folder).findings}
    assert "doubtful patients" not in kinds
    assert "(0.dcm)" in kinds["one number under two names"].examples[0]
    assert other not in str(checked(folder).to_json())
    files_to_deidentify(folder)
    assert "2 PatientIDs differ only in leading zeros, case or blanks" in capsys.readouterr().err


@pytest.mark.parametrize(("one", "other"), [("P12", "p12"), ("P012", "P12"), ("A-7", "a-07")])
def test_case_and_zeros_in_an_id_with_letters(tmp_path: Path, one: str, other: str) -> None:
    folder = export(tmp_path, (one, "", ""), (other, "", ""))
    assert "one number under two names" in {found.kind for found in checked(folder).findings}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("UNKNOWN", "A^B", "19900101"), ("UNKNOWN", "C^D", "19910101")], "a placeholder .*: 0.dcm and 1 more"),
        ([("ANON0001", "", "")], "a placeholder .*: 0.dcm"),
        (
            [("77", "A^B", "19900101"), ("77", "C^D", "19910101")],
            "one PatientID has several names .*: 0.dcm and 1 more",
        ),
        ([("7", "A^B", "19900101"), ("8", "a b", "19900101")], "2 PatientIDs have one name .*: 0.dcm; 1.dcm"),
    ],
)
def test_ids_that_may_be_of_several_patients_are_reported(
    tmp_path: Path, rows: list[Row], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = export(tmp_path, *rows)
    (doubt,) = [one for one in checked(folder).findings if one.kind == "doubtful patients"]
    assert doubt.count == 1
    assert re.search(expected, doubt.examples[0])
    files_to_deidentify(folder)
    assert doubt.examples[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    "rows",
    [
        [("77", "A^B", "19900101"), ("77", "A^C", "19900101")],  # married
        [("7", "A^B", "19900101"), ("8", "A^B", "19910101")],
        [("7", "ANONYMOUS", "19000101"), ("8", "ANONYMOUS", "19000101")],
        [("10", "", ""), ("100", "", "")],
    ],
)
def test_distinct_patient_ids_have_no_findings(tmp_path: Path, rows: list[Row]) -> None:
    kinds = {one.kind for one in checked(export(tmp_path, *rows)).findings}
    assert not kinds & {"doubtful patients", "one number under two names"}


def region(left: int, right: int, across_cm: float, down_cm: float) -> Dataset:
    found = Dataset()
    found.RegionSpatialFormat, found.RegionDataType, found.RegionFlags = 1, 1, 0
    found.RegionLocationMinX0, found.RegionLocationMaxX1 = left, right
    found.RegionLocationMinY0, found.RegionLocationMaxY1 = 0, 47
    found.PhysicalUnitsXDirection = found.PhysicalUnitsYDirection = 3
    found.PhysicalDeltaX, found.PhysicalDeltaY = across_cm, down_cm
    return found


@pytest.mark.parametrize(
    ("regions", "why"),
    [
        ([region(0, 31, 0.03, 0.03), region(32, 63, 0.06, 0.06)], "2D regions of different scales"),
        ([region(0, 63, 0.03, 0.06)], "pixels are not square"),
    ],
)
@pytest.mark.parametrize("unusable", ["stop", "leave_out"])
def test_a_picture_without_one_scale_is_kept_and_noted(
    tmp_path: Path, regions: list[Dataset], why: str, unusable: str
) -> None:
    data = dicom()
    data.SequenceOfUltrasoundRegions = Sequence(regions)
    save(tmp_path / "in" / "brain" / "x.dcm", data)
    (tmp_path / "key.txt").write_text(KEY)
    inputs = [SourceInputs(tmp_path / "in", key_file=tmp_path / "key.txt")]
    values = config(unusable=unusable).model_dump(mode="json") | {"sources": [{**SOURCE, "role": "train"}]}
    curation = Curation(CurateConfig.model_validate(values), inputs)
    (picture,) = curation.pictures()
    assert picture.row.pixel_size_mm is None
    assert curation.left_out == []
    (noted,) = curation.noted
    assert why in noted
    assert noted.endswith("kept without a pixel size")
    found = Findings()
    assert len(Sources(found, tmp_path).expect("planes", curation.config).images) == 1
    assert not found.problems
    assert why in "".join(found.notes)
    kinds = {one.kind for one in checked(tmp_path / "in").findings}
    assert "contradictory pixel sizes" in kinds
    assert "rows or files left out" not in kinds


def test_constant_pictures_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = export(tmp_path, ("1", "", ""), ("2", "", ""))
    data = dicom(np.zeros_like(RAMP))
    save(folder / "brain" / "black.dcm", data)
    values = {"sources": [{**SOURCE, "role": "train"}]}
    curation = Curation(CurateConfig.model_validate(values), [SourceInputs(folder, key_file=tmp_path / "key.txt")])
    assert len(list(curation.pictures())) == 3
    assert "1 blank images are in the set" in capsys.readouterr().err


def test_a_second_picture_under_one_uid_is_no_copy(tmp_path: Path) -> None:
    data = dicom()
    save(tmp_path / "in" / "brain" / "a.dcm", data)
    data.PixelData = np.ascontiguousarray(255 - RAMP).tobytes()
    save(tmp_path / "in" / "brain" / "b.dcm", data)
    (tmp_path / "key.txt").write_text(KEY)
    with pytest.raises(SourceError, match=r"b.dcm: the same SOPInstanceUID as a.dcm before it, but other pixels"):
        read_and_check_patients(config(), [SourceInputs(tmp_path / "in", key_file=tmp_path / "key.txt")])


def test_the_mark_of_windows_editors_is_no_part_of_a_key(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_bytes(b"\xef\xbb\xbf" + KEY.encode() + b"\r\n")
    assert read_key(tmp_path / "key.txt") == KEY


def test_a_missing_key_names_how_to_make_and_pass_one(tmp_path: Path) -> None:
    folder = export(tmp_path, ("1", "", ""))
    with pytest.raises(SourceError, match=r"set key_file=FILE, .* Create one with `python -c"):
        curate_config(folder, {})
