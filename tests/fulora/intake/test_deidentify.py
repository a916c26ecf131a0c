"""Drawn text goes, tissue stays: on phantoms, on fans of known geometry, and on the heads of HC18."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fulora.intake.deidentify.burned_in_text import (
    DeidentifyError,
    describe_removal,
    describe_search,
    remove_overlays,
)
from fulora.intake.deidentify.sector import locate_sector
from fulora.intake.phantoms.scan import PLANES, draw
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.hc18 import Hc18Config
from fulora.intake.sources.lora_planes import LoraPlanesConfig

HEIGHT, WIDTH = 400, 600
APEX, NEAR, FAR, HALF = (300, -60), 90, 430, 0.62
"""A convex probe: apex (x, y) above the picture, radii of its face and of the deepest echo, half angle in radians."""


def polar() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.hypot(x - APEX[0], y - APEX[1]), np.arctan2(x - APEX[0], y - APEX[1])


def fan() -> np.ndarray:
    radius, angle = polar()
    return (radius >= NEAR) & (radius <= FAR) & (np.abs(angle) <= HALF)


def speckle(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Smooth speckle, 20 to 220."""
    rough = np.random.default_rng(seed).normal(size=shape)
    smooth = cv2.GaussianBlur(rough, (0, 0), 2.5)
    return np.clip(120 + 40 * smooth / smooth.std(), 20, 220).astype(np.uint8)


def fan_picture() -> np.ndarray:
    """The fan full of speckle, with a black cyst and a black shadow that reaches the lowest edge."""
    radius, angle = polar()
    pixels = np.where(fan(), speckle((HEIGHT, WIDTH)), 0).astype(np.uint8)
    pixels[(angle > 0.1) & (angle < 0.2) & (radius > 200)] = 0
    cv2.circle(pixels, (230, 220), 45, 0, cv2.FILLED)
    return pixels


