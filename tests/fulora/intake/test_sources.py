"""Each source against a made-up folder in its published layout, every error, and the real folders."""

import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import openpyxl
import pytest
import SimpleITK
from PIL import Image as Pil
from scipy import ndimage

from fulora.data.label_set import label_set
from fulora.intake.formats.metaimage import read_mha
from fulora.intake.masks.validation import fill_outline
from fulora.intake.raw_image import PassedOver, RawImage, SourceError
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.african_planes import AfricanPlanesConfig
from fulora.intake.sources.fetal_planes import FetalPlanesConfig
from fulora.intake.sources.fu_lora_lists import LISTS, ListedImage, missing_images, read_list
from fulora.intake.sources.hc18 import LIST, Hc18Config
from fulora.intake.sources.lora_planes import LoraPlanesConfig
from fulora.intake.sources.psfhs import PsfhsConfig

PLANES = label_set("fetal_planes").names

NOISE = np.random.default_rng(0).integers(0, 256, (12, 16)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray = NOISE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(pixels).save(path)
    return path


def facts(image: RawImage) -> tuple[str, str, str, str, str]:
    return image.name, image.plane, image.source, image.site, image.patient


# --- FU-LoRA's Spanish planes


@pytest.fixture
def lora_planes(tmp_path: Path) -> Path:
    for number, plane in enumerate(PLANES):
        save(tmp_path / plane / f"Patient0018{number}_Plane3_1_of_2.png")
    save(tmp_path / "brain" / "Patient00009_Plane3_2_of_2.png")
    (tmp_path / "lora_train_data.csv").write_text("lists cervix images that are not there\n")
    return tmp_path


def test_lora_planes(lora_planes: Path) -> None:
    images = list(LoraPlanesConfig().read(SourceInputs(lora_planes)))
    assert Counter(image.plane for image in images) == {"abdomen": 1, "brain": 2, "femur": 1, "thorax": 1, "other": 1}
    assert facts(images[1]) == ("Patient00009_Plane3_2_of_2", "brain", "fetal_planes_db", "barcelona", "00009")
    pixels, mask = images[1].load()
    np.testing.assert_array_equal(pixels, NOISE)
    assert mask is None
    assert images[1].pixel_size_mm is images[1].hc_mm is None


def test_lora_planes_without_a_plane(lora_planes: Path) -> None:
    (lora_planes / "femur" / "Patient00182_Plane3_1_of_2.png").unlink()
    with pytest.raises(SourceError, match=r"femur: no PNG images; expected one folder per plane: abdomen, brain"):
        list(LoraPlanesConfig().read(SourceInputs(lora_planes)))


def test_lora_planes_with_a_name_that_has_no_patient(lora_planes: Path) -> None:
    save(lora_planes / "brain" / "Patient_1.png")
    with pytest.raises(SourceError, match=r"Patient_1: expected a name such as Patient00188_Plane3_3_of_3"):
        list(LoraPlanesConfig().read(SourceInputs(lora_planes)))


def test_what_the_lora_planes_say_of_themselves(lora_planes: Path) -> None:
    (lora_planes / "brain" / "duplicate_text_for_each_image.txt").write_text("a photo of fetal brain")
    images = list(LoraPlanesConfig().read(SourceInputs(lora_planes)))
    assert {image.published for image in images} == {"train"}
    assert {image.caption for image in images if image.plane == "brain"} == {"a photo of fetal brain"}
    assert {image.caption for image in images if image.plane != "brain"} == {""}


# --- FETAL_PLANES_DB and FU-LoRA's lists

FETAL = """Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train
Patient00001_Plane2_1_of_1;1;Fetal abdomen;Not A Brain;Op. 1;Aloka;1
Patient00001_Plane4_1_of_1;1;Maternal cervix;Not A Brain;Op. 1;Aloka;1
Patient01792_Plane3_1_of_2;1792;Fetal brain;Trans-thalamic;Op. 2;Voluson E6;0
Patient01792_Plane1_2_of_2;1792;Other;Not A Brain;Op. 2;Voluson E6;0
"""


@pytest.fixture
def fetal(tmp_path: Path) -> Path:
    for line in FETAL.splitlines()[1:]:
        save(tmp_path / "Images" / f"{line.split(';')[0]}.png")
    (tmp_path / "FETAL_PLANES_DB_data.csv").write_text(FETAL.replace("Train\n", "Train \n"))
    return tmp_path


def test_fetal_planes_db(fetal: Path) -> None:
    images = list(FetalPlanesConfig().read(SourceInputs(fetal)))
    assert [facts(image) for image in images] == [
        ("Patient00001_Plane2_1_of_1", "abdomen", "fetal_planes_db", "barcelona", "00001"),
        ("Patient01792_Plane3_1_of_2", "brain", "fetal_planes_db", "barcelona", "01792"),
        ("Patient01792_Plane1_2_of_2", "other", "fetal_planes_db", "barcelona", "01792"),
    ]
    assert [image.published for image in images] == ["train", "test", "test"]
    assert [image.machine for image in images] == ["Aloka", "Voluson E6", "Voluson E6"]
    np.testing.assert_array_equal(images[0].load()[0], NOISE)
    assert [image.plane for image in FetalPlanesConfig(half="train").read(SourceInputs(fetal))] == ["abdomen"]
    assert [image.plane for image in FetalPlanesConfig(half="test").read(SourceInputs(fetal))] == ["brain", "other"]


def test_fetal_planes_db_from_its_spreadsheet(fetal: Path) -> None:
    book = openpyxl.Workbook()
    for line in (fetal / "FETAL_PLANES_DB_data.csv").read_text().splitlines():
        book.worksheets[0].append([int(cell) if cell.isdecimal() else cell for cell in line.split(";")])
    expected = [(facts(image), image.published) for image in FetalPlanesConfig().read(SourceInputs(fetal))]
    book.save(fetal / "FETAL_PLANES_DB_data.xlsx")
    (fetal / "FETAL_PLANES_DB_data.csv").unlink()
    assert [(facts(image), image.published) for image in FetalPlanesConfig().read(SourceInputs(fetal))] == expected
    (fetal / "FETAL_PLANES_DB_data.xlsx").unlink()
    with pytest.raises(SourceError, match=r"neither FETAL_PLANES_DB_data\.xlsx nor FETAL_PLANES_DB_data\.csv exists"):
        list(FetalPlanesConfig().read(SourceInputs(fetal)))


def test_fetal_planes_by_a_list_of_fu_loras(fetal: Path) -> None:
    (fetal / "spain.csv").write_text(",Unnamed: 0,Image_name,Plane,Train \n7,9,Patient01792_Plane3_1_of_2,2,1\n")
    (image,) = FetalPlanesConfig(list_file="spain.csv").read(SourceInputs(fetal))
    assert facts(image)[1:] == ("brain", "fetal_planes_db", "barcelona", "01792")
    assert image.published == "train"
    (fetal / "other.csv").write_text("Image_name,Plane\nPatient01792_Plane1_2_of_2,0\n")
    (image,) = FetalPlanesConfig(list_file="other.csv").read(SourceInputs(fetal))
    assert (image.plane, image.published, image.machine) == ("other", None, "")
    with pytest.raises(SourceError, match="missing columns: Train"):
        list(FetalPlanesConfig(half="train", list_file="other.csv").read(SourceInputs(fetal)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("Patient00001_Plane2_1_of_1;2;Fetal abdomen;;;;1", "line 2: .*Patient_num is '2'; it must be .* the name, 1$"),
        ("Patient00001_Plane2_1_of_1;;Fetal abdomen;;;;1", "line 2: .*Patient_num is ''"),
        ("Patient00001_Plane2_1_of_1;1;Fetal heart;;;;1", "unknown plane 'Fetal heart'; known: Fetal abdomen"),
        ("Patient00001_Plane2_1_of_1;1;Fetal abdomen;;;;2", "Train is '2'; it is 1 .training half. or 0 .test half."),
        ("Patient00001_Plane2_1_of_1;1;Fetal abdomen;;;;", "Train is ''"),
        ("Patient01792_Plane3_1_of_2;1792;Fetal brain;;;;0", "line 4: .*Patient01792_Plane3_1_of_2 is a duplicate"),
        ("p1;1;Fetal brain;;;;0", "p1: expected a name such as Patient00188_Plane3_3_of_3; it holds the patient"),
    ],
)
def test_rows_of_fetal_planes_db_that_cannot_be_used(fetal: Path, wrong: str, message: str) -> None:
    lines = FETAL.splitlines()
    (fetal / "FETAL_PLANES_DB_data.csv").write_text("\n".join([lines[0], wrong, *lines[2:]]))
    (fetal / "Images" / "Patient00001_Plane2_1_of_1.png").unlink()
    told: list[str] = []
    assert len(list(FetalPlanesConfig().read(SourceInputs(fetal), told.append))) == 2
    assert len([message for message in told if not isinstance(message, PassedOver)]) == 1
    with pytest.raises(SourceError, match=message):
        list(FetalPlanesConfig().read(SourceInputs(fetal)))


def read_lists(folder: Path) -> dict[str, list[ListedImage]]:
    """The lists of a folder that exist, by their kind."""
    return {kind: read_list(folder / name) for kind, name in LISTS.items() if (folder / name).is_file()}


def test_fu_loras_lists(tmp_path: Path) -> None:
    (tmp_path / "lora_train_data.csv").write_text(
        "Image_name,category,Train\nPatient00305_Plane2_1_of_2,abdomen,1\nPatient00306_Plane4_1_of_2,cervix,0\n"
    )
    (tmp_path / "synthetic_train_5000.csv").write_text("Image_name,Plane,Train\n00000-267,Other,1\n")
    (tmp_path / "spain_other_train.csv").write_text("Image_name,Plane\nPatient01001_Plane1_1_of_1,0\n")
    assert read_lists(tmp_path) == {
        "other": [ListedImage("Patient01001_Plane1_1_of_1", "other", "01001", None)],
        "synthetic": [ListedImage("00000-267", "other", "", "train")],
        "lora": [
            ListedImage("Patient00305_Plane2_1_of_2", "abdomen", "00305", "train"),
            ListedImage("Patient00306_Plane4_1_of_2", "cervix", "00306", "test"),
        ],
    }


def test_rows_of_fu_loras_lists_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "all_train_no_cer.csv"
    rows = [
        "Patient00001_Plane1_1_of_2,1,Other",
        "Patient00001_Plane1_2_of_2,2,Other",
        "p1,1,Other",
        "Patient00003_Plane1_1_of_1,3,Heart",
        "Patient00001_Plane1_1_of_2,1,Other",
    ]
    path.write_text("\n".join(["Image_name,Patient_num,Plane", *rows]))
    told: list[str] = []
    assert [row.name for row in read_list(path, told.append)] == ["Patient00001_Plane1_1_of_2"]
    assert [message.removeprefix(f"{path}, ")[:43] for message in told] == [
        "line 3: Patient00001_Plane1_2_of_2: Patient",
        "line 4: p1: expected a name such as Patient",
        "line 5: Patient00003_Plane1_1_of_1: unknown",
        "line 6: Patient00001_Plane1_1_of_2 is a dup",
    ]
    with pytest.raises(SourceError, match="line 3"):
        read_list(path)


def test_listed_images_that_are_missing(lora_planes: Path) -> None:
    save(lora_planes / "Images" / "Patient00001_Plane1_1_of_1.png")
    names = ["Patient00009_Plane3_2_of_2", "Patient00001_Plane1_1_of_1", "Patient00002_Plane1_1_of_1"]
    rows = [ListedImage(name, "brain", "", None) for name in names]
    assert [row.name for row in missing_images(rows, lora_planes)] == ["Patient00002_Plane1_1_of_1"]


# --- African planes

AFRICAN = "Patient_num,Plane,Center,Image_name\n7,Fetal brain,Ghana,p7_GHA_1\n7,Fetal femur,Malawi,p7_MWI_3\n"


@pytest.fixture
def african(tmp_path: Path) -> Path:
    save(tmp_path / "p7_GHA_1.png")
    save(tmp_path / "p7_MWI_3.png", 255 - NOISE)
    (tmp_path / "African_planes.csv").write_text(AFRICAN, encoding="utf-8-sig")
    return tmp_path


def test_african_planes_with_a_byte_order_mark(african: Path) -> None:
    assert (african / "African_planes.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    first, second = AfricanPlanesConfig().read(SourceInputs(african))
    assert facts(first) == ("p7_GHA_1", "brain", "african_planes", "Ghana", "7")
    assert facts(second) == ("p7_MWI_3", "femur", "african_planes", "Malawi", "7")
    np.testing.assert_array_equal(second.load()[0], 255 - NOISE)
    assert first.load()[1] is None


def test_african_planes_need_one_list(african: Path) -> None:
    (african / "second.csv").write_text(AFRICAN)
    with pytest.raises(SourceError, match=r"expected exactly one \.csv list, there are 2"):
        list(AfricanPlanesConfig().read(SourceInputs(african)))
    for path in african.glob("*.csv"):
        path.unlink()
    with pytest.raises(SourceError, match=r"expected exactly one \.csv list, there are 0"):
        list(AfricanPlanesConfig().read(SourceInputs(african)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AFRICAN.replace("Center", "Centre"), "missing columns: Center; its columns: Patient_num, Plane, Centre"),
        ("", "missing columns: Patient_num, Plane, Center, Image_name or Filename; its columns: none"),
        (AFRICAN.replace("Fetal femur", "Cervix"), "unknown plane 'Cervix'; known: Fetal abdomen, Fetal brain"),
    ],
)
def test_african_planes_with_a_wrong_list(african: Path, text: str, message: str) -> None:
    (african / "African_planes.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        list(AfricanPlanesConfig().read(SourceInputs(african)))


def test_an_african_image_that_is_listed_and_not_there(african: Path) -> None:
    (african / "p7_MWI_3.png").unlink()
    with pytest.raises(SourceError, match=r"line 3: .*p7_MWI_3\.png: listed, but the file is not there"):
        list(AfricanPlanesConfig().read(SourceInputs(african)))


def test_african_planes_as_they_are_published(tmp_path: Path) -> None:
    save(tmp_path / "Ghana" / "patient007_GHA_plane1.png")
    save(tmp_path / "Malawi" / "patient007_MWI_plane2.png", 255 - NOISE)
    (tmp_path / "African_planes_database.csv").write_text(
        "Filename,Patient_num,Plane,Train,Center\npatient007_GHA_plane1,7,Fetal brain,0,Ghana\n"
        "patient007_MWI_plane2,7,Fetal femur,1,Malawi\n"
    )
    first, second = AfricanPlanesConfig().read(SourceInputs(tmp_path))
    assert facts(first) == ("patient007_GHA_plane1", "brain", "african_planes", "Ghana", "7")
    assert (first.published, second.published) == ("test", "train")
    np.testing.assert_array_equal(second.load()[0], 255 - NOISE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("8,Fetal brain,1,Ghana,p7_GHA_1", "p7_GHA_1 is a duplicate of line 2"),
        (",Fetal brain,1,Ghana,p8_GHA_1", "Patient_num is '' and Center is 'Ghana'; both are needed"),
        ("8,Fetal brain,1,,p8_GHA_1", "Patient_num is '8' and Center is ''"),
        ("8,Fetal brain,yes,Ghana,p8_GHA_1", "Train is 'yes'; it is 1 in the training half"),
    ],
)
def test_african_rows_that_cannot_be_used(african: Path, row: str, message: str) -> None:
    (african / "African_planes.csv").write_text(
        "Patient_num,Plane,Train,Center,Image_name\n7,Fetal brain,1,Ghana,p7_GHA_1\n"
        f"7,Fetal femur,0,Malawi,p7_MWI_3\n{row}\n"
    )
    told: list[str] = []
    assert [image.published for image in AfricanPlanesConfig().read(SourceInputs(african), told.append)] == [
        "train",
        "test",
    ]
    assert len(told) == 1
    with pytest.raises(SourceError, match=f"line 4: .*{message}"):
        list(AfricanPlanesConfig().read(SourceInputs(african)))


def test_an_african_image_that_is_not_listed(african: Path) -> None:
    save(african / "p9_GHA_0.png")
    with pytest.raises(SourceError, match=r"p9_GHA_0\.png: is not on the list African_planes\.csv"):
        list(AfricanPlanesConfig().read(SourceInputs(african)))


# --- HC18

HEADER = "filename,pixel size(mm),head circumference (mm)\n"


def disc(*, ring: bool) -> np.ndarray:
    thickness = 1 if ring else -1
    return cv2.ellipse(np.zeros((60, 80), np.uint8), (40, 30), (28, 20), 10, 0, 360, 255, thickness)


@pytest.fixture
def hc18(tmp_path: Path) -> Path:
    rows = ["010_HC.png,0.1,170.5", "010_2HC.png,0.2,171.5"]
    (tmp_path / LIST).write_text(HEADER + "\n".join(rows) + "\n")
    for name, ring in (("010_HC", False), ("010_2HC", True)):
        save(tmp_path / "training_set" / f"{name}.png", disc(ring=False) // 2)
        ending = "Annotation" if ring else "Mask"
        save(tmp_path / "training_set" / f"{name}_{ending}.png", disc(ring=ring))
    return tmp_path


def test_heads_with_a_mask_or_the_published_ring(hc18: Path) -> None:
    images = list(Hc18Config().read(SourceInputs(hc18)))
    assert [facts(image) for image in images] == [
        ("010_HC", "brain", "hc18", "nijmegen", "010"),
        ("010_2HC", "brain", "hc18", "nijmegen", "010"),
    ]
    assert [(image.pixel_size_mm, image.hc_mm) for image in images] == [(0.1, 170.5), (0.2, 171.5)]
    (pixels, filled), (_, ring) = (image.load() for image in images)
    np.testing.assert_array_equal(pixels, disc(ring=False) // 2)
    for mask in (filled, ring):
        assert mask is not None
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1}
    np.testing.assert_array_equal(filled, disc(ring=False) > 0)
    np.testing.assert_array_equal(ring, ndimage.binary_fill_holes(disc(ring=True)))
    assert (ring != filled).mean() < 0.01  # OpenCV draws the outline half a pixel off


def test_heads_say_their_published_split(hc18: Path) -> None:
    assert {image.published for image in Hc18Config().read(SourceInputs(hc18))} == {"train"}
    (hc18 / "training_set").rename(hc18 / "test_set")
    for path in (hc18 / "test_set").glob("*_[AM]*.png"):
        path.unlink()
    (hc18 / "test_set_pixel_size.csv").write_text("filename,pixel size(mm)\n010_HC.png,0.1\n010_2HC.png,0.2\n")
    first, second = Hc18Config(part="test_set").read(SourceInputs(hc18))
    assert (first.published, first.hc_mm, first.mask_path, first.load()[1]) == ("test", None, None, None)
    assert (first.patient, second.patient) == ("010", "010")
    assert second.pixel_size_mm == 0.2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("020_HC.png,0.1,170", r"020_HC\.png: listed, but the file is not there"),
        ("010_HC.png,0.1,170", r"010_HC\.png is a duplicate of line"),
        ("../010_HC.png,0.1,170", r"leads out of"),
    ],
)
def test_rows_of_heads_that_cannot_be_used(hc18: Path, row: str, message: str) -> None:
    with (hc18 / LIST).open("a") as file:
        file.write(row + "\n")
    told: list[str] = []
    assert len(list(Hc18Config().read(SourceInputs(hc18), told.append))) == 2
    assert len(told) == 1
    with pytest.raises(SourceError, match=message):
        list(Hc18Config().read(SourceInputs(hc18)))


