"""Folders of masks in every format, against what Pillow and SimpleITK wrote; lists of pixel sizes; hostile files."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from PIL import Image as Pil

from fulora.intake import pixel_sizes
from fulora.intake.formats.nifti import read_nifti
from fulora.intake.formats.plain_png import read_plain_png
from fulora.intake.masks import files as m
from fulora.intake.masks.file_names import case_name
from fulora.intake.masks.value_mapping import find_mask_values
from fulora.intake.raw_image import SourceError

LABELS = np.zeros((20, 30), np.uint8)
LABELS[3:9, 4:15], LABELS[11:18, 8:27] = 1, 2


def _save(path: Path, labels: np.ndarray = LABELS, pixel: type = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Pil.fromarray(labels).save(path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(labels.astype(pixel)), str(path), path.suffix == ".mha")
    return path


def read(path: Path) -> np.ndarray:
    return find_mask_values({"masks": [path]}).read(path)


def region(path: Path, label: int | None = None) -> np.ndarray:
    values = find_mask_values({"masks": [path]})
    return m.read_region(path, values, m.resolve_label(values, label))


@pytest.mark.parametrize("name", ["a.png", "a.mha", "a.nii", "a.nii.gz"])
def test_every_format_gives_the_labels_as_they_were_written(tmp_path: Path, name: str) -> None:
    path = _save(tmp_path / name)
    assert (read(path) == LABELS).all()
    assert (region(path, 2) == (LABELS == 2)).all()
    white = _save(tmp_path / "white" / name, 255 * (LABELS == 2).astype(np.uint8))
    assert (read(white) == (LABELS == 2)).all()
    assert case_name(path) == "a"


@pytest.mark.parametrize("pixel", [np.int16, np.int32, np.float32, np.float64, np.uint16, np.int8, np.uint32])
def test_whole_numbers_of_any_type_are_read_from_nifti(tmp_path: Path, pixel: type) -> None:
    assert (read_nifti(_save(tmp_path / "a.nii", pixel=pixel)) == LABELS).all()


def test_scaling_byte_order_and_flat_axes_of_nifti(tmp_path: Path) -> None:
    header = bytearray(352)
    struct.pack_into(">i", header, 0, 348)
    struct.pack_into(">8h", header, 40, 3, 30, 20, 1, 1, 1, 1, 1)
    struct.pack_into(">2h", header, 70, 4, 16)
    struct.pack_into(">3f", header, 108, 352, 0.5, 1.0)
    header[344:347] = b"n+1"
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(header) + (2 * LABELS).astype(">i2").tobytes())
    assert (read_nifti(path) == LABELS + 1).all()


def _nifti(tmp_path: Path) -> bytes:
    return _save(tmp_path / "good" / "a.nii").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:100], "no NIfTI-1 header"),
        (lambda data: data[:344] + b"ni1\0" + data[348:], "no NIfTI-1 header with its pixels in one file"),
        (lambda data: data[:-9], "bytes for .* pixels"),
        (lambda data: data[:70] + struct.pack("<h", 128) + data[72:], "of type None; expected one flat picture"),
        (lambda data: data[:40] + struct.pack("<4h", 3, 10, 6, 10) + data[48:], r"axes \[10, 6, 10\]"),
        (lambda data: data[:112] + struct.pack("<2f", 0.3, 0.0) + data[120:], "a mask has class numbers, 0 to 255"),
        (lambda data: data[:108] + struct.pack("<f", float("nan")) + data[112:], "bytes for .* pixels"),
    ],
)
def test_a_damaged_nifti_is_one_clear_error(tmp_path: Path, change: object, said: str) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(change(_nifti(tmp_path)))  # type: ignore[operator]
    with pytest.raises(SourceError, match=said):
        read_nifti(path)


def test_a_damaged_gzip_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    for content in (gzip.compress(_nifti(tmp_path))[:-20], b"no gzip"):
        path.write_bytes(content)
        with pytest.raises(SourceError, match="cannot be read as NIfTI"):
            read_nifti(path)
    with pytest.raises(SourceError, match="cannot be read as NIfTI"):
        read_nifti(tmp_path / "absent.nii")


def test_masks_beside_their_images_are_found_by_their_names(tmp_path: Path) -> None:
    for name in ("010_HC.png", "010_HC_Mask.png", "010_2HC.png", "010_2HC_Mask.png"):
        _save(tmp_path / name)
    assert {case: path.name for case, path in m.find_masks(tmp_path).items()} == {
        "010_2HC": "010_2HC_Mask.png",
        "010_HC": "010_HC_Mask.png",
    }
    _save(tmp_path / "010_HC_Annotation.png")
    with pytest.raises(SourceError, match="a second mask of 010_HC"):
        m.find_masks(tmp_path)


@pytest.mark.parametrize(
    ("name", "case"),
    [("a.b_Mask.png", "a.b"), ("a.b.nii.gz", "a.b"), ("A.NII.GZ", "A"), ("a_pred.mha", "a"), ("a_HC.png", "a_HC")],
)
def test_a_case_is_the_file_name_without_its_mask_suffix(name: str, case: str) -> None:
    assert case_name(Path("folder", name)) == case


def test_a_folder_without_masks_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no masks; supported: \.png"):
        m.find_masks(tmp_path)
    with pytest.raises(SourceError, match="no such folder"):
        m.find_masks(tmp_path / "absent")


def test_colours_are_refused_and_gray_rgb_and_palettes_are_read(tmp_path: Path) -> None:
    gray = Pil.fromarray(LABELS).convert("RGB")
    gray.save(tmp_path / "gray.png")
    assert (read(tmp_path / "gray.png") == LABELS).all()
    palette = Pil.fromarray(LABELS, "L").convert("P")
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0] + [0] * 759)
    palette.putdata(LABELS.ravel().tolist())
    palette.save(tmp_path / "palette.png")
    assert (read(tmp_path / "palette.png") == LABELS).all()
    palette.convert("RGB").save(tmp_path / "colour.png")
    with pytest.raises(SourceError, match="holds colours; the values of a mask are class numbers"):
        read(tmp_path / "colour.png")


def _png(tmp_path: Path, mode: str = "RGB", **options: object) -> Path:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Pil.fromarray(pixels).convert(mode).save(tmp_path / "noise.png", **options)
    return tmp_path / "noise.png"


def test_a_plain_png_is_decoded_as_pillow_does(tmp_path: Path) -> None:
    for mode in ("L", "RGB"):
        path = _png(tmp_path, mode)
        pixels = read_plain_png(path)
        assert pixels is not None
        assert (pixels[..., ::-1] if mode == "RGB" else pixels).tolist() == np.asarray(Pil.open(path)).tolist()


def test_what_is_no_plain_png_is_left_to_pillow(tmp_path: Path) -> None:
    """Another depth, transparency, an orientation; damage anywhere; right checksums of wrong pixels."""
    for mode, options in (
        ("P", {}),
        ("RGBA", {}),
        ("1", {}),
        ("L", {"transparency": 3}),
        ("L", {"exif": b"Exif\0\0MM"}),
    ):
        assert read_plain_png(_png(tmp_path, mode, **options)) is None
    whole = _png(tmp_path).read_bytes()
    path = tmp_path / "bad.png"
    for place in range(0, len(whole), 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_plain_png(path) is None
        path.write_bytes(whole[:place])
        assert read_plain_png(path) is None
    assert read_plain_png(tmp_path / "absent.png") is None
    start = whole.index(b"IDAT")
    chunk = b"IDAT" + zlib.compress(b"\0" * 50)
    path.write_bytes(
        whole[: start - 4]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + whole[-12:]
    )
    with pytest.raises(SourceError, match="cannot be read as an image"):
        read(path)


def test_several_classes_need_a_label(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the masks hold the classes 1, 2; choose one, such as --label 2"):
        region(_save(tmp_path / "a.png"))


def test_a_ring_is_filled(tmp_path: Path) -> None:
    filled = np.zeros((40, 50), np.uint8)
    filled[10:30, 10:40] = 255
    ring = filled.copy()
    ring[11:29, 11:39] = 0
    assert (region(_save(tmp_path / "1_HC_Annotation.png", ring)) == (filled > 0)).all()
    assert not region(_save(tmp_path / "2_HC_Annotation.png", 0 * ring)).any()


def test_a_list_of_pixel_sizes(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("filename,pixel size(mm),head circumference (mm)\n010_HC.png,0.1,44.3\n011_HC.png,0.2,\n")
    assert pixel_sizes.read_pixel_sizes(path) == {
        "010_HC": pixel_sizes.PixelSize(0.1),
        "011_HC": pixel_sizes.PixelSize(0.2),
    }
    assert pixel_sizes.read_references(path, "head circumference (mm)") == {"010_HC": 44.3}
    path.write_text("file_name,pixel_size_mm,width,height\na.png,0.1,800,540\nb.png,0.1,,\n")
    sizes = pixel_sizes.read_pixel_sizes(path)
    assert sizes["a"].scale_xy((270, 200)) == (4, 2)
    assert sizes["b"].scale_xy((270, 200)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("filename,size\na.png,1\n", "missing columns: pixel_size_mm or pixel size.mm.; its columns: filename, size"),
        ("filename,pixel size(mm)\na.png,0.1\na_Mask.png,0.1\n", "a is a duplicate"),
        ("filename,pixel size(mm)\na.png,0\n", "a.png: pixel_size_mm is 0; it must be from 0.005 to 2"),
        ("filename,pixel size(mm),width,height\na.png,0.1,800,\n", "only one of width and height"),
        ("filename,pixel size(mm),width,height\na.png,0.1,x,540\n", "a.png: width is 'x'; it must be a whole number"),
    ],
)
def test_a_bad_list_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=said):
        pixel_sizes.read_pixel_sizes(path)


def test_each_keeps_the_order_and_passes_an_error_on(tmp_path: Path) -> None:
    cases = {str(number): tmp_path / str(number) for number in range(20)}
    assert list(m.map_cases(cases, lambda case, path: (case, path.name), 3)) == [(case, case) for case in cases]

    def fails(case: str, path: Path) -> str:
        raise SourceError(f"{path.name} is bad")

    with pytest.raises(SourceError, match="0 is bad"):
        list(m.map_cases(cases, fails, 2))
