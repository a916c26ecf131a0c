"""Neighbours, manifolds and diversity against scikit-learn and plain formulas."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from fulora.metrics import neighbours
from fulora.metrics.manifold import manifold, vendi_score
from fulora.metrics.neighbours import nearest


def rows(count: int, seed: int, d: int = 24, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, d)) + shift


@pytest.mark.parametrize("block", [2**24, 700])
def test_they_are_scikit_learns(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", block)
    x, y = rows(150, 1), rows(230, 2)
    theirs = NearestNeighbors(n_neighbors=7).fit(y).kneighbors(x)
    ours = nearest(x, y, 7)
    assert np.allclose(ours[0], theirs[0], rtol=1e-9)
    assert np.array_equal(ours[1], theirs[1])


def test_a_copy_is_at_distance_0_however_far_from_the_origin() -> None:
    y = rows(50, 3, shift=1000.0)
    distances, places = nearest(y[[7, 31]].copy(), y)
    assert np.array_equal(places[:, 0], [7, 31])
    assert np.array_equal(distances[:, 0], [0.0, 0.0])


def test_rows_of_the_same_group_are_no_neighbours() -> None:
    x = rows(40, 4)
    groups = np.arange(40) // 4
    distances, places = nearest(x, x, 2, apart=[(groups, groups)])
    full = cdist(x, x)
    full[groups[:, None] == groups] = np.inf
    assert np.array_equal(places, np.argsort(full, axis=1)[:, :2])
    assert np.allclose(distances, np.sort(full, axis=1)[:, :2])
    with pytest.raises(ValueError, match="fewer than 37 rows of other groups"):
        nearest(x, x, 37, apart=[(groups, groups)])


def test_what_has_no_neighbours_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 4: it must be 1 to 3"):
        nearest(rows(3, 1), rows(3, 2), 4)


def by_hand(real: np.ndarray, made: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Naeem et al. 2020, equations 2 to 5, with whole matrices."""
    radius_r, radius_m = np.sort(cdist(real, real), axis=1)[:, k], np.sort(cdist(made, made), axis=1)[:, k]
    between = cdist(real, made)
    return (
        float((between < radius_r[:, None]).any(axis=0).mean()),
        float((between < radius_m[None]).any(axis=1).mean()),
        float((between < radius_r[:, None]).sum(axis=0).mean() / k),
        float((between.min(axis=1) < radius_r).mean()),
    )


@pytest.mark.parametrize("shift", [0.0, 0.3, 5.0])
def test_the_four_figures_are_those_of_the_paper(monkeypatch: pytest.MonkeyPatch, shift: float) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 5000)
    real, made = rows(180, 5), rows(160, 6, shift=shift)
    found = manifold(real, made, 5)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(by_hand(real, made, 5))
    if shift == 5.0:
        assert found.precision == found.coverage == 0
    with pytest.raises(ValueError, match="k is 5: both sets need more rows"):
        manifold(real[:5], made, 5)


def test_a_set_is_as_diverse_as_it_has_different_directions() -> None:
    assert vendi_score(np.eye(6)) == pytest.approx(6)
    assert vendi_score(np.repeat(np.eye(6)[:2], 30, axis=0)) == pytest.approx(2)
    assert vendi_score(np.ones((50, 3))) == pytest.approx(1)
    wide, tall = rows(20, 7, d=60), rows(60, 7, d=20)
    for x in (wide, tall):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        values = np.linalg.eigvalsh(unit @ unit.T / len(x)).clip(1e-300)
        assert vendi_score(x) == pytest.approx(np.exp(-(values * np.log(values)).sum()))
    with pytest.raises(ValueError, match="the diversity of no rows"):
        vendi_score(np.zeros((0, 2)))
    assert vendi_score(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [2.0, 0.0]])) == pytest.approx(2)