def test_heads_that_are_not_listed_or_have_another_name(hc18: Path) -> None:
    save(hc18 / "training_set" / "head.png")
    with pytest.raises(SourceError, match=r"head\.png: is not on the list training_set_pixel_size_and_HC\.csv"):
        list(Hc18Config().read(SourceInputs(hc18)))
    with (hc18 / LIST).open("a") as file:
        file.write("head.png,0.1,170\n")
    with pytest.raises(SourceError, match=r"head\.png: expected a name such as 010_2HC\.png"):
        list(Hc18Config().read(SourceInputs(hc18)))


@pytest.mark.parametrize("centre", [(0, 30), (79, 30), (40, 0), (40, 59), (5, 5)])
def test_a_ring_that_the_frame_cuts_is_filled_to_the_frame(centre: tuple[int, int]) -> None:
    ring, filled = (
        cv2.ellipse(np.zeros((60, 80), np.uint8), centre, (28, 20), 10, 0, 360, 1, thickness) for thickness in (1, -1)
    )
    found = fill_outline(ring > 0, Path("ring.png"))
    assert (found != (filled > 0)).mean() < 0.01  # OpenCV draws the outline half a pixel off
    np.testing.assert_array_equal(fill_outline(filled > 0, Path("mask.png")), filled > 0)


