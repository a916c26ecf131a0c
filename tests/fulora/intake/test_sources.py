"""Each source against a made-up folder in its published layout, every error, and the real folders."""

import zlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK
from PIL import Image as Pil
from scipy import ndimage

from fulora.data.labels import PLANES
from fulora.intake.raw import RawImage, SourceError
from fulora.intake.sources.african_planes import read_african_planes
from fulora.intake.sources.hc18 import LIST, read_hc18
from fulora.intake.sources.lora_planes import read_lora_planes
from fulora.intake.sources.psfhs import read_mha, read_psfhs

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
    images = list(read_lora_planes(lora_planes))
    assert Counter(image.plane for image in images) == {"abdomen": 1, "brain": 2, "femur": 1, "thorax": 1, "other": 1}
    assert facts(images[1]) == ("Patient00009_Plane3_2_of_2", "brain", "fetal_planes_db", "barcelona", "00009")
    pixels, mask = images[1].load()
    np.testing.assert_array_equal(pixels, NOISE)
    assert mask is None
    assert images[1].pixel_size_mm is images[1].hc_mm is None


def test_lora_planes_without_a_plane(lora_planes: Path) -> None:
    (lora_planes / "femur" / "Patient00182_Plane3_1_of_2.png").unlink()
    with pytest.raises(SourceError, match=r"femur: no PNG images; expected one folder a plane: abdomen, brain"):
        list(read_lora_planes(lora_planes))


def test_lora_planes_with_a_name_that_has_no_patient(lora_planes: Path) -> None:
    save(lora_planes / "brain" / "Patient_1.png")
    with pytest.raises(SourceError, match=r"Patient_1: expected a name such as Patient00188_Plane3_3_of_3"):
        list(read_lora_planes(lora_planes))


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
    first, second = read_african_planes(african)
    assert facts(first) == ("p7_GHA_1", "brain", "african_planes", "Ghana", "7")
    assert facts(second) == ("p7_MWI_3", "femur", "african_planes", "Malawi", "7")
    np.testing.assert_array_equal(second.load()[0], 255 - NOISE)
    assert first.load()[1] is None


def test_african_planes_need_one_list(african: Path) -> None:
    (african / "second.csv").write_text(AFRICAN)
    with pytest.raises(SourceError, match=r"expected exactly one \.csv list, found 2"):
        list(read_african_planes(african))
    for path in african.glob("*.csv"):
        path.unlink()
    with pytest.raises(SourceError, match=r"expected exactly one \.csv list, found 0"):
        list(read_african_planes(african))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (AFRICAN.replace("Center", "Centre"), "columns missing: Center; found: Patient_num, Plane, Centre"),
        ("", "columns missing: Patient_num, Plane, Center, Image_name; found: nothing"),
        (AFRICAN.replace("Fetal femur", "Cervix"), "unknown plane 'Cervix'; known: Fetal abdomen, Fetal brain"),
    ],
)
def test_african_planes_with_a_wrong_list(african: Path, text: str, message: str) -> None:
    (african / "African_planes.csv").write_text(text)
    with pytest.raises(SourceError, match=message):
        list(read_african_planes(african))


def test_an_african_image_that_is_listed_and_not_there(african: Path) -> None:
    (african / "p7_MWI_3.png").unlink()
    with pytest.raises(SourceError, match=r"line 3: .*p7_MWI_3\.png: listed, but the file is not there"):
        list(read_african_planes(african))


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
    images = list(read_hc18(hc18))
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


def test_a_mask_wins_over_a_ring(hc18: Path) -> None:
    save(hc18 / "training_set" / "010_HC_Annotation.png", np.zeros((60, 80), np.uint8))
    _, mask = next(iter(read_hc18(hc18))).load()
    assert mask is not None
    assert mask.any()


def test_a_head_without_a_mask(hc18: Path) -> None:
    (hc18 / "training_set" / "010_HC_Mask.png").unlink()
    with pytest.raises(SourceError, match=r"neither 010_HC_Mask\.png nor 010_HC_Annotation\.png is beside it"):
        list(read_hc18(hc18))


