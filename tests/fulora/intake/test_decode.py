"""Every kind of picture file becomes the gray picture it shows, and what cannot is one clear error."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.intake.curate.forecast import picture_size
from fulora.intake.formats.decode import read_gray
from fulora.intake.masks.stored_values import read_stored
from fulora.intake.raw_image import SourceError

RAMP = np.arange(192, dtype=np.uint8).reshape(12, 16)
GRAY = Pil.fromarray(RAMP)


def rgba() -> Pil.Image:
    """The ramp, its left half transparent white."""
    pixels = np.dstack([RAMP, RAMP, RAMP, np.full_like(RAMP, 255)])
    pixels[:, :8] = (255, 255, 255, 0)
    return Pil.fromarray(pixels, "RGBA")


def cut() -> np.ndarray:
    """What `rgba` shows on black."""
    return np.where(np.arange(16) < 8, 0, RAMP).astype(np.uint8)


def palette() -> Pil.Image:
    """Index 191 - v shows gray v: an index taken for a value would come out upside down."""
    image = Pil.fromarray(191 - RAMP, "P")
    image.putpalette([value for index in range(192) for value in [191 - index] * 3])
    return image


def luma(red: int, green: int, blue: int) -> int:
    """ITU-R BT.601."""
    return round(0.299 * red + 0.587 * green + 0.114 * blue)


@pytest.mark.parametrize(
    ("make", "ending", "expected", "tolerance"),
    [
        (lambda: GRAY, "png", RAMP, 0),
        (lambda: GRAY.convert("RGB"), "png", RAMP, 0),
        (lambda: GRAY.convert("RGB"), "bmp", RAMP, 0),
        (lambda: GRAY, "tif", RAMP, 0),
        (palette, "png", RAMP, 0),
        (rgba, "png", cut(), 0),
        (lambda: GRAY.convert("LA"), "png", RAMP, 0),
        (lambda: Pil.fromarray((RAMP > 90).astype(np.uint8) * 255).convert("1"), "png", (RAMP > 90) * 255, 0),
        (lambda: Pil.fromarray(RAMP.astype(np.uint16) * 257), "png", RAMP, 0),
        (lambda: Pil.fromarray(RAMP.astype(np.uint16) * 257), "tif", RAMP, 0),
        (lambda: GRAY.convert("RGB").convert("CMYK"), "tif", RAMP, 1),
        (lambda: GRAY.convert("RGB").convert("CMYK"), "jpg", RAMP, 4),
        (lambda: Pil.new("RGB", (16, 12), (200, 30, 90)), "png", np.full((12, 16), luma(200, 30, 90)), 1),
    ],
    ids=[
        "gray",
        "rgb",
        "bmp",
        "tiff",
        "palette",
        "rgba",
        "la",
        "1-bit",
        "png-16",
        "tiff-16",
        "cmyk-tiff",
        "cmyk-jpeg",
        "colour",
    ],
)
def test_every_mode_becomes_the_gray_it_shows(
    tmp_path: Path, make: Callable[[], Pil.Image], ending: str, expected: np.ndarray, tolerance: int
) -> None:
    make().save(tmp_path / f"x.{ending}")
    found = read_gray(tmp_path / f"x.{ending}")
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Pil.Exif()
    exif[0x0112] = orientation
    GRAY.save(tmp_path / "x.png", exif=exif)
    turned = {
        1: RAMP,
        2: RAMP[:, ::-1],
        3: RAMP[::-1, ::-1],
        4: RAMP[::-1],
        5: RAMP.T,
        6: np.rot90(RAMP, -1),
        7: RAMP[::-1, ::-1].T,
        8: np.rot90(RAMP),
    }
    np.testing.assert_array_equal(read_gray(tmp_path / "x.png"), turned[orientation])


def frames(path: Path) -> None:
    GRAY.save(path, save_all=True, append_images=[GRAY.point(lambda v: 255 - v)])


def truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80)).astype(np.uint8)
    Pil.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("gone.png", lambda path: None, "listed, but the file is not there"),
        ("text.png", lambda path: path.write_text("not a picture"), "cannot be read as an image"),
        ("empty.png", lambda path: path.write_bytes(b""), "cannot be read as an image"),
        ("cut.png", truncated, "cannot be read as an image.*replace or remove it"),
        ("folder.png", lambda path: path.mkdir(), "cannot be read as an image"),
        ("two.gif", frames, "holds 2 frames; save each frame"),
        ("float.tif", lambda path: Pil.fromarray(RAMP / np.float32(191)).save(path), "pixel mode F has an unknown"),
        ("int.tif", lambda path: Pil.fromarray(RAMP.astype(np.int32)).save(path), "pixel mode I has an unknown"),
        ("dark.png", lambda path: Pil.fromarray(RAMP.astype(np.uint16) * 20).save(path), "3820 would come out black"),
    ],
)
def test_what_is_no_picture_is_one_clear_error(
    tmp_path: Path, name: str, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(SourceError, match=rf"{name.split('.')[0]}\.\w+: .*{message}"):
        read_gray(tmp_path / name)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """A PNG of some hundred bytes that says it is 30,000 x 30,000: decoding it would take 900 MB."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    with pytest.raises(SourceError, match=r"bomb\.png: .*more than 64,000,000 pixels"):
        read_gray(tmp_path / "bomb.png")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_tiff_is_upright_whatever_its_orientation(
    tmp_path: Path, orientation: int, compression: str, depth: type
) -> None:
    """Its size, gray values and mask values: TIFF 6.0 says which corner the first pixel and row belong to."""
    image = np.arange(6, dtype=np.uint8).reshape(2, 3) * 51
    shown = [
        image,
        image[:, ::-1],
        image[::-1, ::-1],
        image[::-1],
        image.T,
        np.rot90(image, -1),
        np.rot90(image, 2).T,
        np.rot90(image),
    ][orientation - 1]
    stored = image if depth is np.uint8 else image.astype(np.uint16) * 257
    path = tmp_path / "a.tif"
    Pil.fromarray(stored).save(path, tiffinfo={0x0112: orientation}, compression=compression)
    np.testing.assert_array_equal(read_gray(path), shown)
    np.testing.assert_array_equal(read_stored(path).values, shown)
    assert picture_size(path) == shown.shape[::-1]