def test_a_filled_mask_and_its_holes_are_filled_as_scipy_does() -> None:
    drawn = disc(ring=False) > 0
    drawn[28:32, 30:50] = False
    np.testing.assert_array_equal(fill_outline(drawn, Path("mask.png")), ndimage.binary_fill_holes(drawn))
    assert not fill_outline(np.zeros((5, 5), bool), Path("mask.png")).any()


def test_a_ring_with_a_gap_encloses_nothing() -> None:
    ring = disc(ring=True) > 0
    ring[:30, 38:42] = False
    with pytest.raises(SourceError, match=r"ring\.png: the outline is open and encloses nothing; close it"):
        fill_outline(ring, Path("ring.png"))


def test_a_mask_wins_over_a_ring(hc18: Path) -> None:
    save(hc18 / "training_set" / "010_HC_Annotation.png", np.zeros((60, 80), np.uint8))
    _, mask = next(iter(Hc18Config().read(SourceInputs(hc18)))).load()
    assert mask is not None
    assert mask.any()


def test_a_head_without_a_mask(hc18: Path) -> None:
    (hc18 / "training_set" / "010_HC_Mask.png").unlink()
    with pytest.raises(SourceError, match=r"neither 010_HC_Mask\.png nor 010_HC_Annotation\.png is beside it"):
        list(Hc18Config().read(SourceInputs(hc18)))


