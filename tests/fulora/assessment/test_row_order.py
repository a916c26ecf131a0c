"""Neighbours are known by their pixels, not by their place: the order of the real rows changes nothing said of them."""

from dataclasses import asdict

import numpy as np
import pytest
from people import PEOPLE, pictures, sets_of

from fulora.assessment.assess import AssessmentFindings, assess
from fulora.assessment.assessed_sets import AssessedSets
from fulora.assessment.config import AssessConfig
from fulora.assessment.loaded_pictures import Pictures
from fulora.data.assessed_images import AssessedImage
from fulora.data.image_set import pixel_digest
from fulora.report.figure_canvas import FigureError
from fulora.report.suspicious_pairs import plot_pairs

NEIGHBOURS = ("memorisation", "pairs", "ratios", "distances", "shares")
CONFIG = AssessConfig(encoders=("pixels", "hash"), draws=200, pairs=5, false_reject=0.2)


def shuffled(some: Pictures, seed: int) -> Pictures:
    return some.of(np.random.default_rng(seed).permutation(len(some)))


@pytest.fixture(scope="module")
def sets() -> AssessedSets:
    """Half of the synthetic pictures are nearly those that trained, the others show other people."""
    train = pictures(0, PEOPLE)
    few, others = train.of(np.arange(12)), pictures(5000, 12)
    made = Pictures(
        [*(np.clip(picture.astype(int) + 5, 0, 255).astype(np.uint8) for picture in few.pixels), *others.pixels],
        *(np.concatenate([getattr(few, name), getattr(others, name)]) for name in ("ids", "planes")),
        patients=np.array([f"made {number}" for number in range(24)]),
        patients_known=True,
        sites=np.array([""] * 24),
        machines=np.array([""] * 24),
        tints=np.zeros((24, 2)),
    )
    return sets_of(made)


@pytest.fixture(scope="module")
def usual(sets: AssessedSets) -> tuple[AssessmentFindings, list[AssessedImage]]:
    return assess(sets, CONFIG, prompts={})


def reordered(sets: AssessedSets) -> AssessedSets:
    assert sets.train is not None
    return AssessedSets(sets.synthetic, held_out=shuffled(sets.held_out, 1), train=shuffled(sets.train, 2))


@pytest.mark.slow
def test_figures_of_neighbours_do_not_depend_on_the_order_of_the_real_rows(
    sets: AssessedSets, usual: tuple[AssessmentFindings, list[AssessedImage]]
) -> None:
    found, rows = assess(reordered(sets), CONFIG, prompts={})
    for ours, theirs in zip(found.encoders, usual[0].encoders, strict=True):
        assert len(ours.pairs) == 5
        for name in NEIGHBOURS:
            assert asdict(ours)[name] == asdict(theirs)[name], name
    assert found.filters == usual[0].filters
    assert rows == usual[1]
    assert any(row.fails for row in rows)


@pytest.mark.slow
def test_pairs_are_digests_of_a_synthetic_picture_and_of_the_real_one_it_is_nearest_to(
    sets: AssessedSets, usual: tuple[AssessmentFindings, list[AssessedImage]]
) -> None:
    assert sets.train is not None
    real = {pixel_digest(picture): name for picture, name in zip(sets.train.pixels, sets.train.ids, strict=True)}
    made = {
        pixel_digest(picture): name for picture, name in zip(sets.synthetic.pixels, sets.synthetic.ids, strict=True)
    }
    for one in usual[0].encoders:
        assert all(real[nearest] == made[synthetic] for synthetic, nearest in one.pairs)


@pytest.mark.slow
def test_pairs_are_drawn_alike_whatever_the_order_and_never_of_other_images(
    sets: AssessedSets, usual: tuple[AssessmentFindings, list[AssessedImage]]
) -> None:
    other = reordered(sets)
    assert sets.train is not None
    assert other.train is not None
    drawn = plot_pairs(sets.synthetic, sets.train, sets.held_out, usual[0].encoders)
    assert plot_pairs(shuffled(sets.synthetic, 3), other.train, other.held_out, usual[0].encoders) == drawn
    with pytest.raises(FigureError, match=r"images of the most suspicious pairs are not among .* give the sets that"):
        plot_pairs(sets.synthetic, sets.held_out, sets.held_out, usual[0].encoders)
