"""DICOM files made with pydicom, its own example files, and what breaks: pictures, spacings, names and complaints."""

import io
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Pil
from pydicom import DataElement, Dataset, FileMetaDataset, Sequence, examples
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import get_decoder, set_pixel_data
from pydicom.uid import (
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    generate_uid,
)

from fulora.data.label_set import label_set
from fulora.intake.formats.decode import read_gray
from fulora.intake.raw_image import RawImage, SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.dicom import DicomConfig, pixel_size_mm, pseudonym, read_dicom

KEY = "a secret of the hospital"
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64)).astype(np.uint8)
SMOOTH = (np.add.outer(np.arange(48), np.arange(64)) * 2).astype(np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (48, 64, 3)).astype(np.uint8)


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R BT.601, not rounded."""
    return rgb.astype(float) @ [0.299, 0.587, 0.114]


def picture(
    pixels: np.ndarray = NOISE, interpretation: str = "MONOCHROME2", bits: int = 8, syntax: UID = ExplicitVRLittleEndian
) -> Dataset:
    """An ultrasound picture, not compressed yet."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = UltrasoundImageStorage, generate_uid(), "US"
    data.PatientID, data.PatientName = "H-4711", "Doe^Jane"
    data.InstitutionName, data.Manufacturer, data.ManufacturerModelName = "St Mary", "GE", "Voluson E8"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    set_pixel_data(data, pixels, interpretation, bits, generate_instance_uid=False)
    data.file_meta.TransferSyntaxUID = syntax
    return data


def jpeg(pixels: np.ndarray, interpretation: str, frames: int = 1) -> Dataset:
    """A picture with baseline JPEG frames that Pillow encoded."""
    data = picture(pixels, "RGB" if pixels.ndim == 3 else interpretation, syntax=JPEGBaseline8Bit)
    buffer = io.BytesIO()
    Pil.fromarray(pixels).save(buffer, "JPEG", quality=98, subsampling=0)
    data.PixelData = encapsulate([buffer.getvalue()] * frames)
    data["PixelData"].is_undefined_length = True
    data.PhotometricInterpretation = interpretation
    if frames > 1:
        data.NumberOfFrames = frames
    return data


def save(path: Path, data: Dataset) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def compressed(syntax: UID, pixels: np.ndarray, interpretation: str, bits: int = 8) -> Dataset:
    data = picture(pixels, interpretation, bits)
    data.compress(syntax, generate_instance_uid=False)
    return data


def only(folder: Path) -> RawImage:
    (image,) = read_dicom(folder, "brain", key=KEY)
    return image


def shown(folder: Path, data: Dataset) -> np.ndarray:
    """What the reader makes of a single picture."""
    save(folder / "x", data)
    pixels, mask = only(folder).load()
    assert mask is None
    assert pixels.dtype == np.uint8
    return pixels.astype(int)


# --- pixels


def big_endian() -> Dataset:
    return picture(syntax=ExplicitVRBigEndian)


def signed() -> Dataset:
    return picture((NOISE.astype(np.int16) - 128).astype(np.int8))


def wide() -> Dataset:
    return picture(NOISE.astype(np.uint16))


def palette(depth: int, *, shared: bool = False) -> Dataset:
    """Number n shows red n, green 255 - n, blue 7: numbers taken for grays would come out wrong."""
    data = picture()
    data.PhotometricInterpretation = "PALETTE COLOR"
    entries = {"Red": np.arange(256), "Green": 255 - np.arange(256), "Blue": np.full(256, 7)}
    for name, values in entries.items():
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [256, 0, depth])
        scaled = values * 257 if depth == 16 and not shared else values
        setattr(data, f"{name}PaletteColorLookupTableData", scaled.astype("<u2" if depth == 16 else "u1").tobytes())
    return data