def test_no_list_a_wrong_one_or_none_of_its_images(hc18: Path) -> None:
    (hc18 / LIST).write_text(HEADER + "999_HC.png,0.1,170\n")
    with pytest.raises(SourceError, match="none of the 1 listed images exists"):
        list(Hc18Config().read(SourceInputs(hc18)))
    (hc18 / LIST).write_text(HEADER.replace("pixel size(mm)", "spacing") + "010_HC.png,0.1,170\n")
    with pytest.raises(SourceError, match=r"missing columns: pixel size\(mm\); its columns: filename, spacing"):
        list(Hc18Config().read(SourceInputs(hc18)))
    (hc18 / LIST).unlink()
    with pytest.raises(SourceError, match=r"file not found; it belongs to HC18"):
        list(Hc18Config().read(SourceInputs(hc18)))


# --- PSFHS


def save_mha(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), str(path))


@pytest.fixture
def psfhs(tmp_path: Path) -> Path:
    for number in (3739, 3740, 3759, 3760):
        save_mha(tmp_path / "image_mha" / f"{number:05d}.mha", np.repeat(NOISE[None], 3, axis=0))
        save_mha(tmp_path / "label_mha" / f"{number:05d}.mha", (NOISE // 100).astype(np.uint8))
    return tmp_path


def test_intrapartum_views(psfhs: Path) -> None:
    images = list(PsfhsConfig(block=20).read(SourceInputs(psfhs)))
    assert facts(images[0]) == ("03739", "intrapartum", "psfhs", "guangzhou", "186")
    assert [image.patient for image in images] == ["186", "187", "187", "188"]
    assert [image.patient for image in PsfhsConfig(block=1).read(SourceInputs(psfhs))] == [
        "3739",
        "3740",
        "3759",
        "3760",
    ]
    pixels, mask = images[0].load()
    np.testing.assert_array_equal(pixels, NOISE)
    np.testing.assert_array_equal(mask, NOISE // 100)
    assert images[0].pixel_size_mm is None


def test_a_label_without_a_view(psfhs: Path) -> None:
    (psfhs / "image_mha" / "03740.mha").unlink()
    told: list[str] = []
    assert len(list(PsfhsConfig(block=20).read(SourceInputs(psfhs), told.append))) == 3
    assert [message.rpartition("/label_mha/")[2] for message in told] == [
        "03740.mha: a label without an image; image_mha/03740.mha does not exist"
    ]


def test_a_view_whose_name_is_no_number(psfhs: Path) -> None:
    for folder in ("image_mha", "label_mha"):
        save_mha(psfhs / folder / "x1.mha", NOISE // 100)
    with pytest.raises(SourceError, match=r"x1\.mha: expected a number as its name, which orders"):
        list(PsfhsConfig(block=20).read(SourceInputs(psfhs)))


def test_views_as_png(psfhs: Path) -> None:
    for number in (3739, 3740, 3759, 3760):
        save(psfhs / "image_mha" / f"{number:05d}.png")
        save(psfhs / "label_mha" / f"{number:05d}.png", NOISE // 100)
        for folder in ("image_mha", "label_mha"):
            (psfhs / folder / f"{number:05d}.mha").unlink()
    images = list(PsfhsConfig(block=20).read(SourceInputs(psfhs)))
    assert [image.patient for image in images] == ["186", "187", "187", "188"]
    pixels, mask = images[0].load()
    np.testing.assert_array_equal(pixels, NOISE)
    np.testing.assert_array_equal(mask, NOISE // 100)


def test_an_mha_of_one_channel(psfhs: Path) -> None:
    save_mha(psfhs / "image_mha" / "03739.mha", NOISE)
    np.testing.assert_array_equal(next(iter(PsfhsConfig(block=20).read(SourceInputs(psfhs)))).load()[0], NOISE)


def test_a_view_without_a_label_and_a_folder_without_views(psfhs: Path) -> None:
    (psfhs / "label_mha" / "03740.mha").unlink()
    with pytest.raises(SourceError, match=r"03740\.mha: file not found, but there is an image 03740\.mha"):
        list(PsfhsConfig(block=20).read(SourceInputs(psfhs)))
    with pytest.raises(SourceError, match=r"image_mha: no \.mha images; expected PSFHS"):
        list(PsfhsConfig(block=20).read(SourceInputs(psfhs / "nothing")))


def test_an_mha_that_cannot_be_read(psfhs: Path) -> None:
    path = psfhs / "image_mha" / "03739.mha"
    path.write_bytes(b"ObjectType = Image\nNDims = ")
    with pytest.raises(SourceError, match=r"03739\.mha: cannot be read as an image \(no MetaImage header\); replace"):
        read_mha(path)
    save_mha(path, NOISE.astype(np.int16))
    with pytest.raises(SourceError, match=r"03739\.mha: expected 8-bit pixels \(MET_UCHAR\), not MET_SHORT"):
        read_mha(path)
    with pytest.raises(SourceError, match=r"gone\.mha: cannot be read as an image \(No such file"):
        read_mha(path.with_name("gone.mha"))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(12, 16), (3, 12, 16)])
def test_an_mha_is_read_as_itk_reads_it(tmp_path: Path, compressed: bool, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), str(tmp_path / "x.mha"), compressed)
    np.testing.assert_array_equal(read_mha(tmp_path / "x.mha"), pixels)
    itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "x.mha")))
    np.testing.assert_array_equal(read_mha(tmp_path / "x.mha"), itk)