def test_no_list_a_wrong_one_or_none_of_its_images(hc18: Path) -> None:
    (hc18 / LIST).write_text(HEADER + "999_HC.png,0.1,170\n")
    with pytest.raises(SourceError, match="none of the 1 listed images is there"):
        list(read_hc18(hc18))
    (hc18 / LIST).write_text(HEADER.replace("pixel size(mm)", "spacing") + "010_HC.png,0.1,170\n")
    with pytest.raises(SourceError, match=r"columns missing: pixel size\(mm\); found: filename, spacing"):
        list(read_hc18(hc18))
    (hc18 / LIST).unlink()
    with pytest.raises(SourceError, match=r"is not there; it belongs to HC18"):
        list(read_hc18(hc18))


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
    images = list(read_psfhs(psfhs, block=20))
    assert facts(images[0]) == ("03739", "intrapartum", "psfhs", "guangzhou", "186")
    assert [image.patient for image in images] == ["186", "187", "187", "188"]
    assert [image.patient for image in read_psfhs(psfhs, block=1)] == ["3739", "3740", "3759", "3760"]
    pixels, mask = images[0].load()
    np.testing.assert_array_equal(pixels, NOISE)
    np.testing.assert_array_equal(mask, NOISE // 100)
    assert images[0].pixel_size_mm is None


def test_an_mha_of_one_channel(psfhs: Path) -> None:
    save_mha(psfhs / "image_mha" / "03739.mha", NOISE)
    np.testing.assert_array_equal(next(iter(read_psfhs(psfhs, 20))).load()[0], NOISE)


def test_a_view_without_a_label_and_a_folder_without_views(psfhs: Path) -> None:
    (psfhs / "label_mha" / "03740.mha").unlink()
    with pytest.raises(SourceError, match=r"03740\.mha is not there, but the image 03740\.mha is"):
        list(read_psfhs(psfhs, 20))
    with pytest.raises(SourceError, match=r"image_mha: no \.mha images; expected PSFHS"):
        list(read_psfhs(psfhs / "nothing", 20))


def test_an_mha_that_cannot_be_read(psfhs: Path) -> None:
    path = psfhs / "image_mha" / "03739.mha"
    path.write_bytes(b"ObjectType = Image\nNDims = ")
    with pytest.raises(SourceError, match=r"03739\.mha: cannot be read as an image \(no MetaImage header\); replace"):
        read_mha(path)
    save_mha(path, NOISE.astype(np.int16))
    with pytest.raises(SourceError, match=r"03739\.mha: expected 8-bit pixels \(MET_UCHAR\), found MET_SHORT"):
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
        (header(where="secret.raw"), r"its pixels are in 'secret\.raw'; only its own \(LOCAL\) are read"),
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
    ids=["short", "long", "elsewhere", "list", "bomb", "no width", "4 axes", "channels", "text", "cut stream", "bigger",
         "no stream", "png"],
)  # fmt: skip
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
    with pytest.raises(SourceError, match=r"03739\.mha: expected one gray picture, found \(3, 12, 16\) with channels"):
        next(iter(read_psfhs(psfhs, 20))).load()


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
    images = list(read_lora_planes(data_root / "fetal_planes_lora"))
    assert Counter(image.plane for image in images) == dict.fromkeys(PLANES, 20)
    loaded(images, 10)


@pytest.mark.real_data
def test_the_real_african_planes(data_root: Path) -> None:
    images = list(read_african_planes(data_root / "african" / "african_train"))
    assert len(images) == 217
    assert len({(image.site, image.patient) for image in images}) == 61
    assert len({image.site for image in images}) == 5
    loaded(images, 20)


@pytest.mark.real_data
def test_the_real_heads(data_root: Path) -> None:
    images = list(read_hc18(data_root / "hc18"))
    assert len(images) == 296
    assert all(image.pixel_size_mm and 0.03 < image.pixel_size_mm < 0.4 for image in images)
    assert all(image.hc_mm and 40 < image.hc_mm < 400 for image in images)
    loaded(images, 50)


@pytest.mark.real_data
def test_the_real_intrapartum_views(data_root: Path) -> None:
    images = list(read_psfhs(data_root / "psfhs", 20))
    assert len(images) == 300
    loaded(images, 30)
    _, mask = images[0].load()
    assert set(np.unique(mask)) == {0, 1, 2}  # type: ignore[arg-type]
