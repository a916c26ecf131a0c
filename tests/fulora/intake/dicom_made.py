"""DICOM files as tests make them: an ultrasound of the right form, and streams of JPEG and JPEG 2000 by parts."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels import set_pixel_data
from pydicom.uid import UID, ExplicitVRLittleEndian, UltrasoundImageStorage, generate_uid

from fulora.intake.check.check_folder import check_folder
from fulora.intake.dicom.confidentiality_profile import ProfileError, write_deidentified
from fulora.intake.raw_image import SourceError
from fulora.intake.sources.dicom import read_dicom

KEY = "a secret of the hospital"
RAMP = (np.add.outer(np.arange(48), np.arange(64)) * 2).astype(np.uint8)
COLOURS = np.dstack([RAMP // 2 + 60, 200 - RAMP // 2, np.full_like(RAMP, 40)])
"""Smooth and coloured, so that a compressed one shows what it was."""
LUMA = COLOURS.astype(float) @ [0.299, 0.587, 0.114]


def dicom(
    pixels: np.ndarray = RAMP, interpretation: str = "MONOCHROME2", bits: int = 8, syntax: UID = ExplicitVRLittleEndian
) -> Dataset:
    """An ultrasound image or cine, not compressed."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = UltrasoundImageStorage, generate_uid(), "US"
    data.PatientID, data.InstitutionName, data.Manufacturer = "H-4711", "St Mary", "GE"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    set_pixel_data(data, pixels, interpretation, bits, generate_instance_uid=False)
    data.file_meta.TransferSyntaxUID = syntax
    return data


def compressed(
    fragments: Sequence[bytes], syntax: UID, tag: str, like: np.ndarray = COLOURS, *, table: bool = True
) -> Dataset:
    """An ultrasound with these fragments as its pixel data; `like` gives the header's size and samples."""
    data = dicom(like, "RGB" if like.ndim == 3 else "MONOCHROME2", syntax=syntax)
    data.PhotometricInterpretation = tag
    data.PixelData = encapsulate(list(fragments), has_bot=table)
    data["PixelData"].is_undefined_length = True
    return data


def jpeg(
    pixels: np.ndarray = COLOURS,
    *,
    space: str = "YBR",
    jfif: bool = False,
    adobe: int | None = None,
    ids: bytes = b"\1\2\3",
) -> bytes:
    """A baseline JPEG of gray or RGB pixels, which are stored in a colour space under the marks that are named."""
    buffer = io.BytesIO()
    keep = pixels.ndim == 3 and space == "RGB"
    Pil.fromarray(pixels).save(buffer, "JPEG", quality=98, subsampling=0, keep_rgb=keep)
    data, at, parts = buffer.getvalue(), 2, []
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        parts.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    old = b"RGB" if keep else b"\1\2\3"
    scan, n = bytearray(data[at:]), pixels.shape[2] if pixels.ndim == 3 else 1
    for index in range(n):
        scan[5 + 2 * index] = ids[old.index(scan[5 + 2 * index])]
    head = [(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")] if jfif else []
    if adobe is not None:
        head.append((0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, adobe)))
    for marker, content in parts:
        if marker == 0xC0:
            content = content[:6] + b"".join(
                bytes([ids[old.index(content[6 + 3 * index])]]) + content[7 + 3 * index : 9 + 3 * index]
                for index in range(n)
            )
        if marker not in (0xE0, 0xEE):
            head.append((marker, content))
    segments = (b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content for marker, content in head)
    return b"\xff\xd8" + b"".join(segments) + bytes(scan)


def jpeg_2000(samples: np.ndarray = COLOURS, *, transform: bool, jp2: bool = False) -> bytes:
    """A lossless JPEG 2000 of three samples a pixel, with the component transform or without."""
    buffer = io.BytesIO()
    Pil.fromarray(samples).save(buffer, "JPEG2000", no_jp2=not jp2, mct=int(transform), irreversible=False)
    return buffer.getvalue()


def ybr(rgb: np.ndarray = COLOURS) -> np.ndarray:
    """RGB as full-range YCbCr."""
    return np.asarray(Pil.fromarray(rgb).convert("YCbCr"))


def save(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def read(folder: Path) -> list[np.ndarray]:
    """What curate and check read of a folder: gray frames."""
    return [image.load()[0].astype(int) for image in read_dicom(folder, "brain", key=KEY)]


def read_and_written(folder: Path, data: Dataset) -> list[np.ndarray]:
    """The gray frames of one file, after its de-identified copy was seen to be sound and to show the same."""
    source, target = save(folder / "in" / "x", data), folder / "out" / "x"
    target.parent.mkdir()
    write_deidentified(source, target, key=KEY, clean=None, pixels_unchecked=True)
    found, back, copy = read(source.parent), read(target.parent), dcmread(target)
    assert len(found) == len(back) == int(copy.get("NumberOfFrames", 1))
    for one, two in zip(found, back, strict=True):
        np.testing.assert_array_equal(one, two)
    samples = 3 if copy.PhotometricInterpretation == "RGB" else 1
    size = len(back) * copy.Rows * copy.Columns * samples * copy.BitsAllocated // 8
    assert len(copy.PixelData) == size + size % 2
    assert (copy.SamplesPerPixel, copy.get("PlanarConfiguration")) == (samples, 0 if samples == 3 else None)
    assert copy.HighBit == copy.BitsStored - 1
    return found


def refusals(folder: Path, path: Path) -> list[str]:
    """What curate, check and deidentify say of a file that all of them refuse."""
    said = []
    try:
        read(folder)
    except SourceError as error:
        said.append(str(error))
    key = folder.parent / "key.txt"
    key.write_text(KEY)
    found = check_folder(folder, {"kind": "dicom", "plane": "brain", "label_set": "fetal_planes", "key_file": str(key)})
    said += [line for finding in found.findings for line in finding.examples if finding.severity == "misleading"]
    target = folder.parent / "copy"
    try:
        write_deidentified(path, target, key=KEY, clean=None, pixels_unchecked=True)
    except ProfileError as error:
        said.append(str(error))
    assert not target.exists()
    assert len(said) == 3, said
    return said