def header(size: str = "4 4", kind: str = "MET_UCHAR", where: str = "LOCAL", more: str = "") -> bytes:
    return f"ObjectType = Image\nDimSize = {size}\n{more}ElementType = {kind}\nElementDataFile = {where}\n".encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header() + bytes(15), r"\(15 bytes for \(4, 4\) pixels\)"),
        (header() + bytes(17), r"\(17 bytes for \(4, 4\) pixels\)"),
        (header(where="secret.raw"), r"its pixels are in 'secret\.raw'; they must be LOCAL"),
        (header(where="LIST") + b"secret.raw\n", "its pixels are in 'LIST'"),
        (header("90000 90000"), "DimSize 90000 90000 is more than 64,000,000 pixels"),
        (header("0 4"), "cannot be read as an image .DimSize 0 4"),
        (header("4 4 4 4") + bytes(256), "cannot be read as an image .DimSize 4 4 4 4"),
        (header(more="ElementNumberOfChannels = 3\n") + bytes(48), "3 channels a pixel"),
        (header(more="BinaryData = False\n") + b"0 " * 16, "expected 8-bit pixels"),
        (header(more="CompressedData = True\n") + zlib.compress(bytes(16))[:-5], "0 bytes for"),
        (header(more="CompressedData = True\n") + zlib.compress(bytes(17)), "17 bytes for"),
        (header(more="CompressedData = True\n") + bytes(16), "cannot be read as an image .*zlib|decompress"),
        (b"\x89PNG\r\n\x1a\n", "no MetaImage header"),
    ],
    ids=[
        "short",
        "long",
        "elsewhere",
        "list",
        "bomb",
        "no width",
        "4 axes",
        "channels",
        "text",
        "cut stream",
        "bigger",
        "no stream",
        "png",
    ],
)
def test_metaimages_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.mha").write_bytes(content)
    with pytest.raises(SourceError, match=rf"x\.mha: .*({message})"):
        read_mha(tmp_path / "x.mha")


