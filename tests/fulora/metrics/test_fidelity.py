"""Set distances against scikit-learn's kernels and known populations."""

import jaxtyping
import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel, rbf_kernel

from fulora.metrics import fidelity as f


def _normal(seed: int, rows: int, shift: float = 0.0, columns: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, columns)) + shift


def _mmd2_by_hand(xx: np.ndarray, yy: np.ndarray, xy: np.ndarray) -> float:
    off_x, off_y = ~np.eye(len(xx), dtype=bool), ~np.eye(len(yy), dtype=bool)
    return float(xx[off_x].mean() + yy[off_y].mean() - 2 * xy.mean())


def test_mmd_equals_scikit_learn_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f, "BLOCK_ROWS", 7)
    x, y = _normal(0, 40), _normal(1, 30, 0.3)
    expected = _mmd2_by_hand(*(rbf_kernel(*pair, gamma=1 / (2 * 1.7**2)) for pair in ((x, x), (y, y), (x, y))))
    assert f.mmd2_unbiased(x, y, bandwidth=1.7) == pytest.approx(expected)
    expected = _mmd2_by_hand(*(polynomial_kernel(*pair, degree=3) for pair in ((x, x), (y, y), (x, y))))
    assert f.mmd2_unbiased(x, y, kernel="polynomial") == pytest.approx(expected)


def test_median_distance_is_the_default_bandwidth() -> None:
    x, y = _normal(0, 40), _normal(1, 30, 0.3)
    pooled = np.concatenate([x, y])
    distances = np.linalg.norm(pooled[:, None] - pooled[None], axis=2)[np.triu_indices(70, 1)]
    assert f.median_distance(x, y) == pytest.approx(np.median(distances))
    assert f.mmd2_unbiased(x, y) == f.mmd2_unbiased(x, y, bandwidth=f.median_distance(x, y))


def test_mmd_is_unbiased_for_small_and_unequal_sets() -> None:
    values = [f.mmd2_unbiased(_normal(2 * k, 12), _normal(2 * k + 1, 25), bandwidth=3.0) for k in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(300)
    assert min(values) < 0


def test_kid_over_whole_sets_is_the_polynomial_mmd() -> None:
    x, y = _normal(0, 40), _normal(1, 40, 0.5)
    mean, sd = f.kid(x, y, subsets=3, subset_size=40, seed=0)
    assert mean == pytest.approx(f.mmd2_unbiased(x, y, kernel="polynomial"))
    assert sd == pytest.approx(0, abs=1e-12)
    assert f.kid(x, y, subsets=5, subset_size=20, seed=1) == f.kid(x, y, subsets=5, subset_size=20, seed=1)


def test_domain_auc_knows_alike_from_different() -> None:
    patients = np.repeat(np.arange(40), 3)
    alike = [
        f.domain_auc(f.Sample(_normal(2 * k, 120), patients), f.Sample(_normal(2 * k + 1, 120), patients + 100), seed=0)
        for k in range(12)
    ]
    assert np.mean(alike) == pytest.approx(0.5, abs=3 * np.std(alike) / np.sqrt(12))
    apart = f.domain_auc(f.Sample(_normal(0, 120), patients), f.Sample(_normal(1, 120, 3), patients + 100), seed=0)
    assert apart > 0.99


def test_domain_auc_does_not_profit_from_recognising_patients() -> None:
    """Features are noise shared by a patient's images: without groups the AUC would be near 1."""
    names = np.repeat(np.arange(20), 20)
    x = np.repeat(_normal(0, 20, columns=40), 20, axis=0)
    y = np.repeat(_normal(1, 20, columns=40), 20, axis=0)
    assert f.domain_auc(f.Sample(x, names), f.Sample(y, names + 100), seed=0) < 0.75
    singles = np.arange(400)
    assert f.domain_auc(f.Sample(x, singles), f.Sample(y, singles + 1000), seed=0) > 0.95


def _jackknife_by_hand(sets: list[np.ndarray], groups: list[np.ndarray], width: float) -> tuple[float, float]:
    """Value and half-width at 95 % of the first set's MMD² minus the second's, to the last set."""

    def value(kept: list[np.ndarray]) -> float:
        distances = [f.mmd2_unbiased(one, kept[-1], bandwidth=width) for one in kept[:-1]]
        return distances[0] - sum(distances[1:])

    variance = 0.0
    for number, names in enumerate(groups):
        left = []
        for name in np.unique(names):
            kept = list(sets)
            kept[number] = sets[number][names != name]
            left.append(value(kept))
        variance += (len(left) - 1) / len(left) * float(((np.array(left) - np.mean(left)) ** 2).sum())
    return value(sets), 1.959964 * variance**0.5


def test_the_jackknife_leaves_each_group_out_of_its_own_set() -> None:
    sets = [_normal(0, 30, 0.4), _normal(1, 24, 0.1), _normal(2, 26)]
    groups = [np.arange(30), np.arange(24) // 2, np.repeat(["a", "b", "c", "d"], [2, 8, 10, 6])]
    a, b, y = map(f.Sample, sets, groups)
    found = f.mmd2_jackknife(a, y, bandwidth=2.0)
    value, half = _jackknife_by_hand([sets[0], sets[2]], [groups[0], groups[2]], 2.0)
    assert (found.value, found.high - found.value) == pytest.approx((value, half), rel=1e-6)
    assert (found.n, found.clusters) == (56, 4)
    change = f.mmd2_jackknife(a, y, b, bandwidth=2.0)
    value, half = _jackknife_by_hand(sets, groups, 2.0)
    assert (change.value, change.value - change.low) == pytest.approx((value, half), rel=1e-6)
    assert (change.n, change.clusters) == (80, 4)
    wider = f.mmd2_jackknife(a, y, bandwidth=2.0, level=0.99)
    assert (wider.high - wider.value) / (found.high - found.value) == pytest.approx(2.575829 / 1.959964, rel=1e-6)


def test_the_jackknife_interval_holds_the_population_value_about_as_often_as_it_says() -> None:
    """Patients share an offset; the population's MMD² is estimated once from many patients."""

    def patients(seed: int, count: int, shift: float) -> np.ndarray:
        rng = np.random.default_rng(seed)
        offsets = np.repeat(rng.normal(size=(count, 3)), 3, axis=0)
        return offsets + 0.5 * rng.normal(size=(3 * count, 3)) + shift

    truth = f.mmd2_unbiased(patients(1, 1500, 0.8)[::3], patients(2, 1500, 0.0)[::3], bandwidth=2.0)
    names, held = np.repeat(np.arange(20), 3), 0
    for seed in range(100):
        x, y = patients(100 + 2 * seed, 20, 0.8), patients(101 + 2 * seed, 20, 0.0)
        found = f.mmd2_jackknife(f.Sample(x, names), f.Sample(y, names), bandwidth=2.0)
        held += found.low <= truth <= found.high
    assert 85 <= held <= 100


def test_pixel_features_have_names_and_meaning() -> None:
    flat = np.full((96, 128), 51, dtype=np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (96, 128)).astype(np.uint8)
    features = f.pixel_features(np.stack([flat, noise]))
    assert features.shape == (2, len(f.PIXEL_FEATURE_NAMES))
    row = dict(zip(f.PIXEL_FEATURE_NAMES, features[0], strict=True))
    assert row["intensity_03_11"] == pytest.approx(0.2)
    assert (row["histogram_06"], row["histogram_07"]) == (1.0, 0.0)
    assert row["spectrum_05"] == pytest.approx(-1.0)
    white = features[1, -f.SPECTRUM_BINS :]
    np.testing.assert_allclose(white, np.log10(1 / 12) / 6, atol=0.05)  # variance of a uniform grey value
    assert np.abs(features).max() <= 1
    assert f.pixel_features(np.zeros((0, 64, 64), dtype=np.uint8)).shape == (0, len(f.PIXEL_FEATURE_NAMES))


def test_a_grating_lights_its_own_ring() -> None:
    column = np.arange(128)
    grating = np.tile((127 + 100 * np.cos(2 * np.pi * column * 20 / 128)).astype(np.uint8), (128, 1))
    spectrum = f.pixel_features(grating[None])[0, -f.SPECTRUM_BINS :]
    assert spectrum.argmax() == 4  # 20/128 cycles per pixel = 5/32: the end of ring (4/32, 5/32]


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 256)])
def test_every_ring_holds_a_frequency(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *size)).astype(np.uint8)
    assert np.isfinite(f.pixel_features(images)).all()


