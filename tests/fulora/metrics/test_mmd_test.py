"""The permutation test of MMD² holds its level, and sees what differs."""

import numpy as np
import pytest

from fulora.metrics.fidelity import Sample, mmd2_unbiased
from fulora.metrics.mmd_test import _mmd2, mmd_test

D = 8


def patients(rng: np.random.Generator, count: int, images: int, shift: float = 0.0) -> Sample:
    centres = rng.standard_normal((count, D)) + shift
    rows = np.repeat(centres, images, axis=0) + 0.3 * rng.standard_normal((count * images, D))
    return Sample(rows, np.repeat(np.arange(count), images))


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 4])
def test_it_rejects_as_often_as_it_says_where_nothing_differs(images: int) -> None:
    """A nominal 5 %: 400 cohorts of 25 patients with one or four images against 60 single images."""
    rejected = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        real, generated = patients(rng, 25, images), patients(rng, 60, 1)
        rejected += mmd_test(generated, real, draws=199, seed=seed) <= 0.05
    assert 0.03 <= rejected / 400 <= 0.07


def test_a_shift_is_seen() -> None:
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        real, generated = patients(rng, 25, 2), patients(rng, 60, 1, shift=0.5)
        found.append(mmd_test(generated, real, draws=199, seed=seed))
    assert np.mean(np.array(found) <= 0.05) >= 0.9


def test_its_statistic_is_the_unbiased_mmd() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, D)), rng.standard_normal((5, D)) + 1
    pooled = np.concatenate([x, y])
    kernel = (pooled @ pooled.T / D + 1) ** 3
    np.fill_diagonal(kernel, 0)
    sides = (np.arange(12) < 7).astype(float)[None]
    assert _mmd2(kernel, sides)[0] == pytest.approx(mmd2_unbiased(x, y, kernel="polynomial"))


def test_what_cannot_be_exchanged_is_refused() -> None:
    rows = np.zeros((4, D))
    with pytest.raises(ValueError, match="4 rows of 1 groups: the test needs two groups or more"):
        mmd_test(Sample(rows, np.zeros(4)), Sample(rows, np.arange(4)))