def test_damaged_pixels_are_never_taken_for_good_ones(tmp_path: Path) -> None:
    """ITK returns an image for most of these."""
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(NOISE), str(tmp_path / "x.mha"), True)
    whole = (tmp_path / "x.mha").read_bytes()
    for place in range(whole.index(b"LOCAL\n") + 6, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "x.mha").write_bytes(damaged)
        with pytest.raises(SourceError, match="cannot be read as an image"):
            read_mha(tmp_path / "x.mha")


def test_channels_that_differ_are_no_gray_picture(psfhs: Path) -> None:
    colour = np.stack([NOISE, NOISE, 255 - NOISE])
    save_mha(psfhs / "image_mha" / "03739.mha", colour)
    with pytest.raises(SourceError, match=r"03739\.mha: expected one gray picture, not \(3, 12, 16\) with channels"):
        next(iter(PsfhsConfig(block=20).read(SourceInputs(psfhs)))).load()


# --- the real folders


def loaded(images: list[RawImage], every: int) -> None:
    for image in images[::every]:
        pixels, mask = image.load()
        assert pixels.ndim == 2
        assert pixels.dtype == np.uint8
        assert pixels.std() > 5
        assert mask is None or (mask.shape == pixels.shape and mask.any())


@pytest.mark.real_data
def test_the_real_spanish_planes(data_root: Path) -> None:
    images = list(LoraPlanesConfig().read(SourceInputs(data_root / "fetal_planes_lora")))
    assert Counter(image.plane for image in images) == dict.fromkeys(PLANES, 20)
    assert Counter(image.caption for image in images) == {
        f"a photo of fetal {'ultrasound' if plane == 'other' else plane}": 20 for plane in PLANES
    }
    assert len({image.patient for image in images}) == 85
    loaded(images, 10)