def screen(picture: np.ndarray, margin: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A picture in a black frame with a name, a date, settings, a ruler and a gray bar; and where those are."""
    frame = cv2.copyMakeBorder(picture, margin, margin, margin + 90, margin, cv2.BORDER_CONSTANT, value=0)
    over = np.zeros_like(frame)
    cv2.putText(over, "DOE^JANE 4711", (100, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 230, 1, cv2.LINE_AA)
    cv2.putText(over, "12.03.2019", (100, frame.shape[0] - 12), cv2.FONT_HERSHEY_DUPLEX, 0.5, 170, 1, cv2.LINE_AA)
    cv2.putText(over, "Gn -14", (24, 70), cv2.FONT_HERSHEY_PLAIN, 1.0, 110, 1)
    over[100:200, 30:38] = np.linspace(255, 0, 100).astype(np.uint8)[:, None]
    over[margin : frame.shape[0] - 40 : 12, -6:] = 200
    return np.maximum(frame, over), over > 8


@pytest.mark.slow
@pytest.mark.parametrize("site", ["A", "B", "C", "D", "base1"])
@pytest.mark.parametrize("size_px", [128, 256])
def test_text_around_a_phantom_goes_and_the_phantom_stays(site: str, size_px: int) -> None:
    for plane in PLANES[:4]:
        picture = draw(plane, [0], site=site, size_px=size_px, seed=3).images[0]
        pixels, text = screen(picture)
        result = remove_overlays(pixels)
        assert result.confident
        assert (result.pixels[text] == 0).mean() >= 0.98
        inner = result.pixels[40:-40, 130:-40]
        assert inner.shape == picture.shape
        assert (inner != picture).sum() <= 0.005 * (picture > 0).sum()
        assert result.outside[text].mean() >= 0.98
        assert not result.inside.any()


def test_the_sector_is_the_fan_that_was_drawn() -> None:
    found, true = locate_sector(fan_picture()).area, fan()
    assert found[true].all()
    away = cv2.distanceTransform((~true).astype(np.uint8), cv2.DIST_L2, 5)
    assert away[found].max() <= 5


def test_cysts_and_shadows_belong_to_the_sector_and_the_transducer_does_not() -> None:
    found = locate_sector(fan_picture()).area
    assert found[220, 230]
    assert found[320, 360]
    assert not found[15, 300]


@pytest.mark.parametrize("level", [0, 3, 40])
def test_a_screen_need_not_be_black(level: int) -> None:
    pixels = fan_picture()
    pixels[~fan()] = level
    result = remove_overlays(pixels)
    assert (result.sector & fan()).sum() / (result.sector | fan()).sum() > 0.97
    assert not result.pixels[~result.sector].any()
    assert not result.outside.any()


def test_a_linear_scan_is_a_rectangle() -> None:
    pixels = np.zeros((300, 400), np.uint8)
    pixels[50:260, 80:330] = speckle((210, 250))
    cv2.putText(pixels, "Gn -14", (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 200, 1)
    result = remove_overlays(pixels)
    assert np.array_equal(result.pixels[50:260, 80:330], pixels[50:260, 80:330])
    assert not result.pixels[:45].any()


def test_text_close_to_the_sector_is_distinguished_from_it() -> None:
    pixels = fan_picture()
    text = np.zeros_like(pixels)
    cv2.putText(text, "DOE^JANE", (470, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 220, 1, cv2.LINE_AA)
    gap = cv2.distanceTransform((~fan()).astype(np.uint8), cv2.DIST_L2, 5)[text > 0].min()
    assert 1 < gap < 60
    assert not remove_overlays(np.maximum(pixels, text)).pixels[(text > 8) & ~fan()].any()


def test_what_has_no_text_is_the_same_inside() -> None:
    pixels = fan_picture()
    noise = np.random.default_rng(1).integers(0, 3, pixels.shape).astype(np.uint8)
    pixels[~fan()] = noise[~fan()]
    result = remove_overlays(pixels)
    assert np.array_equal(result.pixels[result.sector], pixels[result.sector])
    assert not result.outside.any()


def test_a_scan_that_fills_the_picture_stays_whole() -> None:
    picture = draw("brain", [1], site="base1", size_px=512, seed=0).images[0][150:380, 130:390]
    result = remove_overlays(picture)
    assert result.sector.all()
    assert np.array_equal(result.pixels, picture)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((100, 120), np.uint8), np.full((31, 400), 90, np.uint8), speckle((20, 20)), np.zeros((1, 1), np.uint8)],
    ids=["black", "narrow", "tiny", "one pixel"],
)
@pytest.mark.parametrize("where", ["outside", "everywhere"])
def test_an_image_without_a_clear_sector_is_unchanged_and_not_confident(pixels: np.ndarray, where: str) -> None:
    result = remove_overlays(pixels, where)  # type: ignore[arg-type]
    assert not result.confident
    assert result.sector.all()
    assert np.array_equal(result.pixels, pixels)


def test_a_page_of_text_has_no_sector() -> None:
    page = np.zeros((400, 600), np.uint8)
    for row in range(30, 400, 40):
        cv2.putText(page, "PATIENT REPORT 2019", (20, row), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 220, 1)
    result = remove_overlays(page)
    assert not result.confident
    assert np.array_equal(result.pixels, page)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((64, 64)), np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint16), np.zeros((0, 5), np.uint8)],
    ids=["float", "colour", "16 bit", "empty"],
)
def test_other_arrays_are_refused(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # else the run's shape checks speak first
    with pytest.raises(DeidentifyError, match=r"an image is uint8 \(h, w\)"):
        remove_overlays(pixels)


def test_an_unknown_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # else the run's shape checks speak first
    with pytest.raises(DeidentifyError, match="where is 'inside': allowed are outside, everywhere"):
        remove_overlays(fan_picture(), "inside")  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["outside", "everywhere"])
def test_the_same_picture_gives_the_same_bytes_and_is_not_changed(where: str) -> None:
    pixels, _ = screen(draw("thorax", [0], site="C", size_px=256, seed=1).images[0])
    before = pixels.copy()
    first, second = remove_overlays(pixels, where), remove_overlays(pixels, where)  # type: ignore[arg-type]
    assert first.pixels.tobytes() == second.pixels.tobytes()
    assert first.inside.tobytes() == second.inside.tobytes()
    assert np.array_equal(pixels, before)


# --- inside


def measured(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two crosses, the dots between them, and a label."""
    over = np.zeros_like(pixels)
    for x, y in ((180, 200), (380, 280)):
        cv2.line(over, (x - 5, y), (x + 5, y), 250, 1)
        cv2.line(over, (x, y - 5), (x, y + 5), 250, 1)
    for x, y in np.rint(np.linspace((180, 200), (380, 280), 20)[1:-1]).astype(int):
        over[y : y + 2, x : x + 2] = 250
    cv2.putText(over, "BPD", (250, 320), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 250, 1, cv2.LINE_AA)
    return np.where(over > 0, over, pixels).astype(np.uint8), over > 8


def test_calipers_and_labels_on_tissue_are_painted_over() -> None:
    tissue = np.where(fan(), speckle((HEIGHT, WIDTH)) // 2, 0).astype(np.uint8)
    pixels, drawn = measured(tissue)
    result = remove_overlays(pixels, "everywhere")
    assert result.inside[drawn].mean() >= 0.9
    far = ~cv2.dilate(drawn.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert (result.inside & far).sum() <= 0.001 * fan().sum()
    error = np.abs(result.pixels.astype(float) - tissue)
    assert error[drawn].mean() < 0.35 * np.abs(pixels.astype(float) - tissue)[drawn].mean()
    untouched = result.sector & ~result.inside
    assert np.array_equal(result.pixels[untouched], pixels[untouched])


def test_calipers_stay_unless_asked_for() -> None:
    pixels, drawn = measured(np.where(fan(), speckle((HEIGHT, WIDTH)) // 2, 0).astype(np.uint8))
    result = remove_overlays(pixels)
    assert np.array_equal(result.pixels[drawn], pixels[drawn])
    assert not result.inside.any()


@pytest.mark.parametrize("site", ["A", "B", "D", "base2"])
def test_speckle_is_no_caliper(site: str) -> None:
    shares = []
    for picture in draw("abdomen", range(3), site=site, size_px=256, seed=5).images:
        result = remove_overlays(picture, "everywhere")
        shares.append(result.inside.sum() / result.sector.sum())
    assert np.mean(shares) <= 0.005


# --- audit


def test_the_audit_row_says_what_was_taken() -> None:
    pixels = fan_picture()
    cv2.rectangle(pixels, (20, 300), (59, 319), 200, cv2.FILLED)
    row = describe_removal(remove_overlays(pixels), "p1", "Malawi")
    assert (row.image_id, row.site, row.confident, row.inside_px) == ("p1", "Malawi", True, 0)
    assert (20, 300, 40, 20) in row.boxes
    assert 800 <= row.outside_px <= 1200
    assert row.share == pytest.approx(row.outside_px / pixels.size)


def test_nothing_taken_is_an_empty_row() -> None:
    row = describe_removal(remove_overlays(np.zeros((64, 64), np.uint8)), "p1", "Malawi")
    assert (row.outside_px, row.inside_px, row.share, row.boxes, row.confident) == (0, 0, 0.0, (), False)


# --- words


def box_of_words(pixels: np.ndarray) -> np.ndarray:
    """Stands for a text detector: one box, half on the fan and half beside it."""
    found = np.zeros(pixels.shape, bool)
    found[150:170, 60:240] = True
    return found


def test_words_go_wherever_they_stand() -> None:
    pixels = fan_picture()
    cv2.rectangle(pixels, (60, 150), (239, 169), 255, cv2.FILLED)
    kept = remove_overlays(pixels)
    result = remove_overlays(pixels, "outside", box_of_words)
    found = box_of_words(pixels)
    assert (kept.pixels[found] == 255).mean() > 0.3
    assert (result.pixels[found] < 255).all()
    assert np.array_equal(result.inside, found & result.sector)
    assert np.array_equal(result.pixels[result.sector & ~found], pixels[result.sector & ~found])


def test_words_go_where_no_sector_is_found() -> None:
    page = np.zeros((400, 600), np.uint8)
    cv2.putText(page, "PATIENT REPORT 2019", (60, 166), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1)
    result = remove_overlays(page, "outside", box_of_words)
    assert not result.confident
    assert not result.pixels.any()


def test_the_record_names_what_was_searched_for() -> None:
    assert describe_search(None, None) == "nowhere: no text was searched"
    assert describe_search("outside", None) == "around the sector; no text detector was used"
    assert describe_search("everywhere", box_of_words).startswith(
        "around the sector, and strokes and dots drawn on tissue; wo"
    )


# --- real images


@pytest.mark.real_data
def test_no_head_is_cut_and_text_in_the_margin_goes(data_root: Path) -> None:
    heads = [item for item in Hc18Config().read(SourceInputs(data_root / "hc18")) if int(item.patient) % 2][::8]
    assert len(heads) >= 10
    for item in heads:
        picture, mask = item.load()
        assert mask is not None
        pixels, text = screen(picture)
        result = remove_overlays(pixels)
        head = np.pad(mask > 0, ((40, 40), (130, 40)))
        assert result.sector[head].mean() >= 0.995, item.name
        assert (result.pixels[text] == 0).mean() >= 0.98, item.name


@pytest.mark.real_data
def test_settings_beside_spanish_fans_go_and_the_middle_stays(data_root: Path) -> None:
    items = [
        item for item in LoraPlanesConfig().read(SourceInputs(data_root / "fetal_planes_lora")) if int(item.patient) % 2
    ][::4]
    assert len(items) >= 8
    for item in items:
        picture, _ = item.load()
        height, width = picture.shape
        middle = (slice(int(0.3 * height), int(0.6 * height)), slice(int(0.35 * width), int(0.65 * width)))
        assert np.array_equal(remove_overlays(picture).pixels[middle], picture[middle]), item.name