PALETTE = luma(np.dstack([NOISE, 255 - NOISE, np.full_like(NOISE, 7)]))
YBR = (COLOURS // 4 + 96).astype(np.uint8)  # keeps the RGB it stands for within 0..255


def halved(ybr: np.ndarray) -> np.ndarray:
    """The same colour in each pair of neighbours, so that 4:2:2 loses nothing."""
    twice = ybr.copy()
    twice[:, 1::2, 1:] = twice[:, ::2, 1:]
    return twice


@pytest.mark.parametrize(
    ("make", "expected", "tolerance"),
    [
        (picture, NOISE, 0),
        (lambda: picture(syntax=ImplicitVRLittleEndian), NOISE, 0),
        (lambda: picture(syntax=DeflatedExplicitVRLittleEndian), NOISE, 0),
        (big_endian, NOISE, 0),
        (lambda: compressed(RLELossless, NOISE, "MONOCHROME2"), NOISE, 0),
        (lambda: compressed(JPEGLSLossless, NOISE, "MONOCHROME2"), NOISE, 0),
        (lambda: compressed(JPEG2000Lossless, NOISE, "MONOCHROME2"), NOISE, 0),
        (lambda: jpeg(SMOOTH, "MONOCHROME2"), SMOOTH, 5),
        (lambda: picture(interpretation="MONOCHROME1"), 255 - NOISE, 0),
        (signed, NOISE, 0),
        (wide, NOISE, 0),
        (lambda: picture(COLOURS, "RGB"), luma(COLOURS), 0.51),
        (lambda: compressed(RLELossless, COLOURS, "RGB"), luma(COLOURS), 0.51),
        (lambda: compressed(JPEGLSLossless, COLOURS, "RGB"), luma(COLOURS), 0.51),
        (lambda: compressed(JPEG2000Lossless, COLOURS, "RGB"), luma(COLOURS), 0.51),
        (lambda: jpeg(np.dstack([SMOOTH] * 3), "YBR_FULL"), SMOOTH, 5),
        (lambda: picture(YBR, "YBR_FULL"), YBR[..., 0], 1),
        (lambda: picture(halved(YBR), "YBR_FULL_422"), YBR[..., 0], 1),
        (lambda: palette(8), PALETTE, 1),
        (lambda: palette(16), PALETTE, 1),
    ],
    ids=[
        "explicit",
        "implicit",
        "deflated",
        "big-endian",
        "rle",
        "jpeg-ls",
        "jpeg2000",
        "jpeg",
        "monochrome1",
        "signed",
        "8-in-16",
        "rgb",
        "rgb-rle",
        "rgb-jpeg-ls",
        "rgb-jpeg2000",
        "ybr-jpeg",
        "ybr",
        "ybr-422",
        "palette-8",
        "palette-16",
    ],
)
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
def test_every_encoding_becomes_the_gray_it_shows(
    tmp_path: Path, make: Callable[[], Dataset], expected: np.ndarray, tolerance: float
) -> None:
    assert np.abs(shown(tmp_path, make()) - expected).max() <= tolerance


RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_twelve_bits_take_their_stated_range_not_the_one_they_use(tmp_path: Path, syntax: UID | None) -> None:
    dark = RAMP // 2
    data = picture(dark, bits=12) if syntax is None else compressed(syntax, dark, "MONOCHROME2", 12)
    found = shown(tmp_path, data)
    assert found.max() == 127
    assert np.abs(found - dark * (255 / 4095)).max() <= 0.501


def test_a_window_is_the_standards(tmp_path: Path) -> None:
    """PS3.3 C.11.2.1.2.1, by its own three lines; the second window is not used."""
    data = picture(RAMP, bits=12)
    data.WindowCenter, data.WindowWidth = [2000, 100], [1000, 10]
    x = RAMP.astype(float)
    line = ((x - 1999.5) / 999 + 0.5) * 255
    expected = np.where(x <= 1999.5 - 499.5, 0, np.where(x > 1999.5 + 499.5, 255, line))
    assert np.abs(shown(tmp_path, data) - expected).max() <= 0.501


def test_a_window_is_in_rescaled_units(tmp_path: Path) -> None:
    data = picture(RAMP, "MONOCHROME1", bits=12)
    data.RescaleSlope, data.RescaleIntercept = "2", "-1000"
    data.VOILUTFunction, data.WindowCenter, data.WindowWidth = "LINEAR_EXACT", "3000", "2000"
    expected = 255 - np.clip((RAMP * 2.0 - 1000 - 2000) / 2000, 0, 1) * 255
    assert np.abs(shown(tmp_path, data) - expected).max() <= 0.501


def test_a_rescale_slope_alone_does_not_change_the_pixels(tmp_path: Path) -> None:
    data = picture(RAMP, bits=12)
    data.RescaleSlope, data.RescaleIntercept = "0.5", "7"
    assert np.abs(shown(tmp_path, data) - RAMP * (255 / 4095)).max() <= 0.501


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_of_the_file_is_followed(tmp_path: Path, keyword: str) -> None:
    """A square law over 10 bits, in 16-bit entries; a window beside a VOI table is not used."""
    data, item = picture(RAMP, bits=12), Dataset()
    item.LUTDescriptor = [4096, 0, 10]
    item.add(DataElement("LUTData", "US", [round(v * v / 4095**2 * 1023) for v in range(4096)]))
    if keyword == "ModalityLUTSequence":
        item.LUTDescriptor = [4096, 0, 16]
        item.LUTData = [round(v * v / 4095**2 * 65535) for v in range(4096)]
        item.ModalityLUTType = "US"
    else:
        data.WindowCenter, data.WindowWidth = 10, 5
    setattr(data, keyword, Sequence([item]))
    assert np.abs(shown(tmp_path, data) - (RAMP / 4095) ** 2 * 255).max() <= 0.7


def test_a_window_of_an_8_bit_picture_is_left_to_viewers(tmp_path: Path) -> None:
    data = picture()
    data.WindowCenter, data.WindowWidth = 128, 20
    np.testing.assert_array_equal(shown(tmp_path, data), NOISE)


@pytest.mark.parametrize("name", ["rgb_color", "palette_color", "ybr_color"])
def test_real_ultrasound_that_comes_with_pydicom(tmp_path: Path, name: str) -> None:
    """Against pydicom's decoding of all frames at once and the luma formula."""
    data = pydicom.dcmread(examples.get_path(name))
    frames = pydicom.pixels.pixel_array(data)
    if name == "palette_color":
        frames = pydicom.pixels.apply_color_lut(frames, data) >> 8
    frames = frames.reshape(-1, *frames.shape[-3:])
    data.Modality, data.PatientID = "US", "1"
    save(tmp_path / "x", data)
    images = list(read_dicom(tmp_path, "other", lambda message: None, key=KEY))
    assert len(images) == len(frames)
    for index in (0, len(frames) - 1):
        assert np.abs(images[index].load()[0] - luma(frames[index])).max() <= 1.5


# --- cines


def test_frames_are_pictures_of_their_own(tmp_path: Path) -> None:
    cine = np.stack([NOISE, 255 - NOISE, NOISE // 2])
    data = compressed(RLELossless, cine, "MONOCHROME2")
    save(tmp_path / "cine.dcm", data)
    images = list(read_dicom(tmp_path, "femur", key=KEY))
    stem = images[0].name.removesuffix("_f0000")
    assert [image.name for image in images] == [f"{stem}_f0000", f"{stem}_f0001", f"{stem}_f0002"]
    for image, frame in zip(images, cine, strict=True):
        np.testing.assert_array_equal(image.load()[0], frame)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_one_frame_needs_the_room_of_one_frame(tmp_path: Path, syntax: UID) -> None:
    """Sixty frames of 256 x 256 are 3.9 MB; loading one may not take a third of that."""
    cine = np.broadcast_to(SMOOTH[:16, :16].repeat(16, 0).repeat(16, 1), (60, 256, 256))
    data = picture(cine) if syntax == ExplicitVRLittleEndian else compressed(syntax, cine, "MONOCHROME2")
    save(tmp_path / "cine", data)
    images = list(read_dicom(tmp_path, "femur", key=KEY))
    images[0].load()
    tracemalloc.start()
    np.testing.assert_array_equal(images[59].load()[0], cine[59])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_300_000


def test_a_broken_frame_does_not_spoil_the_others(tmp_path: Path) -> None:
    data = compressed(RLELossless, np.stack([NOISE, NOISE]), "MONOCHROME2")
    first, second = generate_frames(data.PixelData, number_of_frames=2)
    data.PixelData = encapsulate([first, second[:1000]])
    data["PixelData"].is_undefined_length = True
    save(tmp_path / "cine", data)
    good, bad = read_dicom(tmp_path, "femur", key=KEY)
    np.testing.assert_array_equal(good.load()[0], NOISE)
    with pytest.raises(SourceError, match=r"cine: frame 1 cannot be decoded .*; replace or remove it"):
        bad.load()


# --- names


def test_no_output_identifies_the_patient(tmp_path: Path) -> None:
    data = picture()
    save(tmp_path / "Doe_Jane" / "H-4711.dcm", data)
    image = only(tmp_path)
    assert image.patient == pseudonym("H-4711", KEY)
    assert image.name.startswith(f"{image.patient}_")
    assert (image.source, image.site, image.machine) == ("dicom", "St Mary", "GE Voluson E8")
    told = " ".join(str(value) for key, value in vars(image).items() if key not in ("path", "load"))
    assert not any(word in told for word in ("Doe", "Jane", "4711", data.SOPInstanceUID))
    assert only(tmp_path).name == image.name
    other = next(read_dicom(tmp_path, "brain", key="another"))
    assert other.patient != image.patient
    assert other.name.split("_")[1] != image.name.split("_")[1]


def test_a_pseudonym_is_blake2b_with_the_key() -> None:
    """Fixed for good: a list of pseudonyms made today must fit tomorrow."""
    assert pseudonym("H-4711", KEY) == "a250600bafe6"
    assert len({pseudonym(str(number), KEY) for number in range(10_000)}) == 10_000


@pytest.mark.parametrize(("key", "size"), [("", 0), ("x" * 65, 65), ("é" * 33, 66)])
def test_a_key_is_needed(tmp_path: Path, key: str, size: int) -> None:
    with pytest.raises(SourceError, match=rf"the key has {size} bytes; give a secret of 1 to 64 bytes"):
        next(read_dicom(tmp_path, "brain", key=key))


def test_no_institution_is_an_unknown_site(tmp_path: Path) -> None:
    data = picture()
    data.InstitutionName = ""
    del data.ManufacturerModelName
    save(tmp_path / "x", data)
    assert (only(tmp_path).site, only(tmp_path).machine) == ("unknown", "GE")


def test_the_folder_names_the_plane(tmp_path: Path) -> None:
    for plane in ("femur", "abdomen", "intrapartum"):
        save(tmp_path / "b" / plane / "x", picture())
    images = list(read_dicom(tmp_path, None, key=KEY))
    assert [image.plane for image in images] == ["abdomen", "femur", "intrapartum"]
    save(tmp_path / "b" / "cervix" / "x", picture())
    complaints: list[str] = []
    assert len(list(read_dicom(tmp_path, None, complaints.append, key=KEY))) == 4
    source, inputs = (
        DicomConfig(folder="", key_file=Path()),
        SourceInputs(tmp_path, key_file=tmp_path.with_name("key.txt")),
    )
    tmp_path.with_name("key.txt").write_text(KEY)
    assert len(list(read_source(source, inputs, complaints.append))) == 4
    assert complaints == []
    planes = replace(inputs, labels=label_set("fetal_planes").joined(label_set("intrapartum")))
    assert len(list(read_source(source, planes, complaints.append))) == 3
    assert "cervix/x: unknown class 'cervix', of 1 images; rename it to one of abdomen, brain" in complaints[0]


@pytest.mark.parametrize("name", ["1234", "Doe", "jane doe 2"])
def test_a_folder_named_after_the_patient_is_no_class(tmp_path: Path, name: str) -> None:
    data = picture()
    data.PatientID, data.PatientName = "1234", "Doe^Jane"
    save(tmp_path / name / "x", data)
    with pytest.raises(SourceError, match="x: its folder is named after the patient; name it after the class"):
        list(read_dicom(tmp_path, None, key=KEY))
    assert [image.plane for image in read_dicom(tmp_path, "brain", key=KEY)] == ["brain"]


@pytest.mark.parametrize("name", ["SER00002", "1.2.840.10008", "DICOM", "0001", "series 3"])
def test_a_folder_of_an_export_is_no_class(tmp_path: Path, name: str) -> None:
    save(tmp_path / name / "x", picture())
    with pytest.raises(SourceError, match=rf"x: its folder {name} is named by an export; name it after the class"):
        list(read_dicom(tmp_path, None, key=KEY))


def test_a_file_outside_class_folders_needs_a_configured_plane(tmp_path: Path) -> None:
    save(tmp_path / "x", picture())
    with pytest.raises(SourceError, match=r"x: is in no class folder; move it .* set plane="):
        list(read_dicom(tmp_path, None, key=KEY))


# --- pixel sizes


def region(x: float, y: float, **others: int) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = 1, 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = x, y
    for keyword, value in others.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.parametrize(
    ("regions", "spacing", "expected", "problem"),
    [
        ([region(0.02, 0.02)], None, 0.2, ""),
        ([region(0.02, -0.02)], None, 0.2, ""),
        ([region(0.02, 0.0201)], None, 0.2005, ""),
        ([region(0.02, 0.0203)], None, None, "pixels are not square"),
        ([region(0.02, 0.02)], [9, 9], 0.2, ""),
        ([region(0.02, 0.02), region(0.02, 0.02)], None, 0.2, ""),
        ([region(0.02, 0.02), region(0.03, 0.03)], [9, 9], None, "2D regions of different scales"),
        ([region(0.02, 0.02), region(0.3, 0.4, RegionSpatialFormat=3, RegionDataType=3)], None, 0.2, ""),
        ([region(0.02, 0.02), region(0.3, 0.3, RegionDataType=2)], None, 0.2, ""),
        ([region(0.02, 0.02, PhysicalUnitsYDirection=4)], None, None, ""),
        ([region(0.0, 0.02)], None, None, "not all positive"),
        ([region(float("nan"), 0.02)], None, None, "not all positive"),
        ([], ["0.3", "0.3"], 0.3, ""),
        ([region(1, 1, RegionSpatialFormat=2)], [0.3, 0.3], 0.3, ""),
        ([], [0.3, 0.4], None, r"pixels are not square: \[0.4, 0.3\] mm across and down"),
        ([], None, None, ""),
    ],
)
def test_pixel_sizes(
    tmp_path: Path, regions: list[Dataset], spacing: list[float] | None, expected: float | None, problem: str
) -> None:
    data = picture()
    data.ImagerPixelSpacing = [0.5, 0.5]
    if regions:
        data.SequenceOfUltrasoundRegions = Sequence(regions)
    if spacing:
        data.PixelSpacing = spacing
    save(tmp_path / "x", data)
    (kept,) = read_dicom(tmp_path, "brain", key=KEY)  # no reason to stop
    assert kept.pixel_size_mm == (None if expected is None else pytest.approx(expected))
    complaints: list[str] = []
    (image,) = read_dicom(tmp_path, "brain", complaints.append, key=KEY)
    assert image.pixel_size_mm == (None if expected is None else pytest.approx(expected))
    assert len(complaints) == bool(problem)
    assert all(re.search(rf"x: .*{problem}.*; kept without a pixel size", line) for line in complaints)
    assert pixel_size_mm(data)[0] == image.pixel_size_mm


# --- what is left out


def changed(**others: object) -> Callable[[], Dataset]:
    def make() -> Dataset:
        data = picture()
        for keyword, value in others.items():
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)
        return data

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (changed(PatientID=""), "no PatientID; patients are indistinguishable"),
        (changed(PatientID="  "), "no PatientID"),
        (changed(PatientID=None), "no PatientID"),
        (changed(Modality=None), r"no Modality \(Ultrasound Image Storage\); expected ultrasound \(US or IVUS\)"),
        (changed(NumberOfFrames=20_000), "NumberOfFrames is 20000; expected 1 to 10,000"),
        (changed(PixelData=None), r"no pixels \(SOP class Ultrasound Image Storage\): not an image, or truncated"),
    ],
)
def test_unusable_files_are_noted_and_left_out(tmp_path: Path, make: Callable[[], Dataset], message: str) -> None:
    save(tmp_path / "b" / "x", make())
    save(tmp_path / "c", picture())
    with pytest.raises(SourceError, match=rf"b/x: {message}"):
        list(read_dicom(tmp_path, "brain", key=KEY))
    complaints: list[str] = []
    (image,) = read_dicom(tmp_path, "brain", complaints.append, key=KEY)
    assert image.path == tmp_path / "c"
    assert len(complaints) == 1


