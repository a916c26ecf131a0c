"""The confidentiality profile: nothing that identifies is left in the written bytes, and pixels are as they were."""

import io
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector
from PIL import Image as Pil
from pydicom import DataElement, Dataset, FileMetaDataset, Sequence, examples
from pydicom.datadict import DicomDictionary, dictionary_VR
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array, set_pixel_data
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from fulora.intake.dicom.confidentiality_profile import (
    FileAudit,
    FindText,
    ProfileError,
    deidentify,
    sign_checked,
    write_deidentified,
)
from fulora.intake.dicom.profile_attributes import new_uid
from fulora.intake.raw_image import SourceError
from fulora.intake.sources.dicom import pseudonym, read_dicom

KEY = "a secret of the hospital"
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint8)
UIDS = [f"1.3.6.1.4.1.99999.{number}.20190317.4711" for number in range(9)]


def deidentified(dataset: Dataset, *, key: str, clean: FindText | None, pixels_unchecked: bool = False) -> Dataset:
    return deidentify(dataset, key=key, clean=clean, pixels_unchecked=pixels_unchecked)[0]


def top_left(shown: np.ndarray) -> np.ndarray:
    """A banner of 8 x 20 pixels."""
    where = np.zeros(shown.shape, bool)
    where[:8, :20] = True
    return where


def nothing(shown: np.ndarray) -> np.ndarray:
    return np.zeros(shown.shape, bool)


def picture(pixels: np.ndarray = NOISE, interpretation: str = "MONOCHROME2", bits: int = 8) -> Dataset:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = UltrasoundImageStorage, UIDS[0], "US"
    data.StudyInstanceUID, data.SeriesInstanceUID = UIDS[1], UIDS[2]
    data.PatientID, data.PatientName = "H-4711", "Doe^Jane"
    data.Manufacturer, data.ManufacturerModelName, data.StudyDate = "GE", "Voluson E8", "20190317"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    set_pixel_data(data, pixels, interpretation, bits, generate_instance_uid=False)
    return data


