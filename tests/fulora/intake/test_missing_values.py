"""A value that is missing, in every usual spelling and every list that is read: it is as an empty cell, and said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil
from pydicom import Dataset, FileMetaDataset
from pydicom.pixels import set_pixel_data
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from fulora.intake.dicom.confidentiality_profile import deidentify
from fulora.intake.pixel_sizes import PixelSize, read_pixel_sizes, read_references
from fulora.intake.raw_image import SourceError
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.african_planes import AfricanPlanesConfig
from fulora.intake.sources.dicom import read_dicom
from fulora.intake.sources.fetal_planes import FetalPlanesConfig
from fulora.intake.sources.fu_lora_lists import read_list
from fulora.intake.sources.hc18 import LIST, Hc18Config

NOISE = np.random.default_rng(0).integers(0, 256, (24, 32)).astype(np.uint8)
HEAD = (np.hypot(*np.ogrid[-12:12, -16:16]) < 8).astype(np.uint8) * 255
SPELLINGS = ("NA", "N/A", "nan", "NaN", "NULL", "None", "#N/A", "-", ".", "")


@pytest.fixture(params=SPELLINGS)
def missing(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def save(path: Path, pixels: np.ndarray = NOISE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(path)
    return path


def test_a_patient_or_centre_of_the_african_planes(tmp_path: Path, missing: str) -> None:
    rows = ["Patient_num,Plane,Center,Train,Image_name", f"7.0,Fetal brain,Ghana,{missing},a"]
    rows += [f"{missing},Fetal brain,Ghana,1,b", f"8.0,Fetal brain,{missing},1,c", f"9.0,{missing},Ghana,1,d"]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    for name in "abcd":
        save(tmp_path / f"{name}.png")
    told: list[str] = []
    (image,) = AfricanPlanesConfig().read(SourceInputs(tmp_path), told.append)
    assert (image.patient, image.site, image.published) == ("7", "Ghana", None)
    assert [line.partition(": ")[2].partition(";")[0] for line in told] == [
        "b: Patient_num is '' and Center is 'Ghana'",
        "c: Patient_num is '8' and Center is ''",
        "d: unknown plane ''",
    ]


def test_a_list_of_fetal_planes(tmp_path: Path, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"Patient0000{number}_Plane3_1_of_1" for number in (1, 2)]
    rows = [f"{names[0]};1.0;Fetal brain;{missing};1", f"{names[1]};{missing};Fetal brain;E6;1"]
    path = tmp_path / "FETAL_PLANES_DB_data.csv"
    path.write_text("\n".join(["Image_name;Patient_num;Plane;US_Machine;Train", *rows]) + "\n")
    for name in names:
        save(tmp_path / "Images" / f"{name}.png")
    told: list[str] = []
    (image,) = FetalPlanesConfig().read(SourceInputs(tmp_path), told.append)
    assert (image.patient, image.machine) == ("00001", "")
    assert len(told) == 1
    assert f"{names[1]}: Patient_num is ''; it must be the patient in the name, 2" in told[0]
    if missing:
        said = f'{path}: taken as missing: Patient_num 1 "{missing}"; US_Machine 1 "{missing}"'
        assert said in capsys.readouterr().err
    (tmp_path / "list.csv").write_text(f"Image_name,Plane\n{names[0]},Fetal brain\n{names[1]},{missing}\n")
    with pytest.raises(SourceError, match=r"line 3: .*unknown plane ''"):
        read_list(tmp_path / "list.csv")


def test_a_pixel_size_or_reference_of_heads(tmp_path: Path, missing: str) -> None:
    rows = ["filename,pixel size(mm),head circumference (mm)", "010_HC.png,0.1,170.5"]
    rows += [f"011_HC.png,{missing},171.5", f"012_HC.png,0.2,{missing}"]
    (tmp_path / LIST).write_text("\n".join(rows) + "\n")
    for number in (10, 11, 12):
        save(tmp_path / "training_set" / f"0{number}_HC.png")
        save(tmp_path / "training_set" / f"0{number}_HC_Mask.png", HEAD)
    told: list[str] = []
    (image,) = Hc18Config().read(SourceInputs(tmp_path), told.append)
    assert (image.patient, image.pixel_size_mm, image.hc_mm) == ("010", 0.1, 170.5)
    path = tmp_path / "training_set_pixel_size_and_HC.csv"
    assert [line.removeprefix(f"{path}, ") for line in told] == [
        "line 3: 011_HC.png: pixel size(mm) is ''; it must be a number, such as 0.25",
        "line 4: 012_HC.png: head circumference (mm) is ''; it must be a number, such as 0.25",
    ]


def test_a_list_of_pixel_sizes(tmp_path: Path, missing: str) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text(f"sep=;\nfilename;pixel size(mm);width;height;hc\na.png;0,25;{missing};{missing};{missing}\n")
    assert read_pixel_sizes(path) == {"a": PixelSize(0.25)}
    assert read_references(path, "hc") == {}
    path.write_text(f"filename;pixel size(mm)\na.png;{missing}\n")
    assert read_pixel_sizes(path) == {}  # a failure of its rows, as where the list has no such row


def test_patients_of_dicom_files_without_an_id_are_not_one_patient(tmp_path: Path, missing: str) -> None:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = UltrasoundImageStorage, generate_uid(), "US"
    data.PatientID, data.PatientName = missing, "Doe^Jane"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    set_pixel_data(data, NOISE, "MONOCHROME2", 8, generate_instance_uid=False)
    data.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    with pytest.raises(SourceError, match="no PatientID; patients are indistinguishable"):
        list(read_dicom(tmp_path, "brain", key="a secret of the hospital"))
    kept = deidentify(data, key="a secret of the hospital", clean=lambda shown: np.zeros(shown.shape, bool))[0]
    assert kept.PatientID == missing  # and not one pseudonym for all
