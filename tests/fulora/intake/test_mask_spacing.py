"""MetaImage and NIfTI masks of every type of numbers, and the spacing that they state, as ITK writes both."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from fulora.intake.formats.metaimage import read_mha, read_mha_mask
from fulora.intake.masks.spacing import mask_spacing, shape_conflict, spacing_conflict
from fulora.intake.masks.stored_values import read_stored
from fulora.intake.raw_image import SourceError

LABELS = np.zeros((20, 30), np.uint8)
LABELS[3:9, 4:15], LABELS[11:18, 8:27] = 1, 255
TYPES = [
    np.int8,
    np.int16,
    np.uint16,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
    np.float32,
    np.float64,
]


def write(path: Path, pixels: np.ndarray, spacing: tuple[float, ...] = (1.0, 1.0), compress: bool = False) -> Path:
    image = SimpleITK.GetImageFromArray(pixels)
    image.SetSpacing(spacing)
    SimpleITK.WriteImage(image, str(path), compress)
    return path


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_whole_numbers_of_any_type_are_read_from_metaimages(tmp_path: Path, kind: type, compress: bool) -> None:
    labels = np.minimum(LABELS, 2).astype(kind) if kind is np.int8 else LABELS.astype(kind)
    path = write(tmp_path / "a.mha", labels, compress=compress)
    np.testing.assert_array_equal(read_stored(path).values, labels.astype(np.uint8))
    with pytest.raises(SourceError, match=r"expected 8-bit pixels \(MET_UCHAR\), not MET_\w+; save it as 8 bit"):
        read_mha(path)


def test_the_byte_order_of_a_metaimage_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    text = (
        "NDims = 2\nDimSize = 30 20\nBinaryDataByteOrderMSB = True\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path.write_bytes(text.encode() + LABELS.astype(">i2").tobytes())
    np.testing.assert_array_equal(read_mha_mask(path), LABELS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (LABELS.astype(np.int16) - 1, "values from -1 to 254; a mask has class numbers, 0 to 255"),
        (LABELS.astype(np.uint16) * 4, "values from 0 to 1020"),
        (LABELS.astype(np.float64) / 2, "values from 0 to 127.5"),
    ],
)
def test_other_numbers_are_refused(tmp_path: Path, values: np.ndarray, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_mha_mask(write(tmp_path / "a.mha", values))


def test_other_types_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(b"NDims = 2\nDimSize = 30 20\nElementType = MET_STRING\nElementDataFile = LOCAL\n")
    with pytest.raises(SourceError, match=r"expected plain numbers \(MET_UCHAR, .*not MET_STRING; save it as 8 bit"):
        read_mha_mask(path)


@pytest.mark.parametrize("ending", ["mha", "nii", "nii.gz"])
def test_the_spacing_that_a_file_states(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"a.{ending}", LABELS, (0.2, 0.4))
    assert mask_spacing(path) == pytest.approx((0.2, 0.4))
    assert spacing_conflict(path, (0.2, 0.2)) == (
        "0.2 x 0.4 mm per pixel in the file, 0.2 x 0.2 in the list; the list is used"
    )
    assert not spacing_conflict(path, (0.2 * 1.009, 0.4))
    assert "0.2 x 0.4 mm per pixel in the file, 0.2022 x 0.4 in the list" in spacing_conflict(path, (0.2 * 1.011, 0.4))
    assert shape_conflict(path, (1.0, 1.0)).endswith("is not used: width / height of a pixel is taken as 1")
    assert not shape_conflict(path, (1.5, 3.0))
    flat = write(tmp_path / f"flat.{ending}", LABELS[None], (0.35, 0.35, 5.0))
    assert mask_spacing(flat) == pytest.approx((0.35, 0.35))
    assert not shape_conflict(flat, (1.0, 1.0))
    assert mask_spacing(write(tmp_path / f"none.{ending}", LABELS)) is None
    assert mask_spacing(tmp_path / "a.png") is None


def test_metres_and_micrometres_of_nifti(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.nii", LABELS, (0.2, 0.2)).read_bytes())
    for unit, factor in ((1, 1000), (3, 0.001), (2, 1), (0, 1)):
        data[123] = unit
        (tmp_path / "b.nii").write_bytes(data)
        assert mask_spacing(tmp_path / "b.nii") == pytest.approx((0.2 * factor, 0.2 * factor))


def test_a_spacing_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(b"ElementSpacing = 0.2 x\nElementDataFile = LOCAL\n")
    with pytest.raises(SourceError, match=r"ElementSpacing 0\.2 x"):
        mask_spacing(path)
    path.write_bytes(b"ElementDataFile = LOCAL\n")
    assert mask_spacing(path) is None
