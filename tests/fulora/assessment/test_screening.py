"""Filters on phantoms: few real people are rejected, and what each filter is for is."""

import numpy as np
import pytest
from people import FETAL, PEOPLE, of, pictures

from fulora.assessment.assessed_sets import AssessedSets, EncodedSets, find_nearest
from fulora.assessment.encoders import load_encoder
from fulora.assessment.label_truth import ClassScores, known_planes
from fulora.assessment.loaded_pictures import Pictures
from fulora.assessment.screening import CalibratedFilter, causes, screen

SOME = 40


@pytest.fixture(scope="module")
def real() -> tuple[Pictures, Pictures]:
    """40 people who trained, and 40 who did not."""
    return pictures(0, SOME), pictures(1000, SOME)


def screened(
    synthetic: Pictures, real: tuple[Pictures, Pictures], opinions: tuple[ClassScores, ...] = (), rate: float = 0.1
) -> tuple[dict[str, CalibratedFilter], list[tuple[str, ...]]]:
    sets = AssessedSets(synthetic, held_out=real[1], train=real[0], labels=FETAL)
    pixels = load_encoder("pixels")
    encoded = EncodedSets("pixels", *(pixels.views(part.pixels) for part in (synthetic, *real[::-1])))
    near = find_nearest(sets, encoded)
    assert near is not None
    filters, rejected = screen(sets, [encoded], [near], opinions, rate)
    return {one.name: one for one in filters}, list(causes(filters, rejected))


def changed(pixels: list[np.ndarray], first: int = 0) -> Pictures:
    numbers = range(first, first + len(pixels))
    names = np.array([f"s{n}" for n in numbers])
    return of(pixels, names, np.array(["brain"] * len(pixels)), names)


@pytest.mark.slow
def test_further_real_people_pass_about_as_often_as_stated(real: tuple[Pictures, Pictures]) -> None:
    """10 % a filter at most; 200 people, so 3 standard deviations are 6.4 %."""
    filters, _ = screened(pictures(5000, 200), real)
    for one in filters.values():
        assert one.calibrated_on == 2 * SOME
        assert sum(one.rejected.values()) / 200 <= 0.1 + 0.064, one


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        lambda p: p[:, ::-1],
        lambda p: np.clip(p.astype(int) + 8, 0, 255).astype(np.uint8),
        lambda p: np.asarray(np.round((p.astype(float) + np.roll(p, 1, 0) + np.roll(p, 1, 1)) / 3), np.uint8),
    ],
    ids=["exact", "mirrored", "brighter", "blurred"],
)
def test_copies_are_rejected_as_memorised(real: tuple[Pictures, Pictures], change) -> None:  # type: ignore[no-untyped-def]
    copies = changed([np.ascontiguousarray(change(picture)) for picture in real[0].pixels[:PEOPLE]])
    _, fails = screened(copies, real)
    assert np.mean(["memorised" in found for found in fails]) >= 0.9
    others = changed([np.ascontiguousarray(change(picture)) for picture in real[1].pixels[:PEOPLE]])
    assert not any("memorised" in found for found in screened(others, real)[1])


def test_dark_bright_and_flat_pictures_are_rejected(real: tuple[Pictures, Pictures]) -> None:
    fine = pictures(5000, 12).pixels
    wrong = [fine[0] // 6, np.clip(fine[1].astype(int) * 3, 0, 255).astype(np.uint8), np.full((64, 64), 60, np.uint8)]
    _, fails = screened(changed([*wrong, *fine]), real)
    assert all("brightness" in found for found in fails[:3])


def test_of_near_duplicates_the_first_is_kept(real: tuple[Pictures, Pictures]) -> None:
    few = list(pictures(5000, 8).pixels)
    again = [np.clip(picture.astype(int) + 2, 0, 255).astype(np.uint8) for picture in few]
    filters, fails = screened(changed([*few, *again]), real)
    assert [("near_duplicate" in found) for found in fails] == [False] * 8 + [True] * 8
    assert filters["near_duplicate"].rejected == {"brain": 8}


def test_planes_by_opinion(real: tuple[Pictures, Pictures]) -> None:
    """Real images have margins of 0.1 to 0.9; of synthetic ones half look like a femur."""
    count, places = 20, known_planes(real[1].planes, FETAL.names)
    scores = np.zeros((SOME, 5))
    scores[np.arange(SOME), places] = np.linspace(0.1, 0.9, SOME)
    made = np.zeros((count, 5))
    made[: count // 2, 2], made[count // 2 :, 1] = 1.0, 1.0
    filters, fails = screened(pictures(5000, count), real, (ClassScores("judge", made, scores, places),))
    assert ["plane" in found for found in fails] == [True] * 10 + [False] * 10
    assert filters["plane"].thresholds == (pytest.approx(np.linspace(0.1, 0.9, SOME)[3]),)
    assert filters["plane"].scores == ("margin of brain by judge",)


def test_without_enough_real_images_nothing_is_rejected_and_a_note_says_so(real: tuple[Pictures, Pictures]) -> None:
    copies = changed(list(real[0].pixels[:PEOPLE]))
    filters, fails = screened(copies, real, rate=0.005)
    assert filters["memorised"].thresholds == (None,)
    assert not any(fails)


def test_a_plane_with_enough_real_images_has_its_own_threshold(real: tuple[Pictures, Pictures]) -> None:
    """30 brains with high margins, 10 femurs of all margins: the brains' threshold is theirs, the femurs' all's."""
    places = np.array([1] * 30 + [2] * 10)
    scores = np.zeros((SOME, 5))
    scores[np.arange(SOME), places] = [*np.linspace(0.8, 1.0, 30), *np.linspace(0.1, 1.0, 10)]
    made = np.zeros((12, 5))
    made[:, 1] = 0.5
    filters, fails = screened(pictures(5000, 12), real, (ClassScores("judge", made, scores, places),))
    assert all("plane" in found for found in fails)
    assert filters["plane"].calibrated_on == SOME
    _, fails = screened(
        pictures(5000, 12, "femur"), real, (ClassScores("judge", made[:, [0, 2, 1, 3, 4]], scores, places),)
    )
    assert not any("plane" in found for found in fails)
