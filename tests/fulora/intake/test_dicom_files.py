"""Which files of a folder are ultrasound images: one answer for curate, check and deidentify."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dicom_made import KEY, RAMP, compressed, dicom, jpeg, jpeg_2000, save
from pydicom import Dataset, dcmread
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    EncapsulatedPDFStorage,
    EnhancedUSVolumeStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    KeyObjectSelectionDocumentStorage,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
)

from fulora.intake.check.check_folder import check_folder
from fulora.intake.config import CurateConfig, DicomConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.dicom.confidentiality_profile import ProfileError
from fulora.intake.dicom.deidentify_folder import files_to_deidentify
from fulora.intake.dicom.ultrasound_files import find_ultrasound
from fulora.intake.raw_image import FileNote, SourceError, refuse
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.dicom import read_dicom

PRIVATE = UID("1.2.840.113619.4.26.9")


def without_pixels(kind: UID, *, rows: bool = False) -> Dataset:
    data = dicom()
    data.SOPClassUID = kind
    for keyword in ("PixelData", *(() if rows else ("Rows", "Columns"))):
        delattr(data, keyword)
    return data


def modality(value: str, kind: UID = UltrasoundImageStorage) -> Dataset:
    data = dicom()
    data.Modality, data.SOPClassUID = value, kind
    return data


def pdf() -> Dataset:
    data = without_pixels(EncapsulatedPDFStorage)
    data.Modality, data.EncapsulatedDocument = "DOC", b"%PDF-1.7"
    return data


def told_of(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """Names of the images, and what is noted and refused, of a folder."""
    told: list[str] = []
    images = [found.path.name for found in find_ultrasound(folder, told.append)]
    noted = [message for message in told if isinstance(message, FileNote)]
    return images, noted, [message for message in told if message not in noted]


# --- passed over


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: without_pixels(MediaStorageDirectoryStorage), "a DICOMDIR, which lists files"),
        (lambda: without_pixels(BasicTextSRStorage), r"holds no image \(Basic Text SR Storage\)"),
        (lambda: without_pixels(GrayscaleSoftcopyPresentationStateStorage), "holds no image .*Presentation State"),
        (lambda: without_pixels(KeyObjectSelectionDocumentStorage), r"holds no image \(Key Object Selection"),
        (lambda: without_pixels(PRIVATE), rf"holds no image \({PRIVATE}\)"),
        (pdf, r"holds no image \(Encapsulated PDF Storage\)"),
        (
            lambda: modality("OT", SecondaryCaptureImageStorage),
            r"modality 'OT' \(Secondary Capture Image Storage\), not",
        ),
        (lambda: modality("CT"), r"modality 'CT' .*, not ultrasound \(US or IVUS\)"),
    ],
)
def test_what_holds_no_ultrasound_image_is_passed_over_and_named(
    tmp_path: Path, make: Callable[[], Dataset], why: str
) -> None:
    save(tmp_path / "a", make())
    save(tmp_path / "b", dicom())
    images, noted, wrong = told_of(tmp_path)
    assert (images, wrong) == (["b"], [])
    (line,) = noted
    with pytest.raises(SourceError, match=f"a: passed over: {why}"):
        raise SourceError(line)
    assert len(list(read_dicom(tmp_path, "brain", refuse, key=KEY))) == 1


def test_files_of_other_kinds_are_allowed_in_the_folder(tmp_path: Path) -> None:
    save(tmp_path / "a" / "picture.txt", dicom())  # an ending does not make it a text
    for name in ("notes.txt", "list.CSV", "README", "AUTORUN.INF", "index.html", "VIEWER/logo.png", "VIEWER/x.dll"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"MZ\0\0" if path.suffix else b"a patient's CD")
    save(tmp_path / ".Trash" / "old.dcm", dicom())
    for name in (".DS_Store", "__MACOSX/._x", ".Trash/x.dcm", "._picture.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    images, noted, wrong = told_of(tmp_path)
    assert (images, wrong) == (["picture.txt"], [])
    assert [line.split(": ")[0].removeprefix(f"{tmp_path}/") for line in noted[1:]] == sorted(
        ("notes.txt", "list.CSV", "README", "AUTORUN.INF", "index.html", "VIEWER/logo.png", "VIEWER/x.dll")
    )
    assert all(line.endswith(": passed over: not a DICOM file") for line in noted[1:])
    assert noted[0] == f"{tmp_path / '.Trash' / 'old.dcm'}: passed over: a hidden file"


# --- errors


@pytest.mark.parametrize("name", ["x.dcm", "x.DICOM", "x.ima", "1.2.840.113619.2.55"])
def test_a_text_named_like_dicom_is_an_error(tmp_path: Path, name: str) -> None:
    save(tmp_path / "good", dicom())
    (tmp_path / name).write_text("a text of some length " * 20)
    images, noted, wrong = told_of(tmp_path)
    assert (images, noted) == (["good"], [])
    assert wrong == [f"{tmp_path / name}: not a DICOM file, though it is named like one; replace, rename or remove it"]


@pytest.mark.parametrize("content", [b"", bytes(500), b"\1\2\0\3"])
def test_a_file_without_ending_that_is_no_text_is_an_error(tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "IM0001", dicom())
    (tmp_path / "IM0002").write_bytes(content)
    images, noted, wrong = told_of(tmp_path)
    assert (images, noted, len(wrong)) == (["IM0001"], [], 1)
    assert "IM0002: not a DICOM file, though it is named like one" in wrong[0]


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("meta", [True, False])
@pytest.mark.parametrize("name", ["x", "x.dcm", "x.bin"])
def test_dicom_without_preamble_is_an_error(tmp_path: Path, implicit: bool, meta: bool, name: str) -> None:
    save(tmp_path / "good", dicom())
    path = save(tmp_path / name, dicom())
    if meta:
        path.write_bytes(path.read_bytes()[132:])
    else:
        data = dicom()
        del data.file_meta
        data.save_as(path, implicit_vr=implicit, little_endian=True)
    images, noted, wrong = told_of(tmp_path)
    assert (images, noted) == (["good"], [])
    assert wrong == [f"{path}: a DICOM data set without the first 132 bytes of a file; export it as a DICOM file"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            without_pixels(UltrasoundImageStorage),
            r"no pixels \(SOP class Ultrasound Image Storage\): not an image, or",
        ),
        (without_pixels(EnhancedUSVolumeStorage), r"no pixels \(SOP class Enhanced US Volume Storage\)"),
        (without_pixels(PRIVATE, rows=True), rf"no pixels \(SOP class {PRIVATE}\)"),
        (modality(""), r"no Modality \(Ultrasound Image Storage\); expected ultrasound \(US or IVUS\)"),
    ],
)
def test_an_image_that_lacks_what_it_needs_is_an_error(tmp_path: Path, data: Dataset, message: str) -> None:
    save(tmp_path / "x", data)
    with pytest.raises(SourceError, match=f"x: {message}"):
        list(find_ultrasound(tmp_path, refuse))


def test_links_and_pipes_are_named(tmp_path: Path) -> None:
    save(tmp_path / "in" / "good", dicom())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "in" / "gone").symlink_to("nothing")
    (tmp_path / "in" / "folder").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "in" / "pipe")
    images, _, wrong = told_of(tmp_path / "in")
    assert images == ["good"]
    assert sorted(Path(line.split(": ")[0]).name for line in wrong) == ["folder", "gone", "pipe"]
    assert all("a link to a folder, a broken link, or no regular file; remove it" in line for line in wrong)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "good", dicom())
    real = os.scandir

    def scandir(place: str | os.PathLike[str]) -> object:
        if Path(place).name == "shut":
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    (tmp_path / "shut").mkdir()
    monkeypatch.setattr(os, "scandir", scandir)
    images, _, wrong = told_of(tmp_path)
    assert (images, wrong) == (["good"], [f"{tmp_path / 'shut'}: cannot be opened (Permission denied)"])


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "good", dicom())
    save(tmp_path / "shut", dicom())
    real = Path.open

    def opened(path: Path, *given: object, **named: object) -> object:
        if path.name == "shut":
            raise PermissionError(13, "Permission denied")
        return real(path, *given, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opened)
    images, _, wrong = told_of(tmp_path)
    assert (images, len(wrong)) == (["good"], 1)
    assert "shut: cannot be read as DICOM ([Errno 13] Permission denied)" in wrong[0]


# --- the three commands


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """Two stills, a report, a secondary capture, a directory and a read-me."""
    folder = tmp_path / "disc"
    for number, data in enumerate((dicom(), dicom(), without_pixels(BasicTextSRStorage), modality("OT"))):
        save(folder / "IMAGES" / f"IM{number}", data)
    save(folder / "DICOMDIR", without_pixels(MediaStorageDirectoryStorage))
    (folder / "README.TXT").write_text("a patient's CD")
    (tmp_path / "key.txt").write_text(KEY)
    return folder


def curation(folder: Path, **others: object) -> Curation:
    source = DicomConfig(folder=folder.name, plane="brain", key_file=Path("key.txt"))
    config = CurateConfig(sources=(source,), deidentify="nothing", **others)  # type: ignore[arg-type]
    return Curation(config, [SourceInputs(folder, key_file=folder.parent / "key.txt")])


def test_curate_check_and_deidentify_take_the_same_files(
    disc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = check_folder(disc, {"kind": "dicom", "plane": "brain", "key_file": str(tmp_path / "key.txt")})
    (passed,) = [finding for finding in check.findings if finding.kind == "files passed over"]
    assert (check.n_images, passed.count, passed.severity) == (2, 4, "note")
    curated = curation(disc)
    assert len(list(curated.pictures())) == 2
    assert curated.left_out == list(passed.examples)
    assert [path.name for path in files_to_deidentify(disc)] == ["IM0", "IM1"]
    said = capsys.readouterr().err
    assert "passed over: 4 files without an ultrasound image" in said
    assert all(line in said for line in passed.examples)


def test_one_wrong_file_is_refused_by_all(disc: Path, tmp_path: Path) -> None:
    (disc / "IMAGES" / "cut.dcm").write_bytes((disc / "IMAGES" / "IM0").read_bytes()[:-9])
    (disc / "IMAGES" / "text.dcm").write_text("a text")
    check = check_folder(disc, {"kind": "dicom", "plane": "brain", "key_file": str(tmp_path / "key.txt")})
    (wrong,) = [finding for finding in check.findings if finding.kind == "rows or files left out"]
    assert wrong.count == 2
    with pytest.raises(SourceError, match=r"cut\.dcm: truncated: 3,063 bytes of 3,072 bytes"):
        list(curation(disc).pictures())
    lenient = curation(disc, unusable="leave_out")
    assert len(list(lenient.pictures())) == 2
    assert set(wrong.examples) <= set(lenient.left_out)
    with pytest.raises(ProfileError, match="2 files cannot be used; nothing is written:") as refused:
        files_to_deidentify(disc)
    assert str(refused.value).splitlines()[1:] == list(wrong.examples)


def test_a_disc_without_images_is_reported(disc: Path) -> None:
    for number in (0, 1):
        (disc / "IMAGES" / f"IM{number}").unlink()
    message = "disc: no ultrasound image among its files; passed over: 4, such as .*DICOMDIR: passed over: a DICOMDIR"
    with pytest.raises(SourceError, match=message):
        files_to_deidentify(disc)
    with pytest.raises(SourceError, match=message):
        list(curation(disc).pictures())


def test_where_all_is_wrong_all_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.dcm").write_text("a text")
    with pytest.raises(ProfileError, match=r"1 files cannot be used; nothing is written:\n.*x\.dcm: not a DICOM file"):
        files_to_deidentify(tmp_path)


def test_ignored_attributes_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By check as a note, and by deidentify; curate stops at none of them, and leaves none out."""
    folder = tmp_path / "in"
    save(folder / "a", compressed([jpeg(RAMP)] * 5, JPEGBaseline8Bit, "MONOCHROME2", RAMP))
    save(folder / "b", compressed([jpeg(jfif=True)], JPEGBaseline8Bit, "RGB"))
    save(folder / "c", compressed([jpeg(space="RGB", adobe=0)], JPEGBaseline8Bit, "YBR_FULL"))
    save(folder / "d", compressed([jpeg_2000(transform=True)], JPEG2000Lossless, "YBR_FULL_422"))
    save(folder / "e", compressed([jpeg_2000(transform=True)], JPEG2000Lossless, "YBR_RCT"))
    save(folder / "f", compressed([jpeg()], JPEGBaseline8Bit, "YBR_FULL_422"))
    (tmp_path / "key.txt").write_text(KEY)
    expected = (
        f"{folder / 'a'}: no NumberOfFrames, but 5 compressed frames",
        f"{folder / 'b'}: PhotometricInterpretation RGB, but its compressed data decode to YBR",
        f"{folder / 'c'}: PhotometricInterpretation YBR_FULL, but its compressed data decode to RGB",
        f"{folder / 'd'}: PhotometricInterpretation YBR_FULL_422, but its compressed data decode to RGB",
    )
    check = check_folder(folder, {"kind": "dicom", "plane": "brain", "key_file": str(tmp_path / "key.txt")})
    (noted,) = [finding for finding in check.findings if finding.kind == "attributes that are not followed"]
    assert (noted.severity, noted.examples) == ("note", expected)
    curated = curation(folder)
    assert len(list(curated.pictures())) == 10
    assert curated.left_out == []
    assert len(files_to_deidentify(folder)) == 6
    said = capsys.readouterr().err
    assert "read as their pixels are, not as their attributes say: 4 files" in said
    assert all(line in said for line in expected)


def test_a_folder_without_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(SourceError, match="no DICOM files, which have 'DICM' at byte 128"):
        files_to_deidentify(tmp_path)


@pytest.mark.parametrize("missing", ["PatientID", "SOPInstanceUID"])
def test_what_curate_needs_deidentify_needs(disc: Path, missing: str) -> None:
    path = disc / "IMAGES" / "IM0"
    data = dcmread(path)
    delattr(data, missing)
    data.save_as(path)
    with pytest.raises(ProfileError, match=f"IM0: no {missing}"):
        files_to_deidentify(disc)


def test_a_second_copy_is_refused_by_deidentify(disc: Path) -> None:
    (disc / "IMAGES" / "copy").write_bytes((disc / "IMAGES" / "IM0").read_bytes())
    with pytest.raises(ProfileError, match="the same SOPInstanceUID as IM0 before it; remove the copy"):
        files_to_deidentify(disc)