def save(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def written(folder: Path, data: Dataset, **others: object) -> tuple[Dataset, FileAudit, bytes]:
    """The file as it was written: read back, its audit, and its bytes."""
    source, target = save(folder / "in.dcm", data), folder / "out.dcm"
    clean = others.get("clean", nothing)
    audit = write_deidentified(source, target, key=KEY, clean=clean)  # type: ignore[arg-type]
    return pydicom.dcmread(target), audit, target.read_bytes()


# --- who it is

SECRETS: dict[str, str | list[str]] = {
    "PatientName": "Doe^Jane^Q",
    "PatientID": "H-4711-X",
    "IssuerOfPatientID": "MaryHospIssuer",
    "PatientBirthDate": "19870423",
    "PatientBirthTime": "030405",
    "PatientSex": "F",
    "PatientAge": "032Y",
    "PatientBirthName": "Maiden^Jane",
    "OtherPatientIDs": ["ALT-99-1", "ALT-99-2"],
    "OtherPatientNames": "Alias^Jane",
    "PatientMotherBirthName": "Mother^Ann",
    "PatientAddress": "12 Elm Street, Springfield",
    "MilitaryRank": "Sergeant",
    "PatientTelephoneNumbers": "+1-555-0147",
    "CountryOfResidence": "Ruritania",
    "RegionOfResidence": "Strelsau",
    "EthnicGroup": "Ruritanian",
    "Occupation": "Lighthouse keeper",
    "AdditionalPatientHistory": "gravida three",
    "PatientComments": "called Jane by sister",
    "PatientReligiousPreference": "Pastafarian",
    "ReferringPhysicianName": "House^Gregory",
    "ReferringPhysicianAddress": "221B Baker Street",
    "ReferringPhysicianTelephoneNumbers": "+44-555-0199",
    "PerformingPhysicianName": "Wilson^James",
    "PhysiciansOfRecord": "Cuddy^Lisa",
    "NameOfPhysiciansReadingStudy": "Foreman^Eric",
    "OperatorsName": "Sono^Grapher",
    "RequestingPhysician": "Chase^Robert",
    "InstitutionName": "Princeton Plainsboro",
    "InstitutionAddress": "1 Hospital Road",
    "InstitutionalDepartmentName": "Maternity West",
    "StationName": "US-ROOM-7",
    "DeviceSerialNumber": "SN-123456",
    "AccessionNumber": "ACC-8675309",
    "StudyID": "STUDY-31337",
    "StudyDate": "20190317",
    "SeriesDate": "20190318",
    "AcquisitionDate": "20190319",
    "ContentDate": "20190320",
    "StudyTime": "112233.445",
    "AcquisitionDateTime": "20190321101112",
    "InstanceCreationDate": "20190322",
    "StudyDescription": "20 week scan of Jane",
    "SeriesDescription": "twin A series",
    "ProtocolName": "OB Jane",
    "ImageComments": "looks like her father",
    "DerivationDescription": "cut by Bob",
    "FrameComments": "hand of Bob",
    "AdmissionID": "ADM-555",
    "CurrentPatientLocation": "Ward Nine",
    "LastMenstrualDate": "20181028",
    "PerformedProcedureStepDescription": "done for Jane",
    "PerformedProcedureStepID": "PPS-777",
    "RequestedProcedureDescription": "asked by Bob",
    "SoftwareVersions": "1.2.3",
    "DateOfLastCalibration": "20180707",
    "StudyInstanceUID": UIDS[1],
    "SeriesInstanceUID": UIDS[2],
    "FrameOfReferenceUID": UIDS[3],
    "SOPInstanceUID": UIDS[0],
    "IrradiationEventUID": [UIDS[4], UIDS[5]],
    "DeviceUID": UIDS[6],
    "TransducerData": ["C1-5-D", "PROBE-SERIAL-42"],
    "ContributionDescription": "sent by Carol",
    "VisitComments": "came with Dave",
    "TextString": "Jane once more",
    "StudyArrivalDate": "20190316",
}
HARMLESS = ("F", "1.2.3")


def nested() -> Sequence:
    """A request in a request, under an attribute that stays, one that goes, and one whose references stay."""
    deep, item = Dataset(), Dataset()
    deep.RequestedProcedureID, deep.PersonName, deep.ReferencedSOPInstanceUID = "RP-DEEP-1", "Deep^Throat", UIDS[7]
    item.RequestAttributesSequence = Sequence([deep])
    item.PatientName, item.StudyDate, item.AccessionNumber = "Nested^Jane", "20190401", "ACC-NESTED"
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = UltrasoundImageStorage, UIDS[8]
    item.add(DataElement(0x00091001, "LO", "private deep"))
    return Sequence([item])


SEQUENCES = (
    "SourceImageSequence",
    "AnatomicRegionSequence",
    "ProcedureCodeSequence",
    "OtherPatientIDsSequence",
    "RequestAttributesSequence",
    "ReferencedStudySequence",
    "AcquisitionContextSequence",
    "InstitutionCodeSequence",
    "SequenceOfUltrasoundRegions",
    "OperatorIdentificationSequence",
)


def stuffed() -> Dataset:
    """A picture with secrets in some 60 attributes, nested ones, private ones, overlays, curves and bytes."""
    data = picture()
    for keyword, value in SECRETS.items():
        setattr(data, keyword, value)
    for keyword in SEQUENCES:
        setattr(data, keyword, nested())
    icon = Dataset()
    icon.BitsAllocated, icon.Rows, icon.Columns, icon.PixelData = 8, 2, 8, b"ICON-OF-JANE-DOE"
    data.IconImageSequence = Sequence([icon])
    block = data.private_block(0x0029, "VENDOR OF JANE", create=True)
    block.add_new(0x10, "LO", "private name Jane")
    block.add_new(0x12, "US", 4711)
    block.add_new(0x11, "OB", b"private bytes Jane")
    data.add(DataElement(0x60000010, "US", 4))
    data.add(DataElement(0x60003000, "OW", b"OVERLAY-WITH-JANE-"))
    data.add(DataElement(0x60004000, "LT", "overlay by Bob"))
    data.add(DataElement(0x50003000, "OW", b"CURVE-OF-JANE-"))
    data.add(DataElement(0x50000022, "LO", "curve by Bob"))
    data.add(DataElement(0x00420011, "OB", b"document of Jane"))
    data.add(DataElement(0x00282000, "OB", b"profile with Jane "))
    data.add(DataElement(0xFFFCFFFC, "OB", b"padding of Jane "))
    data.file_meta.SourceApplicationEntityTitle = "AE_OF_MARY"
    data.file_meta.PrivateInformationCreatorUID, data.file_meta.PrivateInformation = UIDS[6], b"meta of Jane"
    data.preamble = b"PREAMBLE OF JANE" * 8
    return data


BURIED = (
    "RP-DEEP-1",
    "Throat",
    "ACC-NESTED",
    "20190401",
    "private",
    "VENDOR",
    "ICON",
    "OVERLAY",
    "overlay",
    "CURVE",
    "curve",
    "document",
    "profile",
    "padding",
    "AE_OF_MARY",
    "meta of",
    "PREAMBLE",
    "Jane",
    "JANE",
    "Doe",
    "Bob",
    "4711",
)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
def test_no_secret_is_left_anywhere_in_the_bytes(tmp_path: Path, syntax: UID) -> None:
    data = stuffed()
    data.file_meta.TransferSyntaxUID = syntax
    texts = [text for value in SECRETS.values() for text in (value if isinstance(value, list) else [value])]
    secrets = [text for text in [*texts, *UIDS, *BURIED] if text not in HARMLESS]
    source = save(tmp_path / "in.dcm", data).read_bytes()
    assert [text for text in secrets if text.encode() not in source] == []
    back, audit, found = written(tmp_path, data)
    assert [text for text in secrets if text.encode() in found] == []
    assert found[:128] == bytes(128)
    tags = [element.tag for element in back]
    assert not any(tag.is_private or tag.group & 0xFF00 in (0x5000, 0x6000) for tag in tags)
    assert back.Manufacturer == "GE"
    assert back.SoftwareVersions == "1.2.3"
    assert back.PatientSex == ""
    assert min(audit.removed, audit.replaced, audit.emptied, audit.uids) >= 8
    assert all(isinstance(number, int) for number in astuple(audit))


def test_secrets_behind_and_inside_compressed_frames_are_gone(tmp_path: Path) -> None:
    data, buffer = picture(COLOURS, "RGB"), io.BytesIO()
    Pil.fromarray(COLOURS).save(buffer, "JPEG", comment=b"comment of Jane")
    data.PixelData = encapsulate([buffer.getvalue() + b"behind the end: Jane"])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID, data.PhotometricInterpretation = JPEGBaseline8Bit, "YBR_FULL_422"
    _, _, found = written(tmp_path, data)
    assert b"Jane" in (tmp_path / "in.dcm").read_bytes()
    assert b"Jane" not in found


TABLES = dicom_anonymization_database_selector("dicomfields_2026c")
TEXTS = {"LO": 64, "LT": 99, "PN": 64, "SH": 16, "ST": 99, "UT": 99, "UC": 99, "AE": 16}
LEFT = {
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "CodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "CodeMeaning",
}


def test_every_text_of_the_dictionary_is_cleared_but_seven_that_name_machines_and_codes() -> None:
    """Each text attribute that DICOM has holds its own mark; afterwards only those of `LEFT` are there."""
    data, marks = picture(), {}
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr in TEXTS and keyword and tag >> 16 not in (0, 2) and keyword != "SpecificCharacterSet":
            marks[keyword] = f"Mk{tag:08X}"
            data.add(DataElement(tag, vr, marks[keyword]))
    assert len(marks) > 700
    found = str(deidentified(data, key=KEY, clean=nothing))
    assert {keyword for keyword, mark in marks.items() if mark in found} == LEFT


def test_every_attribute_of_the_standards_table_is_treated_at_any_depth() -> None:
    """Dates, times, UIDs and texts of table E.1-1, once at the top and once in a sequence that stays."""
    values = {
        "DA": "19870423",
        "TM": "030405.678",
        "DT": "19870423030405",
        "AS": "031Y",
        "UI": UIDS[5],
        "UR": "urn:Jane",
        "CS": "MKJANE",
        "DS": "71.25",
    }
    item = Dataset()
    for tag in TABLES["ALL_TAGS"]:
        known = len(tag) == 2 and tag[0] != 2 and (tag[0] << 16 | tag[1]) in DicomDictionary
        vr = dictionary_VR(tag) if known else ""
        if vr in values or vr in TEXTS:
            item.add(DataElement(tag, vr, values.get(vr, "MkJane")))
    assert len(item) > 400
    data = picture()
    data.AnatomicRegionSequence = Sequence([item])
    data.update(item)
    back = deidentified(data, key=KEY, clean=nothing)
    assert len(back.AnatomicRegionSequence[0]) > 50
    assert not any(value in str(back) for value in [*values.values(), "MkJane"])
    assert not any(tag[:2] in level for tag in TABLES["X_TAGS"] for level in (back, back.AnatomicRegionSequence[0]))


def test_what_lies_about_its_kind_or_has_no_name_goes() -> None:
    data, item = picture(), Dataset()
    data.add(DataElement("SOPInstanceUID", "CS", "MKJANE"))
    data.add(DataElement("VisitStatusID", "CS", "STAYS"))
    data.add(DataElement("RescaleType", "CS", "MKJANE"))  # LO, and not named by the profile
    data.add(DataElement(0x00107777, "CS", "MKJANE"))  # not in the standard
    item.ImageType = "MKJANE"
    data.add(DataElement(0x00107778, "SQ", Sequence([item])))
    back = deidentified(data, key=KEY, clean=nothing)
    assert "MKJANE" not in str(back)
    assert back.VisitStatusID == "STAYS"


# --- what takes its place


def test_ids_are_replaced_alike_in_every_file_of_a_study(tmp_path: Path) -> None:
    first, second = picture(), picture(255 - NOISE)
    second.SOPInstanceUID = UIDS[4]
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = UltrasoundImageStorage, UIDS[0]
    second.SourceImageSequence = Sequence([reference])
    one, two = (deidentified(data, key=KEY, clean=nothing) for data in (first, second))
    assert one.StudyInstanceUID == two.StudyInstanceUID == new_uid(UIDS[1], KEY)
    assert one.SOPInstanceUID != two.SOPInstanceUID
    assert two.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert two.SourceImageSequence[0].ReferencedSOPClassUID == one.SOPClassUID == UltrasoundImageStorage
    assert one.PatientID == two.PatientID == pseudonym("H-4711", KEY)
    assert all(UID(uid).is_valid and uid.startswith("2.25.") for uid in (one.StudyInstanceUID, one.SOPInstanceUID))
    assert deidentified(first, key="other", clean=nothing).StudyInstanceUID != one.StudyInstanceUID


def test_uids_of_the_standard_stay() -> None:
    data, code = picture(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-D1100", "SRT", "Head"
    code.ContextUID, code.MappingResourceUID = "1.2.840.10008.6.1.2", "1.2.840.10008.8.1.1"
    data.AnatomicRegionSequence = Sequence([code])
    data.FrameOfReferenceUID, data.SynchronizationFrameOfReferenceUID = "1.2.840.10008.99.4711", "1.2.840.10008.15.1.1"
    data.SOPClassUID = "1.2.840.113663.1500.1.1.1"  # a vendor's class says what it is, not whose
    back = deidentified(data, key=KEY, clean=nothing)
    assert back.SOPClassUID == "1.2.840.113663.1500.1.1.1"
    assert back.FrameOfReferenceUID == new_uid("1.2.840.10008.99.4711", KEY)  # not the standard's, whatever it claims
    assert back.SynchronizationFrameOfReferenceUID == "1.2.840.10008.15.1.1"
    assert deidentified(data, key=KEY, clean=nothing).AnatomicRegionSequence[0] == code


def test_the_data_set_itself_is_left_as_it_is() -> None:
    data = picture()
    assert deidentified(data, key=KEY, clean=top_left) != data
    assert data == picture()


def test_the_pseudonym_is_the_readers(tmp_path: Path) -> None:
    back, _, _ = written(tmp_path / "a", picture())
    (tmp_path / "a" / "out.dcm").unlink()
    (image,) = read_dicom(tmp_path / "a", "brain", key=KEY)
    assert back.PatientID == image.patient


def test_no_patient_id_stays_none() -> None:
    data = picture()
    data.PatientID = ""
    assert deidentified(data, key=KEY, clean=nothing).PatientID == ""


@pytest.mark.parametrize("said", ["NO", "YES", None])
def test_pixels_that_were_not_reviewed_are_not_called_clean(tmp_path: Path, said: str | None) -> None:
    data = picture()
    data.BurnedInAnnotation = said
    back, audit, _ = written(tmp_path, data)
    assert (back.PatientIdentityRemoved, back.BurnedInAnnotation) == ("NO", "YES")
    codes = [(code.CodeValue, code.CodingSchemeDesignator) for code in back.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM")]
    assert back.LongitudinalTemporalInformationModified == "REMOVED"
    assert back.DeidentificationMethod[0].startswith("fulora ")
    assert back.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert back.file_meta.MediaStorageSOPInstanceUID == back.SOPInstanceUID
    assert (audit.frames, audit.searched_for_text, audit.blanked_pixels) == (1, True, 0)
    unchecked = deidentified(data, key=KEY, clean=None, pixels_unchecked=True)
    assert [code.CodeValue for code in unchecked.DeidentificationMethodCodeSequence] == ["113100"]
    assert unchecked.BurnedInAnnotation == "YES"


def test_a_file_that_a_person_has_checked_says_so(tmp_path: Path) -> None:
    back, _, _ = written(tmp_path, picture())
    sign_checked(back)
    assert (back.PatientIdentityRemoved, back.BurnedInAnnotation) == ("YES", "NO")
    codes = [(code.CodeValue, code.CodeMeaning) for code in back.DeidentificationMethodCodeSequence]
    assert codes[1:] == [("113101", "Clean Pixel Data Option")]


# --- pixels


def compressed(syntax: UID, pixels: np.ndarray, interpretation: str, bits: int = 8) -> Dataset:
    data = picture(pixels, interpretation, bits)
    data.compress(syntax, generate_instance_uid=False)
    return data


TWELVE = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


@pytest.mark.parametrize(
    ("make", "black"),
    [
        (picture, 0),
        (lambda: picture(interpretation="MONOCHROME1"), 255),
        (lambda: picture(TWELVE, "MONOCHROME1", 12), 4095),
        (lambda: picture((TWELVE.astype(np.int16) - 2000), bits=12), -2048),
        (lambda: picture(COLOURS, "RGB"), 0),
        (lambda: compressed(RLELossless, NOISE, "MONOCHROME2"), 0),
        (lambda: compressed(JPEGLSLossless, TWELVE, "MONOCHROME2", 12), 0),
        (lambda: compressed(JPEG2000Lossless, COLOURS, "RGB"), 0),
        (lambda: picture(np.stack([NOISE, 255 - NOISE, NOISE])), 0),
        (lambda: compressed(RLELossless, np.stack([COLOURS, 255 - COLOURS]), "RGB"), 0),
        (lambda: picture(NOISE[:1, :1].repeat(9, 0).repeat(21, 1)), 0),
        (lambda: picture(NOISE[None]), 0),
    ],
)
def test_pixels_are_equal_where_they_are_not_blanked(tmp_path: Path, make: Callable[[], Dataset], black: int) -> None:
    data = make()
    before = pixel_array(data)
    back, audit, _ = written(tmp_path, data, clean=top_left)
    after = pixel_array(back)
    frames = int(data.get("NumberOfFrames") or 1)
    stack = before.reshape(frames, data.Rows, data.Columns, -1).copy()
    stack[:, :8, :20] = black
    np.testing.assert_array_equal(after, stack.reshape(before.shape))
    assert after.dtype == before.dtype
    assert audit.blanked_pixels == 160 * frames
    assert audit.frames == frames
    (tmp_path / "in.dcm").unlink()
    for image in read_dicom(tmp_path, "brain", key=KEY):
        assert (image.load()[0][:8, :20] <= 1).all()


def test_the_cleaner_sees_each_frame_as_it_is_shown() -> None:
    seen: list[np.ndarray] = []

    def look(shown: np.ndarray) -> np.ndarray:
        seen.append(shown)
        return shown > 200

    data = picture(np.stack([NOISE, NOISE // 2]), "MONOCHROME1")
    back = pixel_array(deidentified(data, key=KEY, clean=look))
    np.testing.assert_array_equal(seen, np.stack([255 - NOISE, 255 - NOISE // 2]))
    assert ((255 - back) <= 200).all()


@pytest.mark.parametrize("name", ["rgb_color", "palette_color", "ybr_color"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_ultrasound_that_comes_with_pydicom(tmp_path: Path, name: str) -> None:
    """Shows the same before and after, cines too, and keeps its scale and frame time."""
    data = pydicom.dcmread(examples.get_path(name))
    patient, uid = str(data.PatientID), str(data.SOPInstanceUID)
    source, target = save(tmp_path / "in" / "x", data), tmp_path / "out" / "x"
    target.parent.mkdir()
    audit = write_deidentified(source, target, key=KEY, clean=None, pixels_unchecked=True)
    back = pydicom.dcmread(target)
    assert uid.encode() not in target.read_bytes()
    assert back.PatientID == pseudonym(patient, KEY)
    assert back.PhotometricInterpretation == "RGB"
    assert back.get("FrameTime") == data.get("FrameTime")
    for region, old in zip(
        back.get("SequenceOfUltrasoundRegions", []), data.get("SequenceOfUltrasoundRegions", []), strict=True
    ):
        assert (region.PhysicalDeltaX, region.RegionDataType) == (old.PhysicalDeltaX, old.RegionDataType)
    first, second = (list(read_dicom(path.parent, "other", lambda _: None, key=KEY)) for path in (source, target))
    assert len(first) == len(second) == audit.frames
    assert first[0].pixel_size_mm == second[0].pixel_size_mm
    for index in {0, len(first) - 1}:
        np.testing.assert_array_equal(first[index].load()[0], second[index].load()[0])


def test_a_cine_keeps_its_kind(tmp_path: Path) -> None:
    data = picture(np.stack([NOISE, NOISE]))
    data.SOPClassUID, data.FrameTime, data.FrameIncrementPointer = UltrasoundMultiFrameImageStorage, "33.3", 0x00181063
    back, _, _ = written(tmp_path, data)
    assert (back.SOPClassUID, back.NumberOfFrames) == (UltrasoundMultiFrameImageStorage, 2)
    assert (back.FrameTime, back.FrameIncrementPointer) == (33.3, 0x00181063)


# --- what is refused


def test_pixels_are_searched_for_text_or_declared_unchecked() -> None:
    for clean, unchecked in ((None, False), (nothing, True)):
        with pytest.raises(
            ProfileError, match="burned-in text: give either a function `clean`, or pixels_unchecked=True"
        ):
            deidentified(picture(), key=KEY, clean=clean, pixels_unchecked=unchecked)


def test_a_key_is_needed() -> None:
    with pytest.raises(SourceError, match="the key has 0 bytes"):
        deidentified(picture(), key="", clean=nothing)


@pytest.mark.parametrize("mask", [np.zeros((48, 64), np.uint8), np.zeros((64, 48), bool)])
def test_a_mask_must_fit(mask: np.ndarray) -> None:
    with pytest.raises(ProfileError, match=r"`clean` returned \w+ of shape .*; expected bool of shape \(48, 64\)"):
        deidentified(picture(), key=KEY, clean=lambda shown: mask)


def test_big_endian_becomes_little_endian(tmp_path: Path) -> None:
    """Pixels and the words of a table: a square law over 12 bits."""
    data, item = picture(TWELVE, bits=12), Dataset()
    law = np.round(np.arange(4096) ** 2 / 4095**2 * 65535)
    item.LUTDescriptor, item.LUTExplanation = [4096, 0, 16], "of Jane"
    item.add(DataElement("LUTData", "OW", law.astype(">u2").tobytes()))
    data.VOILUTSequence = Sequence([item])
    data.PixelData = TWELVE.astype(">u2").tobytes()
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    back, _, found = written(tmp_path, data)
    assert back.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    np.testing.assert_array_equal(pixel_array(back), TWELVE)
    np.testing.assert_array_equal(np.frombuffer(back.VOILUTSequence[0].LUTData, "<u2"), law)
    assert b"Jane" not in found


def test_nothing_is_written_where_something_cannot_be_read(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no DICOM")
    with pytest.raises(ProfileError, match=r"text: cannot be read as DICOM"):
        write_deidentified(text, tmp_path / "y", key=KEY, clean=nothing)
    cut = save(tmp_path / "cut", picture())
    cut.write_bytes(cut.read_bytes()[:-50])
    with pytest.raises(ProfileError, match=r"cut: truncated: 3,022 bytes of 3,072 bytes of pixel data are available"):
        write_deidentified(cut, tmp_path / "y", key=KEY, clean=nothing)
    report = picture()
    del report.PixelData, report.PhotometricInterpretation
    with pytest.raises(ProfileError, match="no pixels: not an image, or truncated"):
        deidentified(report, key=KEY, clean=nothing)
    unnamed = save(tmp_path / "unnamed", picture())
    data = pydicom.dcmread(unnamed)
    del data.SOPInstanceUID
    data.save_as(unnamed)
    with pytest.raises(ProfileError, match=r"unnamed: the de-identified copy is not a valid DICOM file"):
        write_deidentified(unnamed, tmp_path / "y", key=KEY, clean=nothing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "text", "unnamed"]


def test_a_value_that_cannot_be_read_stops_it(tmp_path: Path) -> None:
    data = picture()
    data.ReferencePixelPhysicalValueX = 0.0
    path = save(tmp_path / "x", data)
    path.write_bytes(path.read_bytes().replace(b"FD\x08\0" + bytes(8), b"FD\x07\0" + bytes(7)))
    with pytest.raises(ProfileError, match=r"a value or the pixels cannot be read .*; nothing is passed on"):
        write_deidentified(path, tmp_path / "y", key=KEY, clean=nothing)
    assert not (tmp_path / "y").exists()


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    source = save(tmp_path / "x", picture())
    with pytest.raises(ProfileError, match="x: already exists; choose another name or remove it"):
        write_deidentified(source, source, key=KEY, clean=nothing)


def test_a_new_uid_differs_from_a_patients_pseudonym() -> None:
    assert generate_uid().startswith("1.2.826")  # the kind that is replaced
    assert new_uid(UIDS[0], KEY) != new_uid(UIDS[0], KEY + "2")
    assert len(new_uid(UIDS[0], KEY)) <= 64