def test_bad_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    x, names = _normal(0, 10), np.arange(10)
    uneven = np.array([[1, 1, 1, 0, 1, 2, 1, 1, 2, 2, 2], [2, 3, 3, 2, 3, 3, 3, 2, 3, 1, 2]])
    with pytest.raises(ValueError, match=r"shapes \(10, 6\) and \(10, 5\)"):
        f.mmd2_unbiased(x, x[:, :5])
    with pytest.raises(ValueError, match=r"shapes \(10, 6\) and \(1, 6\); both need 2 rows"):
        f.median_distance(x, x[:1])
    with pytest.raises(ValueError, match="NaN or infinite"):
        f.mmd2_unbiased(x, x * np.nan)
    with pytest.raises(ValueError, match="the polynomial kernel has none"):
        f.mmd2_unbiased(x, x, kernel="polynomial", bandwidth=1.0)
    with pytest.raises(ValueError, match=r"bandwidth is -1\.0"):
        f.mmd2_unbiased(x, x, bandwidth=-1.0)
    with pytest.raises(ValueError, match="look for duplicated images"):
        f.mmd2_unbiased(x * 0, x * 0)
    with pytest.raises(ValueError, match="2 <= subset_size <= 10"):
        f.kid(x, x, subsets=2, subset_size=1000, seed=0)
    with pytest.raises(ValueError, match="got 3 groups for 10 rows"):
        f.Sample(x, names[:3])
    with pytest.raises(ValueError, match=r"folds is 5; allowed is 2\.\.2"):
        f.domain_auc(f.Sample(x, names // 5), f.Sample(x, names), seed=0)
    with pytest.raises(ValueError, match="images of one set only"):
        f.domain_auc(*map(f.Sample, (_normal(0, 11), _normal(1, 11)), uneven), seed=0, folds=3)
    with pytest.raises(ValueError, match=r"groups of \[1, 9\]: the jackknife needs two rows or more"):
        f.mmd2_jackknife(f.Sample(x, names), f.Sample(x, names == 0), bandwidth=1.0)
    with pytest.raises(ValueError, match="images are 16 x 64 px"):
        f.pixel_features(np.zeros((1, 16, 64), dtype=np.uint8))
