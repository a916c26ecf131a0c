"""Frames are counted from the pixel data; curate, check and deidentify refuse a header that says otherwise."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_made import COLOURS, RAMP, compressed, dicom, jpeg, read, read_and_written, refusals, save, ybr
from pydicom import Dataset
from pydicom.encaps import encapsulate_extended, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from fulora.intake.dicom.frames import locate_frames
from fulora.intake.raw_image import SourceError

CINE = np.stack([np.roll(RAMP, 9 * index, axis=1) for index in range(5)])
ODD = RAMP[:47, :63]


def said(data: Dataset, **values: object) -> Dataset:
    """A data set whose header says something else; None takes an attribute away."""
    for keyword, value in values.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    return data


def halved(samples: np.ndarray) -> np.ndarray:
    """Pairs of neighbours of one colour, of which 4:2:2 loses nothing."""
    twice = samples.copy()
    twice[:, 1::2, 1:] = twice[:, ::2, 1:]
    return twice


# --- uncompressed


@pytest.mark.parametrize(
    "data",
    [
        said(dicom(CINE)),
        said(dicom(ODD)),
        said(dicom(ODD), PixelData=ODD.tobytes()),
        said(dicom(), NumberOfFrames=1),
        said(dicom(), NumberOfFrames=0),
        said(dicom(), NumberOfFrames=""),
        said(dicom(np.stack([COLOURS] * 2), "RGB"), PlanarConfiguration=1),
        said(dicom(CINE), PixelData=CINE.tobytes()),
        dicom(CINE, syntax=DeflatedExplicitVRLittleEndian),
        dicom(CINE, syntax=ImplicitVRLittleEndian),
    ],
    ids=["cine", "odd", "odd without a pad", "1", "0", "empty", "planes", "exact", "deflated", "implicit"],
)
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
def test_a_length_that_fits_is_read(tmp_path: Path, data: Dataset) -> None:
    """Odd lengths may have one byte more, or not."""
    planes = data.get("PlanarConfiguration") == 1
    if planes:
        data.PixelData = np.stack([COLOURS.transpose(2, 0, 1)] * 2).tobytes()
    found = read_and_written(tmp_path, data)
    expected = CINE if len(found) == 5 else [COLOURS @ [0.299, 0.587, 0.114]] * 2 if planes else [RAMP]
    for one, frame in zip(found, expected, strict=True):
        assert np.abs(one - frame[: one.shape[0], : one.shape[1]].astype(float)).max() <= (1 if planes else 0)


@pytest.mark.parametrize(
    ("data", "there", "stated", "hint"),
    [
        (said(dicom(CINE), NumberOfFrames=None), 15_360, 3_072, "no NumberOfFrames, so 1 frame.*as for 5 frames"),
        (said(dicom(CINE), NumberOfFrames=2), 15_360, 6_144, "NumberOfFrames 2.*as for 5 frames, or for more samples"),
        (said(dicom(CINE), NumberOfFrames=6), 15_360, 18_432, "replace it, or correct the wrong attribute"),
        (said(dicom(CINE), NumberOfFrames=0), 15_360, 3_072, "as for 5 frames"),
        (said(dicom(RAMP.astype(np.uint16) * 257, bits=16), BitsAllocated=8, BitsStored=8), 6_144, 3_072, "bits"),
        (said(dicom(), BitsAllocated=16, BitsStored=16), 3_072, 6_144, "replace it, or correct"),
        (said(dicom(COLOURS, "RGB"), SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2"), 9_216, 3_072, "bits"),
        (said(dicom(), SamplesPerPixel=3, PhotometricInterpretation="RGB"), 3_072, 9_216, "replace it, or correct"),
        (said(dicom(COLOURS, "RGB"), PhotometricInterpretation="YBR_FULL_422"), 9_216, 6_144, "to YBR_FULL or RGB"),
        (said(dicom(ybr(), "YBR_FULL"), PhotometricInterpretation="YBR_FULL_422"), 9_216, 6_144, "YBR_FULL or RGB"),
        (said(dicom(halved(ybr()), "YBR_FULL_422"), PhotometricInterpretation="RGB"), 6_144, 9_216, "replace it"),
        (said(dicom(), Rows=47), 3_072, 3_008, "64 x 47 pixels"),
        (said(dicom(), PixelData=RAMP.tobytes() + bytes(2)), 3_074, 3_072, "correct the wrong attribute"),
        (said(dicom(), PixelData=RAMP.tobytes()[:-2]), 3_070, 3_072, "correct the wrong attribute"),
        (said(dicom(), PixelData=b""), 0, 3_072, "correct the wrong attribute"),
        (said(dicom(CINE, syntax=DeflatedExplicitVRLittleEndian), NumberOfFrames=2), 15_360, 6_144, "as for 5 frames"),
    ],
)
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
def test_another_length_is_refused_with_both_lengths(
    tmp_path: Path, data: Dataset, there: int, stated: int, hint: str
) -> None:
    path = save(tmp_path / "in" / "x", data)
    for message in refusals(path.parent, path):
        with pytest.raises(SourceError, match=rf"in/x: {there:,} bytes of pixel data, but {stated:,}"):
            raise SourceError(message)
        with pytest.raises(SourceError, match=hint):
            raise SourceError(message)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_file_that_is_cut_short_is_refused_as_a_whole(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    path = save(tmp_path / "in" / "x", dicom(CINE, syntax=syntax))
    path.write_bytes(path.read_bytes()[:-100])
    message = "x: truncated: 15,260 bytes of 15,360 bytes of pixel data are available"
    assert all(message in text for text in refusals(path.parent, path))


@pytest.mark.parametrize("pixels", [RAMP, ODD, np.stack([ODD, 255 - ODD])], ids=["even", "odd", "odd cine"])
@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_big_endian_bytes_and_words(tmp_path: Path, pixels: np.ndarray, vr: str) -> None:
    """In words, the bytes of two samples are swapped, over the border of two odd frames too."""
    data = dicom(pixels)
    if vr == "OW":
        data.PixelData = np.frombuffer(data.PixelData, "<u2").byteswap().tobytes()
    data["PixelData"].VR = vr
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    np.testing.assert_array_equal(read_and_written(tmp_path, data), pixels.reshape(-1, *pixels.shape[-2:]))


# --- compressed


def stream(pixels: np.ndarray) -> bytes:
    return jpeg(pixels)


FIVE = [stream(frame) for frame in CINE]
SPLIT = [part for data in FIVE for part in (data[:400], data[400:])]


def cine(fragments: list[bytes], frames: int | None, *, table: bool = True) -> Dataset:
    data = compressed(fragments, JPEGBaseline8Bit, "MONOCHROME2", RAMP, table=table)
    if frames is not None:
        data.NumberOfFrames = frames
    return data


def extended() -> Dataset:
    data = cine(FIVE, 5)
    data.PixelData, data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = encapsulate_extended(FIVE)
    return data


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (cine(FIVE, 5), 5),
        (cine(FIVE, 5, table=False), 5),
        (cine(FIVE, None), 5),
        (cine(FIVE, None, table=False), 5),
        (cine(FIVE, 0), 5),
        (cine(SPLIT, 5, table=False), 5),
        (cine(SPLIT, None, table=False), 5),
        (cine(SPLIT[:2], None, table=False), 1),
        (cine(SPLIT[:2], 1, table=False), 1),
        (extended(), 5),
    ],
    ids=[
        "said",
        "no table",
        "unsaid",
        "unsaid, no table",
        "0",
        "two fragments each",
        "two fragments each, unsaid",
        "one of two fragments, unsaid",
        "one of two fragments",
        "extended table",
    ],
)
def test_compressed_frames_are_counted(tmp_path: Path, data: Dataset, frames: int) -> None:
    found = read_and_written(tmp_path, data)
    assert len(found) == frames
    for one, frame in zip(found, CINE, strict=False):
        assert np.abs(one - frame.astype(int)).max() <= 12


def rle(frames: int | None) -> Dataset:
    data = dicom(CINE)
    data.compress(RLELossless, generate_instance_uid=False)
    return said(data, NumberOfFrames=frames)


def test_rle_frames_are_counted(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_and_written(tmp_path, rle(None)), CINE)


def fewer_listed() -> Dataset:
    """An offset table of one frame before five."""
    data = cine(FIVE, None)
    data.PixelData = data.PixelData[:4] + struct.pack("<LL", 4, 0) + data.PixelData[28:]
    return data


def nothing_but_a_table() -> Dataset:
    data = cine(FIVE[:1], None)
    data.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0"
    return data


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cine(FIVE, 2), "5 compressed frames, but NumberOfFrames is 2; correct the wrong one"),
        (lambda: cine(FIVE, 6, table=False), "5 compressed frames, but NumberOfFrames is 6"),
        (lambda: cine(SPLIT, 10, table=False), "5 compressed frames, but NumberOfFrames is 10"),
        (lambda: rle(4), "5 compressed frames, but NumberOfFrames is 4"),
        (lambda: rle(1), "5 compressed frames, but NumberOfFrames is 1"),
        (fewer_listed, "5 compressed frames, but its offset table lists 1"),
        (lambda: cine([SPLIT[1]], 1), "its first frame does not begin like JPEG Baseline .*; replace or remove it"),
        (nothing_but_a_table, "its pixel data are empty"),
    ],
)
def test_another_number_of_frames_is_refused(tmp_path: Path, make: Callable[[], Dataset], message: str) -> None:
    path = save(tmp_path / "in" / "x", make())
    for text in refusals(path.parent, path):
        with pytest.raises(SourceError, match=message):
            raise SourceError(text)


@pytest.mark.parametrize(
    ("make", "syntax", "message"),
    [
        (dicom, RLELossless, "its transfer syntax is compressed, but its pixel data are not split into frames"),
        (lambda: said(dicom(), PixelData=b""), RLELossless, "its pixel data are empty"),
        (
            lambda: rle(None),
            ExplicitVRLittleEndian,
            "its transfer syntax is uncompressed, but its pixel data",
        ),
    ],
)
def test_the_wrong_transfer_syntax_is_refused(
    tmp_path: Path, make: Callable[[], Dataset], syntax: pydicom.uid.UID, message: str
) -> None:
    data = make()
    path = save(tmp_path / "in" / "x", data)
    path.write_bytes(path.read_bytes().replace(data.file_meta.TransferSyntaxUID.encode(), syntax.encode()))
    for text in refusals(path.parent, path):
        with pytest.raises(SourceError, match=message):
            raise SourceError(text)


@pytest.mark.parametrize("missing", [4, 100, 3000])
def test_compressed_frames_that_are_cut_short_are_refused(tmp_path: Path, missing: int) -> None:
    path = save(tmp_path / "in" / "x", cine(FIVE, 5))
    path.write_bytes(path.read_bytes()[:-missing])
    assert all("x: truncated: " in text for text in refusals(path.parent, path))


def test_a_frame_can_be_had_as_it_is_stored(tmp_path: Path) -> None:
    path = save(tmp_path / "x", cine(FIVE, None))
    frames = locate_frames(path)
    assert [frames.read(index).rstrip(b"\0") for index in range(len(frames))] == [part.rstrip(b"\0") for part in FIVE]
    assert list(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=5))[3] == frames.read(3)


# --- headers


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (said(dicom(), Rows=None), "no Rows, which is needed to decode the pixels"),
        (said(dicom(), Columns=None), "no Columns, which is needed"),
        (said(dicom(), SamplesPerPixel=None), "no SamplesPerPixel"),
        (said(dicom(), BitsAllocated=None), "no BitsAllocated"),
        (said(dicom(), PixelRepresentation=None), "no PixelRepresentation"),
        (said(dicom(), PhotometricInterpretation=None), "no PhotometricInterpretation"),
        (said(dicom(), BitsStored=None), r"no BitsStored \(float pixels\?\)"),
        (said(dicom(), Rows=0), "64 x 0 pixels; not an image"),
        (said(dicom(), BitsAllocated=12), "BitsAllocated is 12; expected 8, 16 or 32"),
        (said(dicom(), BitsAllocated=1), "BitsAllocated is 1; expected 8, 16 or 32"),
        (said(dicom(COLOURS, "RGB"), PhotometricInterpretation="MONOCHROME2"), "MONOCHROME2, but SamplesPerPixel is 3"),
        (said(dicom(), PhotometricInterpretation="RGB"), "photometric interpretation RGB, but SamplesPerPixel is 1"),
        (said(dicom(), NumberOfFrames=20_000), "NumberOfFrames is 20000; expected 1 to 10,000"),
        (said(dicom(), NumberOfFrames=-1), "NumberOfFrames is -1; expected 1 to 10,000"),
        (
            said(dicom(halved(ybr()), "YBR_FULL_422"), PlanarConfiguration=1),
            "YBR_FULL_422 needs an even number of columns",
        ),
        (said(dicom(halved(ybr()), "YBR_FULL_422"), Columns=63), "YBR_FULL_422 needs an even number of columns"),
        (
            said(dicom(RAMP.astype(np.uint16) // 32, bits=12), BitsStored=8, HighBit=15),
            "HighBit is 15, but BitsStored 8: it must be one less",
        ),
        (said(dicom(COLOURS, "RGB"), PlanarConfiguration=None), "cannot be decoded .*Planar Configuration"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value:UserWarning")
def test_a_header_that_makes_no_sense_is_refused(tmp_path: Path, data: Dataset, message: str) -> None:
    path = save(tmp_path / "in" / "x", data)
    for text in refusals(path.parent, path):
        with pytest.raises(SourceError, match=message):
            raise SourceError(text)


def test_too_many_compressed_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "x", cine(FIVE, None))
    monkeypatch.setattr("fulora.intake.dicom.frames.MAX_FRAMES", 4)
    with pytest.raises(SourceError, match="x: 5 frames; expected 1 to 4"):
        read(tmp_path)


def test_a_file_without_a_transfer_syntax_is_refused(tmp_path: Path) -> None:
    data = dicom()
    del data.file_meta.TransferSyntaxUID
    data.file_meta.MediaStorageSOPClassUID, data.preamble = data.SOPClassUID, bytes(128)
    path = tmp_path / "in" / "x"
    path.parent.mkdir()
    data.save_as(path, implicit_vr=False, little_endian=True)
    message = "x: no TransferSyntaxUID, which is needed to decode the pixels"
    assert all(message in text for text in refusals(path.parent, path))