def test_a_picture_without_a_uid_has_no_name(tmp_path: Path) -> None:
    path = save(tmp_path / "x", picture())
    data = pydicom.dcmread(path)
    del data.SOPInstanceUID
    data.save_as(path)
    with pytest.raises(SourceError, match="x: no SOPInstanceUID, which names the image"):
        only(tmp_path)


def test_a_copy_is_noted(tmp_path: Path) -> None:
    data = picture()
    save(tmp_path / "a", data)
    save(tmp_path / "b", data)
    with pytest.raises(SourceError, match=r"b: the same SOPInstanceUID as a before it; remove the copy"):
        list(read_dicom(tmp_path, "brain", key=KEY))


def test_an_unreadable_value_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "x", changed(NumberOfFrames=12)())
    path.write_bytes(path.read_bytes().replace(b"IS\x02\x0012", b"IS\x02\x00zz"))
    with (
        pytest.warns(UserWarning, match="Invalid value for VR IS"),
        pytest.raises(SourceError, match=r"x: cannot be read as DICOM \(.*zz.*\); replace or remove it"),
    ):
        only(tmp_path)


def test_a_link_out_of_the_folder_is_named(tmp_path: Path) -> None:
    save(tmp_path / "outside", picture())
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x").symlink_to(tmp_path / "outside")
    with pytest.raises(SourceError, match=r"'x' leads out of .*in"):
        list(read_dicom(tmp_path / "in", "brain", key=KEY))