@pytest.mark.real_data
def test_fu_loras_real_lists(data_root: Path) -> None:
    lists = read_lists(data_root / "fu_lora_lists")
    counts = {kind: Counter(row.plane for row in rows) for kind, rows in lists.items()}
    assert counts["real"] == {"abdomen": 353, "brain": 1620, "femur": 516, "thorax": 1058, "other": 2601}
    assert counts["balanced"] == dict.fromkeys(PLANES, 230)
    assert counts["other"] == {"other": 230}
    assert counts["synthetic"] == dict.fromkeys(PLANES, 1000)
    assert {kind: len({row.patient for row in rows}) for kind, rows in lists.items()} == {
        "real": 612,
        "balanced": 486,
        "other": len({row.patient for row in lists["other"]}),
        "synthetic": 1,
    }
    assert {row.name for row in lists["balanced"]} < {row.name for row in lists["real"]}
    assert [row.name for row in lists["other"]] == [row.name for row in lists["balanced"] if row.plane == "other"]
    assert {row.half for kind in ("real", "balanced") for row in lists[kind]} == {"train"}


@pytest.mark.real_data
def test_the_real_list_of_the_lora_and_what_is_missing(data_root: Path) -> None:
    folder = data_root / "fetal_planes_lora"
    rows = read_lists(folder)["lora"]
    assert Counter(row.plane for row in rows) == {**dict.fromkeys(PLANES, 20), "cervix": 20}
    missing = missing_images(rows, folder)
    assert len(missing) == 20
    assert {row.plane for row in missing} == {"cervix"}
    real = {row.name for row in read_lists(data_root / "fu_lora_lists")["real"]}
    balanced = {row.name for row in read_lists(data_root / "fu_lora_lists")["balanced"]}
    ours = {row.name for row in rows if row.plane != "cervix"}
    assert ours < real
    assert len(ours & balanced) == 32


