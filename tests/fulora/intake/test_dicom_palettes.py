"""Palettes as scanners store them: every form that shows one picture, and what cannot be told."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from dicom_made import RAMP, dicom, read, read_and_written, refusals, save
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian

from fulora.intake.raw_image import SourceError

NUMBERS = np.arange(256)
TABLE = {"Red": np.minimum(255, NUMBERS * 11 // 10), "Green": 255 - NUMBERS, "Blue": NUMBERS * 7 // 10}
Store = Callable[[np.ndarray], bytes]


def words(scale: int = 1) -> Store:
    return lambda values: (values * scale).astype("<u2").tobytes()


def octets(values: np.ndarray) -> bytes:
    return values.astype("u1").tobytes()


def palette(
    descriptor: list[int], store: Store, pixels: np.ndarray = RAMP, table: Mapping[str, np.ndarray] = TABLE
) -> Dataset:
    data = dicom(pixels, bits=8 * pixels.itemsize)
    data.PhotometricInterpretation = "PALETTE COLOR"
    for colour, values in table.items():
        setattr(data, f"{colour}PaletteColorLookupTableDescriptor", descriptor)
        setattr(data, f"{colour}PaletteColorLookupTableData", store(values))
    return data


def luma(numbers: np.ndarray, table: Mapping[str, np.ndarray] = TABLE) -> np.ndarray:
    return np.dstack([table[colour][numbers] for colour in ("Red", "Green", "Blue")]) @ [0.299, 0.587, 0.114]


WIDE = {colour: values[np.arange(65536) >> 8] for colour, values in TABLE.items()}
SHORT = {colour: values[:255] for colour, values in TABLE.items()}


@pytest.mark.parametrize(
    ("data", "numbers"),
    [
        (palette([256, 0, 8], octets), RAMP),
        (palette([256, 0, 16], octets), RAMP),
        (palette([256, 0, 16], words(257)), RAMP),
        (palette([256, 0, 8], words(257)), RAMP),
        (palette([256, 0, 8], words(256)), RAMP),
        (palette([256, 0, 16], words(256)), RAMP),
        (palette([256, 0, 8], words(1)), RAMP),
        (palette([0, 0, 16], words(257), RAMP.astype(np.uint16) * 257, WIDE), RAMP),
        (palette([0, 0, 8], octets, RAMP.astype(np.uint16) * 257, WIDE), RAMP),
        (palette([255, 0, 8], lambda values: octets(values) + b"\0", RAMP, SHORT), np.minimum(RAMP, 254)),
        (palette([255, 1, 8], lambda values: octets(values) + b"\0", RAMP, SHORT), np.maximum(RAMP, 1) - 1),
        (palette([256, 300, 16], words(257), RAMP.astype(np.uint16) + 300), RAMP),
        (palette([1, 0, 8], lambda values: octets(values[:1]) + b"\0"), RAMP * 0),
    ],
    ids=[
        "8",
        "16 in bytes",
        "16",
        "8 as 16",
        "8 in the high byte",
        "16 in the high byte",
        "8 in the low byte",
        "65536 of 16",
        "65536 of 8",
        "odd",
        "first is 1",
        "first is large",
        "one",
    ],
)
def test_a_palette_shows_its_colours(tmp_path: Path, data: Dataset, numbers: np.ndarray) -> None:
    (found,) = read_and_written(tmp_path, data)
    assert np.abs(found - luma(numbers)).max() <= 1


def test_a_descriptor_with_a_negative_number_of_entries(tmp_path: Path) -> None:
    """40,000 entries, which a signed 16-bit number holds as -25,536."""
    pixels = RAMP.astype(np.uint16) * 150
    table = {colour: values[np.arange(40_000) // 160] for colour, values in TABLE.items()}
    path = save(tmp_path / "x", palette([40_000, 0, 16], words(257), pixels, table))
    whole = path.read_bytes()
    for element in (0x1101, 0x1102, 0x1103):
        tag = b"\x28\0" + element.to_bytes(2, "little")
        assert tag + b"US" in whole
        whole = whole.replace(tag + b"US", tag + b"SS")
    path.write_bytes(whole)
    assert np.abs(read(tmp_path)[0] - luma(pixels // 160)).max() <= 1


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
def test_a_big_endian_palette(tmp_path: Path, depth: int) -> None:
    def store(values: np.ndarray) -> bytes:
        return np.frombuffer(words(257)(values) if depth == 16 else octets(values), "<u2").byteswap().tobytes()

    data = palette([256, 0, depth], store, RAMP.astype(np.uint16))
    data.PixelData = RAMP.astype(">u2").tobytes()
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    (found,) = read_and_written(tmp_path, data)
    assert np.abs(found - luma(RAMP)).max() <= 1


@pytest.mark.parametrize("depth", [8, 16])
def test_a_segmented_palette(tmp_path: Path, depth: int) -> None:
    """Gray by one discrete entry 0 and a line of 255 entries up to the largest (PS3.3 C.7.9.2)."""
    data = palette([256, 0, depth], octets)
    for colour in TABLE:
        delattr(data, f"{colour}PaletteColorLookupTableData")
        line = np.array([0, 1, 0, 1, 255, 255 if depth == 8 else 65535], dtype=f"<u{depth // 8}")
        setattr(data, f"Segmented{colour}PaletteColorLookupTableData", line.tobytes())
    (found,) = read_and_written(tmp_path, data)
    assert np.abs(found - RAMP.astype(int)).max() <= 1


def changed(**values: object) -> Dataset:
    data = palette([256, 0, 16], words(257))
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def without(keyword: str) -> Dataset:
    data = changed()
    delattr(data, keyword)
    return data


def long_segmented() -> Dataset:
    data = palette([512, 0, 8], octets, RAMP.astype(np.uint16))
    for colour in TABLE:
        delattr(data, f"{colour}PaletteColorLookupTableData")
        setattr(data, f"Segmented{colour}PaletteColorLookupTableData", b"\0\1\0\1\xff\xff")
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (palette([256, 0, 16], words(1)), "the palette: a 16-bit picture whose largest value is 255 would come out"),
        (palette([256, 0, 8], words(16)), "the palette: a 16-bit picture whose largest value is 4080 would come out"),
        (palette([200, 0, 8], octets), r"256 bytes of red palette for 200 entries \(200 or 400"),
        (palette([256, 0, 12], words(16)), "a palette of 12 bits from index 0; expected 8 or 16 bits"),
        (changed(BluePaletteColorLookupTableDescriptor=[256, 1, 16]), "the descriptors of its three palettes differ"),
        (changed(BluePaletteColorLookupTableData=bytes(256)), "some of its three palettes are bytes, and some are"),
        (without("GreenPaletteColorLookupTableData"), "its gray levels cannot be read"),
        (without("RedPaletteColorLookupTableDescriptor"), "its gray levels cannot be read"),
        (long_segmented(), "a segmented palette of 512 8-bit entries is not supported; export it as RGB"),
    ],
)
def test_an_ambiguous_palette_is_refused(tmp_path: Path, data: Dataset, message: str) -> None:
    path = save(tmp_path / "in" / "x", data)
    for said in refusals(path.parent, path):
        with pytest.raises(SourceError, match=message):
            raise SourceError(said)


def test_a_palette_from_a_negative_number_is_refused(tmp_path: Path) -> None:
    data = palette([256, 0, 16], words(257))
    for colour in TABLE:
        data[f"{colour}PaletteColorLookupTableDescriptor"].VR = "SS"
        data[f"{colour}PaletteColorLookupTableDescriptor"].value = [256, -5, 16]
    path = save(tmp_path / "in" / "x", data)
    assert all("a palette of 16 bits from index -5" in said for said in refusals(path.parent, path))
