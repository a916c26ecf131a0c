"""One mapping of values to classes for all masks of a call, and the shown value of every kind of file."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.intake.masks import value_mapping as mask_values
from fulora.intake.masks.stored_values import read_stored
from fulora.intake.masks.value_mapping import MaskValues, find_mask_values, parse_values
from fulora.intake.raw_image import SourceError

HEAD = np.zeros((24, 32), np.uint8)
HEAD[6:18, 8:26] = 1
BOTH = HEAD * 2
BOTH[3:10, 2:9] = 1


def save(path: Path, pixels: np.ndarray | Pil.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Pil.Image) else Pil.fromarray(pixels)
    image.save(path, **options)
    return path


def shades(labels: np.ndarray, *levels: int) -> np.ndarray:
    return np.array([0, *levels], np.uint8)[labels]


def palette(labels: np.ndarray, *colours: tuple[int, int, int]) -> Pil.Image:
    image = Pil.new("P", labels.shape[::-1])
    image.putdata(labels.ravel().tolist())
    image.putpalette([part for colour in colours for part in colour])
    return image


def transparent(gray: np.ndarray, alpha: np.ndarray) -> Pil.Image:
    return Pil.fromarray(np.dstack([gray, gray, gray, alpha]).astype(np.uint8))


def found(*paths: Path) -> MaskValues:
    return find_mask_values({"masks": paths})


# --- the shown value

WHITE, BLACK, RED, GRAY = (255, 255, 255), (0, 0, 0), (200, 0, 0), (128, 128, 128)
ONE = np.ones_like(HEAD)
KINDS: dict[str, tuple[str, Pil.Image | np.ndarray]] = {
    "gray": ("a.png", HEAD * 255),
    "gray in three channels": ("a.png", np.dstack([HEAD * 255] * 3)),
    "one bit": ("a.png", Pil.fromarray(HEAD * 255).convert("1")),
    "one bit, white is zero": ("a.tif", Pil.fromarray(HEAD * 255).convert("1")),
    "16 bit": ("a.png", HEAD.astype(np.uint16) * 65535),
    "16 bit class numbers": ("a.png", HEAD.astype(np.uint16)),
    "32 bit": ("a.tif", HEAD.astype(np.int32)),
    "float": ("a.tif", HEAD.astype(np.float32)),
    "white first palette": ("a.png", palette(1 - HEAD, WHITE, BLACK)),
    "black first palette": ("a.png", palette(HEAD, BLACK, WHITE)),
    "white first GIF": ("a.gif", palette(1 - HEAD, WHITE, BLACK)),
    "palette of a colour": ("a.png", palette(HEAD, BLACK, RED)),
    "palette of colours, black and white used": ("a.png", palette(HEAD * 3, BLACK, RED, GRAY, WHITE)),
    "quantised": ("a.png", Pil.fromarray(HEAD * 255).quantize(2)),
    "white on nothing": ("a.png", transparent(ONE * 255, HEAD * 255)),
    "black on nothing": ("a.png", transparent(ONE * 0, HEAD * 255)),
    "white on nothing that is black": ("a.png", transparent(HEAD * 255, HEAD * 255)),
    "gray and alpha": ("a.png", Pil.merge("LA", [Pil.fromarray(ONE * 255), Pil.fromarray(HEAD * 255)])),
    "lossless webp": ("a.webp", HEAD * 255),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_shown_value_of_every_kind_of_file_counts(tmp_path: Path, kind: str) -> None:
    name, image = KINDS[kind]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = save(tmp_path / name, image, **options)
    np.testing.assert_array_equal(found(path).read(path), HEAD)


def test_a_palette_entry_that_is_transparent_is_background(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", palette(HEAD, WHITE, WHITE), transparency=b"\x00\xff")
    np.testing.assert_array_equal(found(path).read(path), HEAD)


def test_an_orientation_is_applied(tmp_path: Path) -> None:
    exif = Pil.Exif()
    exif[0x0112] = 3
    path = save(tmp_path / "a.png", HEAD * 255, exif=exif)
    np.testing.assert_array_equal(found(path).read(path), HEAD[::-1, ::-1])


def test_colours_of_a_palette_are_class_numbers_by_their_place(tmp_path: Path) -> None:
    """Also where one file uses only black and the white of class 2, or a gray."""
    entries = (BLACK, RED, WHITE)
    both = save(tmp_path / "both.png", palette(BOTH, *entries))
    head = save(tmp_path / "head.png", palette(HEAD * 2, *entries))
    values = found(head, both)
    np.testing.assert_array_equal(values.read(both), BOTH)
    np.testing.assert_array_equal(values.read(head), HEAD * 2)
    assert values.origin == "palette entries"
    assert values.describe().endswith("(palette entries: 1 is #c80000, 2 is #ffffff)")
    gray = save(tmp_path / "gray.png", palette(HEAD * 2, BLACK, RED, GRAY))
    np.testing.assert_array_equal(found(gray).read(gray), HEAD * 2)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (
            palette(1 - HEAD, RED, BLACK),
            r"a\.png: a palette of colours whose entry 0, the background, is not its only black",
        ),
        (np.dstack([HEAD * 200, HEAD, HEAD]), r"a\.png: holds colours"),
        (
            HEAD.astype(np.uint16) * 300,
            r"a\.png: holds the values 0, 300; a mask has class numbers, 0 to 15, or shades",
        ),
        (BOTH.astype(np.uint16) * 700, "0, 700, 1400; a mask has class numbers"),
    ],
)
def test_what_is_neither_class_nor_shade_is_refused(tmp_path: Path, image: Pil.Image | np.ndarray, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_stored(save(tmp_path / "a.png", image))


def test_fractions_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds the values 0, 0\.5; a mask has class numbers"):
        read_stored(save(tmp_path / "a.tif", HEAD.astype(np.float32) / 2))


# --- noise


@pytest.mark.parametrize("quality", [50, 75, 90])
def test_jpeg_noise_near_black_and_white_is_thresholded_and_noted(tmp_path: Path, quality: int) -> None:
    head = np.kron(HEAD, np.ones((8, 8), np.uint8))
    rows, columns = np.ogrid[:192, :256]
    head[(rows - 96) ** 2 / 70**2 + (columns - 128) ** 2 / 90**2 <= 1] = 1
    path = save(tmp_path / "a.jpg", head * 255, quality=quality)
    assert len(np.unique(np.asarray(Pil.open(path)))) > 16
    values = found(path)
    np.testing.assert_array_equal(values.read(path), head)
    assert values.thresholded == 1
    assert "1 of them hold shades near black and white (JPEG noise)" in values.describe()
    again = save(tmp_path / "again.png", Pil.open(path))
    np.testing.assert_array_equal(found(again).read(again), head)


@pytest.mark.parametrize(
    ("name", "pixels", "said"),
    [
        ("a.jpg", shades(BOTH, 127, 255), "a JPEG, whose noise hides class numbers"),
        ("a.jpg", BOTH * 4, "a JPEG, whose noise hides class numbers"),
        ("a.webp", shades(BOTH, 127, 255), "a JPEG, whose noise hides class numbers"),
        ("a.png", np.arange(768, dtype=np.uint16).reshape(24, 32).astype(np.uint8), "not near black or white"),
        ("a.png", shades(BOTH, 124, 127), "not near black or white"),
    ],
)
def test_other_noise_is_refused(tmp_path: Path, name: str, pixels: np.ndarray, said: str) -> None:
    path = save(tmp_path / name, np.kron(pixels, np.ones((4, 4), np.uint8)), quality=75)
    with pytest.raises(SourceError, match=said):
        found(path).read(path)


# --- one mapping for all files


def test_shades_mean_the_same_in_every_file(tmp_path: Path) -> None:
    """Half of the files hold 255 alone, which is class 2 there too: not 1, as each file by itself would say."""
    both, head = save(tmp_path / "both.png", shades(BOTH, 127, 255)), save(tmp_path / "head.png", HEAD * 255)
    values = found(head, both)
    assert values.classes == {0: 0, 127: 1, 255: 2}
    np.testing.assert_array_equal(values.read(head), HEAD * 2)
    np.testing.assert_array_equal(values.read(both), BOTH)
    assert values.describe() == (
        "mask values of 2 files: 127 = class 1, 255 = class 2 (shades in order, darkest first)"
    )
    assert found(head).classes == {0: 0, 255: 1}


def test_the_mapping_is_that_of_all_folders(tmp_path: Path) -> None:
    both, head = save(tmp_path / "both.png", shades(BOTH, 128, 255)), save(tmp_path / "head.png", HEAD * 255)
    other = save(tmp_path / "other.png", shades(BOTH, 127, 255))
    numbers = save(tmp_path / "numbers.png", BOTH)
    values = find_mask_values({"reference": [both, other, numbers], "prediction": [head]})
    assert values.classes == {0: 0, 1: 1, 2: 2, 127: 1, 128: 1, 255: 2}
    assert values.held == {"reference": {0, 1, 2}, "prediction": {0, 2}}
    assert values.to_json()["classes"] == {"0": 0, "1": 1, "2": 2, "127": 1, "128": 1, "255": 2}


def test_16_and_8_bit_shades_are_one(tmp_path: Path) -> None:
    deep = save(tmp_path / "deep.png", np.array([0, 32767, 65535], np.uint16)[BOTH])
    head = save(tmp_path / "head.png", HEAD * 255)
    assert found(deep, head).classes == {0: 0, 127: 1, 255: 2}


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (
            (BOTH, HEAD * 255),
            "some masks hold the class numbers 0, 1, 2, others the shades 0, 255; their correspondence",
        ),
        ((np.where(BOTH == 2, 255, BOTH),), "class numbers and shades in one, 0, 1, 255; save the masks as class"),
        ((BOTH + 1,), "hold the values 1, 2, 3, but no background"),
        ((HEAD * 200, HEAD * 204), "hold the shades 200 and 204, too close to be different classes"),
        (
            tuple(HEAD * shade for shade in range(31, 255, 14)),
            "the masks hold 16 shades; classes are 1 to 15",
        ),
        (
            (1 - HEAD, 1 - HEAD, HEAD),
            "masks: 2 of 3 masks mark all four corners, so black and white seem to be swapped",
        ),
    ],
)
def test_what_could_mean_several_things_is_refused(tmp_path: Path, masks: tuple[np.ndarray, ...], said: str) -> None:
    files = [save(tmp_path / f"{number}.png", mask.astype(np.uint8)) for number, mask in enumerate(masks)]
    with pytest.raises(SourceError, match=said):
        found(*files)


def test_a_palette_by_its_places_beside_shades_is_refused(tmp_path: Path) -> None:
    coloured = save(tmp_path / "a.png", palette(BOTH, BLACK, RED, WHITE))
    with pytest.raises(SourceError, match=r"b\.png: class numbers and shades in one"):
        found(coloured, save(tmp_path / "b.png", HEAD * 255))


def test_what_the_user_says_counts(tmp_path: Path) -> None:
    void = save(tmp_path / "a.png", np.where(BOTH == 2, 255, BOTH))
    given = parse_values(" 1=3, 255=0")
    assert given == {0: 0, 1: 3, 255: 0}
    assert parse_values("") is None
    values = find_mask_values({"masks": [void]}, given)
    np.testing.assert_array_equal(values.read(void), (BOTH == 1) * 3)
    with pytest.raises(SourceError, match="--values: the masks also hold 1; give every class"):
        find_mask_values({"masks": [void]}, {0: 0, 255: 1})
    with pytest.raises(SourceError, match=r"holds the values 1, which have no class"):
        MaskValues({0: 0, 255: 1}, "").read(void)


@pytest.mark.parametrize("text", ["127", "127=1,127=2", "300=1", "127=255", "a=b", "127=1;255=2"])
def test_a_mapping_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="give each value, 0 to 255, once with its class, such as 127=1,255=2"):
        parse_values(text)


GREEN = (0, 200, 0)


@pytest.mark.parametrize(
    ("ending", "second"),
    [
        ("png", palette(np.array([0, 2, 1], np.uint8)[BOTH], BLACK, GREEN, RED)),
        ("gif", palette(np.array([0, 2, 1], np.uint8)[BOTH], BLACK, GREEN, RED)),
        ("png", palette(HEAD, BLACK, GREEN)),
        ("png", palette(HEAD * 2, BLACK, GRAY, RED)),
    ],
    ids=["reversed", "reversed GIF", "one index in two colours", "one colour at two indexes"],
)
def test_palettes_that_contradict_each_other_are_refused(tmp_path: Path, ending: str, second: Pil.Image) -> None:
    one = save(tmp_path / f"a.{ending}", palette(BOTH, BLACK, RED, GREEN))
    other = save(tmp_path / f"b.{ending}", second)
    said = rf"a\.{ending} and .*b\.{ending}: their palettes contradict each other \(1 is #c80000, 2 is #00c800, and"
    for folders in ({"masks": [one, other]}, {"reference": [one], "prediction": [other]}):
        with pytest.raises(SourceError, match=said):
            find_mask_values(folders)
    with pytest.raises(SourceError, match=said):
        mask_values.source_mask_values(tmp_path, [one, other])
    values = find_mask_values({"masks": [one, other]}, {0: 0, 1: 1, 2: 2})
    np.testing.assert_array_equal(values.read(one), BOTH)


def test_one_palette_of_which_files_use_a_part_is_one_mapping(tmp_path: Path) -> None:
    """Also with the same colour for two classes, and with other colours at indexes that no pixel has."""
    head = save(tmp_path / "head.png", palette(HEAD * 2, BLACK, GREEN, RED))
    both = save(tmp_path / "both.png", palette(BOTH, BLACK, RED, RED))
    np.testing.assert_array_equal(found(head, both).read(both), BOTH)
    np.testing.assert_array_equal(found(both, head).read(head), HEAD * 2)


@pytest.mark.parametrize(
    ("reference", "prediction", "said"),
    [
        ((127, 255), (85, 170), r"the shades 127, 255, and prediction 85, 170: two scales.* 85=1,127=1,170=2,255=2"),
        ((255, 0), (127, 0), r"reference holds the shades 255, and prediction 127: two scales.* --values 127=1,255=1"),
        ((85, 255), (127, 255), r"reference holds the shades 85, 255, and prediction 127, 255: two scales"),
    ],
)
def test_two_scales_of_shades_are_refused(
    tmp_path: Path, reference: tuple[int, int], prediction: tuple[int, int], said: str
) -> None:
    one = save(tmp_path / "one.png", shades(BOTH, *reference))
    other = save(tmp_path / "other.png", shades(BOTH, *prediction))
    with pytest.raises(SourceError, match=said):
        find_mask_values({"reference": [one], "prediction": [other]})
    with pytest.raises(SourceError, match="two scales"):
        find_mask_values({"reference": [one], "prediction": [other], "second": [one]})


def test_folders_that_lack_some_of_the_shades_are_one_scale(tmp_path: Path) -> None:
    both = save(tmp_path / "both.png", shades(BOTH, 127, 254))
    head, small = save(tmp_path / "head.png", shades(HEAD, 255)), save(tmp_path / "small.png", shades(HEAD, 128))
    values = find_mask_values(
        {"reference": [both], "a": [head], "b": [small], "numbers": [save(tmp_path / "n.png", BOTH)]}
    )
    assert values.classes == {0: 0, 1: 1, 2: 2, 127: 1, 128: 1, 254: 2, 255: 2}


@pytest.mark.parametrize(("black", "white", "said"), [(0, 255, "0=1,255=0"), (0, 1, "0=1,1=0")])
def test_the_advice_for_inverted_masks_mends_them(tmp_path: Path, black: int, white: int, said: str) -> None:
    path = save(tmp_path / "a.png", np.where(HEAD, black, white).astype(np.uint8))
    with pytest.raises(
        SourceError, match=rf"a\.png; black is the background; invert the masks, or .* --values {said}$"
    ):
        found(path)
    np.testing.assert_array_equal(find_mask_values({"masks": [path]}, parse_values(said)).read(path), HEAD)


def test_a_source_names_the_files_and_no_option_that_it_has_not(tmp_path: Path) -> None:
    files = [save(tmp_path / "a.png", BOTH), save(tmp_path / "b.png", HEAD * 255)]
    with pytest.raises(SourceError, match=r"known \(.*a\.png, .*b\.png\); save the masks as class numbers") as error:
        mask_values.source_mask_values(tmp_path, files)
    assert "--values" not in str(error.value)
    near = [save(tmp_path / "a.png", HEAD * 200), save(tmp_path / "b.png", HEAD * 204)]
    with pytest.raises(SourceError, match=r"200 and 204, too close to be different classes \(.*a\.png, .*b\.png\)"):
        mask_values.source_mask_values(tmp_path, near)
    with pytest.raises(SourceError, match=r"no background \(0\): .*a\.png"):
        mask_values.source_mask_values(tmp_path, [save(tmp_path / "a.png", BOTH + 1)])


def test_a_16_bit_value_that_is_no_shade_has_a_way_out(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", HEAD.astype(np.uint16) * 256)
    with pytest.raises(SourceError, match=r"0, 256; .* 0 to 65535; save it as 8-bit PNG with class numbers 0, 1, 2"):
        read_stored(path)
    with pytest.raises(ValueError, match="65535 is 255; save other 16-bit values as 8 bit"):
        parse_values("256=1")


def test_a_source_prints_its_mapping_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "a.png", HEAD * 255)
    for _ in range(2):
        mask_values.source_mask_values(tmp_path, [path])
    assert capsys.readouterr().err.count("255 = class 1 (black and one shade)") == 1
