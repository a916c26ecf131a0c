"""The colour space of compressed DICOM frames: the codestream's, whatever the attribute says, or a refusal."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_made import COLOURS, LUMA, RAMP, compressed, dicom, jpeg, jpeg_2000, read_and_written, refusals, save, ybr
from pydicom import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from fulora.intake.dicom.codestream import read_codestream
from fulora.intake.raw_image import SourceError

TAGS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@pytest.mark.slow
@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize(
    "how",
    [
        {"space": "YBR", "jfif": True},
        {"space": "YBR"},
        {"space": "YBR", "adobe": 1},
        {"space": "YBR", "jfif": True, "adobe": 1},
        {"space": "YBR", "adobe": 1, "ids": b"\0\1\2"},
        {"space": "RGB", "ids": b"RGB"},
        {"space": "RGB", "ids": b"rgb"},
        {"space": "RGB", "ids": b"RGB", "adobe": 0},
        {"space": "RGB", "adobe": 0},
        {"space": "RGB", "adobe": 0, "ids": b"\0\1\2"},
    ],
    ids=lambda how: "-".join(f"{key}={value}" for key, value in how.items()),
)
def test_a_jpeg_is_read_and_written_with_the_same_pixels(tmp_path: Path, tag: str, how: dict[str, object]) -> None:
    data = compressed([jpeg(**how)], JPEGBaseline8Bit, tag)  # type: ignore[arg-type]
    (found,) = read_and_written(tmp_path, data)
    assert np.abs(found - LUMA).max() <= 4


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit])
@pytest.mark.parametrize(("tag", "space"), [("RGB", "RGB"), ("YBR_FULL", "YBR"), ("YBR_FULL_422", "YBR")])
def test_a_jpeg_without_a_colour_transform_follows_the_attribute(
    tmp_path: Path, syntax: UID, tag: str, space: str
) -> None:
    """Components 0, 1, 2 without a marker, as some scanners write RGB."""
    (found,) = read_and_written(tmp_path, compressed([jpeg(space=space, ids=b"\0\1\2")], syntax, tag))
    assert np.abs(found - LUMA).max() <= 4


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"space": "RGB", "jfif": True, "adobe": 0}, r"JFIF means YBR, Adobe's marker \(transform 0\) means RGB"),
        ({"space": "RGB", "jfif": True, "ids": b"RGB"}, "JFIF means YBR, component ids R, G, B means RGB"),
        (
            {"space": "YBR", "adobe": 1, "ids": b"RGB"},
            r"Adobe's marker \(transform 1\) means YBR, component ids R, G, B",
        ),
    ],
)
def test_marks_that_contradict_each_other_are_refused(tmp_path: Path, how: dict[str, object], message: str) -> None:
    data = compressed([jpeg(**how)], JPEGBaseline8Bit, "RGB")  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=f"marks of the colour space contradict each other: {message}"):
        read_codestream(jpeg(**how))  # type: ignore[arg-type]
    path = save(tmp_path / "in" / "x", data)
    assert all("contradict each other" in said for said in refusals(path.parent, path))


@pytest.mark.parametrize(
    ("samples", "transform", "tag"),
    [
        *((COLOURS, True, tag) for tag in TAGS),
        (COLOURS, False, "RGB"),
        (COLOURS, False, "YBR_RCT"),
        (COLOURS, False, "YBR_ICT"),
        (ybr(), False, "YBR_FULL"),
        (ybr(), False, "YBR_FULL_422"),
    ],
)
@pytest.mark.parametrize(("syntax", "jp2"), [(JPEG2000Lossless, False), (JPEG2000, False), (JPEG2000Lossless, True)])
def test_jpeg_2000_by_its_component_transform(
    tmp_path: Path, samples: np.ndarray, transform: bool, tag: str, syntax: UID, jp2: bool
) -> None:
    """With the transform it decodes to RGB; without, its samples are RGB or YCbCr as the attribute says."""
    data = compressed([jpeg_2000(samples, transform=transform, jp2=jp2)], syntax, tag)
    (found,) = read_and_written(tmp_path, data)
    assert np.abs(found - LUMA).max() <= 2


def encoded(samples: np.ndarray, syntax: UID, tag: str) -> Dataset:
    data = dicom(samples, "RGB")
    data.compress(syntax, generate_instance_uid=False)
    data.PhotometricInterpretation = tag
    return data


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
@pytest.mark.parametrize(("samples", "tag"), [(COLOURS, "RGB"), (ybr(), "YBR_FULL"), (ybr(), "YBR_FULL_422")])
def test_rle_and_jpeg_ls_are_what_the_attribute_says(
    tmp_path: Path, samples: np.ndarray, syntax: UID, tag: str
) -> None:
    (found,) = read_and_written(tmp_path, encoded(samples, syntax, tag))
    assert np.abs(found - LUMA).max() <= 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            encoded(COLOURS, RLELossless, "YBR_RCT"),
            "interpretation YBR_RCT with RLE Lossless: not supported",
        ),
        (
            compressed([jpeg(space="RGB", ids=b"\0\1\2")], JPEGBaseline8Bit, "YBR_ICT"),
            "photometric interpretation YBR_ICT with JPEG Baseline .*: not supported",
        ),
        (
            compressed([jpeg(RAMP)], JPEGBaseline8Bit, "YBR_FULL"),
            "64 x 48 pixels of 1 samples, but in the header 64 x 48 of 3; correct the wrong one",
        ),
        (
            compressed([jpeg()], JPEGBaseline8Bit, "MONOCHROME2", RAMP),
            "64 x 48 pixels of 3 samples, but in the header 64 x 48 of 1",
        ),
        (
            compressed([jpeg(COLOURS.transpose(1, 0, 2).copy())], JPEGBaseline8Bit, "RGB"),
            "48 x 64 pixels of 3 samples, but in the header 64 x 48 of 3",
        ),
        (
            compressed([jpeg_2000(COLOURS[:24].repeat(1, 0), transform=True)], JPEG2000Lossless, "YBR_RCT"),
            "64 x 24 pixels of 3 samples, but in the header 64 x 48",
        ),
    ],
)
def test_a_codestream_that_is_not_what_the_header_says_is_refused(tmp_path: Path, data: Dataset, message: str) -> None:
    path = save(tmp_path / "in" / "x", data)
    for said in refusals(path.parent, path):
        with pytest.raises(SourceError, match=message):
            raise SourceError(said)


def deep(samples: np.ndarray, syntax: UID, bits: int) -> Dataset:
    data = dicom(samples, bits=bits)
    data.compress(syntax, generate_instance_uid=False)
    return data


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize(("allocated", "stored"), [(8, 8), (16, 16)])
def test_a_depth_that_is_not_what_the_header_says_is_refused(
    tmp_path: Path, syntax: UID, allocated: int, stored: int
) -> None:
    """12 bits of samples under a header of 8, which would wrap, or of 16, which would be dark."""
    data = deep(RAMP.astype(np.uint16) * 16, syntax, 12)
    data.BitsAllocated, data.BitsStored, data.HighBit = allocated, stored, stored - 1
    path = save(tmp_path / "in" / "x", data)
    message = f"data have 12 bits, but in the header BitsStored {stored} of BitsAllocated {allocated}; correct"
    assert all(message in said for said in refusals(path.parent, path))


def test_a_signed_jpeg_is_refused(tmp_path: Path) -> None:
    data = compressed([jpeg(RAMP)], JPEGBaseline8Bit, "MONOCHROME2", RAMP)
    data.PixelRepresentation = 1
    path = save(tmp_path / "in" / "x", data)
    assert all("PixelRepresentation is signed, but JPEG is unsigned" in s for s in refusals(path.parent, path))


def test_an_8_bit_jpeg_in_a_16_bit_header_is_written_as_8_bit(tmp_path: Path) -> None:
    data = compressed([jpeg(RAMP)], JPEGBaseline8Bit, "MONOCHROME1", RAMP)
    data.BitsAllocated = 16
    (found,) = read_and_written(tmp_path, data)
    assert np.abs(found - (255 - RAMP.astype(int))).max() <= 4


# --- headers of codestreams


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "do not begin as JPEG, JPEG-LS or JPEG 2000 do"),
        (b"GIF89a", "do not begin as JPEG, JPEG-LS or JPEG 2000 do"),
        (b"\xff\xd8", "end within their header"),
        (jpeg()[:30], "end within their header"),
        (b"\xff\xd8\xff\xe0\0\x04ab" + b"cd", "its JPEG header is damaged"),
        (jpeg_2000(transform=True)[:50], "end within their header"),
        (jpeg_2000(transform=True).replace(b"\xff\x52", b"\xff\x93", 1), r"has no coding style \(COD\)"),
        (
            jpeg_2000(transform=False, jp2=True).replace(b"colr\1\0\0\0\0\0\x10", b"colr\1\0\0\0\0\0\x12"),
            "its JPEG 2000 is sYCC, which is not supported",
        ),
    ],
)
def test_a_codestream_without_a_sound_header(data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_codestream(data)


def test_subsampled_jpeg_2000_is_refused() -> None:
    data = bytearray(jpeg_2000(transform=False))
    data[42 + 3 + 1] = 2  # XRsiz of the second component
    with pytest.raises(SourceError, match="components of different depths or sizes"):
        read_codestream(bytes(data))


@pytest.mark.parametrize("damage", [lambda data: data.replace(b"\xff\xda", b"\0\0"), lambda data: data[:900]])
def test_a_damaged_jpeg_is_one_clear_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A marker lost behind the frame header, and a stream that ends too early."""
    path = save(tmp_path / "in" / "x", compressed([damage(jpeg())], JPEGBaseline8Bit, "YBR_FULL_422"))
    assert all("frame 0 cannot be decoded (" in text for text in refusals(path.parent, path))


def test_fill_bytes_before_a_marker_are_allowed() -> None:
    data = jpeg(adobe=1)
    assert read_codestream(b"\xff\xd8\xff\xff" + data[2:]) == read_codestream(data)
    assert read_codestream(data).colour == "YBR"