def test_a_folder_without_any(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(SourceError, match=r"no DICOM files, which have 'DICM' at byte 128"):
        list(read_dicom(tmp_path, "brain", key=KEY))
    with pytest.raises(SourceError, match=r"gone: not a folder"):
        list(read_dicom(tmp_path / "gone", "brain", key=KEY))


# --- pixels that cannot be told


def twisted(**others: object) -> Callable[[], Dataset]:
    def make() -> Dataset:
        data = picture(RAMP, bits=12)
        for keyword, value in others.items():
            setattr(data, keyword, value)
        return data

    return make


def shallow_table() -> Dataset:
    """Entries of 12 bits that a descriptor states as 10."""
    data, item = picture(RAMP, bits=12), Dataset()
    item.LUTDescriptor = [4096, 0, 10]
    item.add(DataElement("LUTData", "US", list(range(4096))))
    data.VOILUTSequence = Sequence([item])
    return data


def floats() -> Dataset:
    data = picture()
    for keyword in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(data, keyword)
    data.FloatPixelData, data.BitsAllocated = (NOISE / np.float32(255)).tobytes(), 32
    return data


def with_syntax(syntax: UID) -> Dataset:
    data = picture(syntax=syntax)
    data.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    data["PixelData"].is_undefined_length = True
    return data


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (floats, r"no BitsStored \(float pixels\?\): the range of its values is unknown"),
        (twisted(BitsStored=10), "values 0 to 4095 are outside of their stated range 0 to 1023"),
        (shallow_table, "values 0 to 4095 are outside of their stated range 0 to 1023"),
        (twisted(BitsStored=7), "BitsStored is 7; expected 8 to 16"),
        (twisted(BitsStored=16), "values 0 to 4095 of a stated range 0 to 65535 would become one gray level"),
        (twisted(RescaleSlope="-1", RescaleIntercept="0"), "RescaleSlope is -1.0; it must be positive"),
        (twisted(WindowCenter="5", WindowWidth="0"), r"its gray levels cannot be read \(.*Window Width must be"),
        (twisted(PhotometricInterpretation="HSV"), "photometric interpretation HSV with uint16 pixels"),
        (twisted(PhotometricInterpretation="PALETTE COLOR"), "its gray levels cannot be read"),
        (twisted(Rows=60_000, Columns=60_000), "60000 x 60000 is more than 64,000,000 pixels"),
        (twisted(Rows=100), "8,192 bytes of pixel data, but 12,800"),
        (lambda: palette(16, shared=True), "the palette: a 16-bit picture whose largest value is 255"),
        (lambda: with_syntax(MPEG2MPML), r"transfer syntax MPEG2 .*1\.2\.840.* is not for images; export it as JPEG"),
        (
            lambda: with_syntax(JPEGLosslessSV1),
            r'transfer syntax JPEG Lossless.*has no plugin here: pip install "fulora\[dicom\]"; .*gdcm',
        ),
        (lambda: with_syntax(JPEGBaseline8Bit), "its compressed data end within their header; replace or remove it"),
    ],
)
def test_ambiguous_pixels_are_one_clear_error(tmp_path: Path, make: Callable[[], Dataset], message: str) -> None:
    save(tmp_path / "x.dcm", make())
    with pytest.raises(SourceError, match=rf"x\.dcm: {message}"):
        only(tmp_path).load()