@pytest.mark.real_data
def test_the_real_list_of_fetal_planes_db(data_root: Path) -> None:
    rows = read_list(data_root / "fetal_planes_db" / "FETAL_PLANES_DB_data.csv")
    assert Counter((row.half, row.plane) for row in rows) == {
        ("train", "abdomen"): 353,
        ("train", "brain"): 1620,
        ("train", "femur"): 516,
        ("train", "thorax"): 1058,
        ("train", "other"): 2601,
        ("train", "cervix"): 981,
        ("test", "abdomen"): 358,
        ("test", "brain"): 1472,
        ("test", "femur"): 524,
        ("test", "thorax"): 660,
        ("test", "other"): 1612,
        ("test", "cervix"): 645,
    }
    assert len({row.patient for row in rows}) == 1792


@pytest.mark.real_data
def test_the_real_african_planes(data_root: Path) -> None:
    images = list(AfricanPlanesConfig().read(SourceInputs(data_root / "african" / "african_train")))
    assert len(images) == 217
    assert len({(image.site, image.patient) for image in images}) == 61
    assert Counter(image.site for image in images) == {
        "Algeria": 48,
        "Egypt": 48,
        "Malawi": 49,
        "Ghana": 36,
        "Uganda": 36,
    }
    assert {image.published for image in images} == {"train"}
    loaded(images, 20)


@pytest.mark.real_data
def test_the_real_heads(data_root: Path) -> None:
    images = list(Hc18Config().read(SourceInputs(data_root / "hc18")))
    assert len(images) == 296
    assert all(image.pixel_size_mm and 0.03 < image.pixel_size_mm < 0.4 for image in images)
    assert all(image.hc_mm and 40 < image.hc_mm < 400 for image in images)
    loaded(images, 50)


@pytest.mark.real_data
def test_the_real_intrapartum_views(data_root: Path) -> None:
    images = list(PsfhsConfig(block=20).read(SourceInputs(data_root / "psfhs")))
    assert len(images) == 300
    loaded(images, 30)
    _, mask = images[0].load()
    assert set(np.unique(mask)) == {0, 1, 2}  # type: ignore[arg-type]