def test_signed_palette_numbers_are_refused(tmp_path: Path) -> None:
    data = palette(8)
    data.PixelRepresentation = 1
    data.RedPaletteColorLookupTableDescriptor = [256, 0, 8]
    save(tmp_path / "x", data)
    with pytest.raises(SourceError, match="palette indexes are signed, or of 32 bits; they must be from 0 to 65535"):
        only(tmp_path).load()


def test_a_missing_plugin_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "x", compressed(JPEGLSLossless, NOISE, "MONOCHROME2"))
    image = only(tmp_path)
    monkeypatch.setattr(get_decoder(JPEGLSLossless), "_available", {})
    with pytest.raises(SourceError, match=r'JPEG-LS Lossless .*1\.2\.4\.80\) has no plugin here: pip install "fulora'):
        image.load()


def test_a_file_that_changed_since_it_was_listed(tmp_path: Path) -> None:
    path = save(tmp_path / "x.txt", picture())
    image = only(tmp_path)
    path.write_text("now a text")
    with pytest.raises(SourceError, match=r"x\.txt: cannot be read as DICOM \(.*prefix is missing"):
        image.load()
    path.unlink()
    with pytest.raises(SourceError, match=r"x\.txt: cannot be read as DICOM \(.*No such file"):
        image.load()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGBaseline8Bit]
)
def test_damage_is_a_source_error_and_nothing_else(tmp_path: Path, syntax: UID) -> None:
    """Cut anywhere, or with any eight bytes turned to noise, a file is read, told, or refused."""
    encapsulated = syntax in (RLELossless, JPEG2000Lossless)
    data = compressed(syntax, NOISE, "MONOCHROME2") if encapsulated else picture(syntax=syntax)
    if syntax == JPEGBaseline8Bit:
        data = jpeg(np.dstack([SMOOTH] * 3), "YBR_FULL_422")
    data.SequenceOfUltrasoundRegions = Sequence([region(0.02, 0.02)])
    path = save(tmp_path / "x", data)
    whole, random = path.read_bytes(), np.random.default_rng(5)
    told = 0
    for size in [*range(132, len(whole), 41), *[len(whole)] * 60]:
        damaged = bytearray(whole[:size])
        if size == len(whole):
            start = int(random.integers(132, 1000))
            damaged[start : start + 8] = random.bytes(8)
        path.write_bytes(damaged)
        try:
            for image in read_dicom(tmp_path, "brain", key=KEY):
                assert image.load()[0].ndim == 2
        except SourceError:
            told += 1
    assert told > 20


@pytest.mark.real_data
def test_a_real_head_as_dicom_is_the_same_picture(tmp_path: Path, data_root: Path) -> None:
    path = sorted((data_root / "hc18" / "training_set").glob("*HC.png"))[0]
    pixels = read_gray(path)
    save(tmp_path / "x", compressed(JPEG2000Lossless, pixels, "MONOCHROME2"))
    np.testing.assert_array_equal(only(tmp_path).load()[0], pixels)
