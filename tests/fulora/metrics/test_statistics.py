"""Intervals and tests for clustered images: against known variances, enumeration and scipy."""

import itertools
import re
import time
from functools import partial

import jaxtyping
import numpy as np
import pytest
from scipy import stats

from fulora.metrics import statistics as s
from fulora.metrics.weighted_scores import mean


@pytest.fixture
def design() -> tuple[np.ndarray, np.ndarray]:
    """The African test design: 125 patients of 5 countries, 4 planes each or 3; 450 images."""
    planes = np.repeat([4, 4, 4, 3, 3], [25, 25, 23, 25, 27])
    countries = np.repeat(["DZA", "EGY", "MWI", "GHA", "UGA"], [25, 25, 23, 25, 27])
    patients = np.char.add(countries, np.arange(125).astype(str))
    return np.repeat(patients, planes), np.repeat(countries, planes)


def test_interval_has_the_width_of_the_clustered_standard_error(design: tuple) -> None:
    patients, _ = design
    _, codes = np.unique(patients, return_inverse=True)
    scores = np.random.default_rng(1).normal(size=125)[codes]  # all images of a patient alike
    interval = s.cluster_bootstrap(lambda i: scores[i].mean(), patients, draws=4000, seed=0)
    sizes = np.bincount(codes)
    residuals = np.bincount(codes, weights=scores) - sizes * scores.mean()
    standard_error = np.sqrt((residuals**2).sum()) / sizes.sum()
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * standard_error, rel=0.06)
    assert interval.value == pytest.approx(scores.mean())
    assert (interval.n, interval.clusters, interval.undefined_draws) == (len(patients), 125, 0)


def test_with_one_image_a_patient_it_agrees_with_scipy() -> None:
    scores = np.random.default_rng(5).normal(size=80)
    ours = s.cluster_bootstrap(lambda i: scores[i].mean(), np.arange(80), draws=5000, seed=0)
    theirs = stats.bootstrap((scores,), np.mean, n_resamples=5000, method="percentile", rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_draws_keep_clusters_whole_and_strata_sizes(design: tuple) -> None:
    patients, countries = design
    seen = []

    def record(images: np.ndarray) -> float:
        seen.append(images)
        return 0.0

    s.cluster_bootstrap(record, patients, strata=countries, draws=100, seed=0)
    for images in seen:
        names, counts = np.unique(patients[images], return_counts=True)
        sizes = np.array([np.sum(patients == name) for name in names])
        assert (counts % sizes == 0).all()
        per_country = {c: (counts / sizes)[np.char.startswith(names, c)].sum() for c in np.unique(countries)}
        assert per_country == {"DZA": 25, "EGY": 25, "MWI": 23, "GHA": 25, "UGA": 27}


def test_strata_take_the_difference_between_sites_out_of_the_interval(design: tuple) -> None:
    patients, countries = design
    scores = np.unique(countries, return_inverse=True)[1].astype(float)
    free = s.cluster_bootstrap(lambda i: scores[i].mean(), patients, draws=200, seed=0)
    within = s.cluster_bootstrap(lambda i: scores[i].mean(), patients, strata=countries, draws=200, seed=0)
    assert within.high - within.low < 1e-12 < free.high - free.low


def test_same_seed_same_interval_in_any_image_order(design: tuple) -> None:
    patients, countries = design
    scores = np.random.default_rng(2).normal(size=len(patients))
    shuffle = np.random.default_rng(3).permutation(len(patients))
    one = s.cluster_bootstrap(lambda i: scores[i].mean(), patients, strata=countries, draws=100, seed=7)
    shuffled = scores[shuffle]
    two = s.cluster_bootstrap(
        lambda i: shuffled[i].mean(), patients[shuffle], strata=countries[shuffle], draws=100, seed=7
    )
    assert (one.low, one.high) == pytest.approx((two.low, two.high))
    assert one == s.cluster_bootstrap(lambda i: scores[i].mean(), patients, strata=countries, draws=100, seed=7)
    assert one != s.cluster_bootstrap(lambda i: scores[i].mean(), patients, strata=countries, draws=100, seed=8)


def test_10000_draws_of_450_images_are_quick(design: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured: 0.4 s by images, 0.1 s by weights; the issue allows 2 s."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks are timed too
    patients, countries = design
    scores = np.random.default_rng(0).random(len(patients))
    start = time.process_time()
    one = s.cluster_bootstrap(lambda i: scores[i].mean(), patients, strata=countries, draws=10_000, seed=0)
    by_images = time.process_time() - start
    two = s.weighted_bootstrap([partial(mean, scores)], patients, strata=countries, draws=10_000, seed=0)
    by_weights = time.process_time() - start - by_images
    assert by_images < 2
    assert by_weights < 2
    assert (one.value, one.low, one.high) == pytest.approx((two.value, two.low, two.high), abs=2e-3)


def test_weights_are_whole_patients_with_the_strata_sizes_and_variance(design: tuple) -> None:
    patients, countries = design
    seen = []

    def record(weights: np.ndarray) -> np.ndarray:
        seen.append(weights)
        return weights.sum(axis=1)

    s.weighted_bootstrap([record], patients, strata=countries, draws=400, seed=0)
    weights = np.concatenate(seen[1:])
    assert weights.shape == (400, len(patients))
    names, codes = np.unique(patients, return_inverse=True)
    per_patient = np.stack([weights[:, codes == k].min(axis=1) for k in range(len(names))], axis=1)
    assert (per_patient[:, codes] == weights).all()
    for country, size in {"DZA": 25, "EGY": 25, "MWI": 23, "GHA": 25, "UGA": 27}.items():
        of_country = per_patient[:, np.char.startswith(names, country)]
        assert of_country.sum(axis=1) == pytest.approx(size)
        drawn = of_country * (size - 1) / size
        assert drawn == pytest.approx(drawn.round())
        assert of_country.var() == pytest.approx(1.0, rel=0.06)  # Rao and Wu; a plain bootstrap has 1 - 1 / size


def test_a_site_of_few_patients_has_the_unbiased_variance() -> None:
    scores = np.random.default_rng(2).normal(size=6)
    found = s.weighted_bootstrap([partial(mean, scores)], np.arange(6), draws=20_000, seed=0, level=0.6827)
    assert found.high - found.low == pytest.approx(2 * scores.std(ddof=1) / np.sqrt(6), rel=0.04)


def test_many_images_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, patients = np.random.default_rng(1).random(60), np.arange(60) // 3
    whole = s.weighted_bootstrap([partial(mean, scores)], patients, draws=1000, seed=0)
    monkeypatch.setattr(s, "BLOCK_WEIGHTS", 60 * 7)
    blocks = s.weighted_bootstrap([partial(mean, scores)], patients, draws=1000, seed=0)
    assert (blocks.value, blocks.low, blocks.high) == pytest.approx((whole.value, whole.low, whole.high))


def test_where_every_draw_gives_one_value_the_span_gives_bounds() -> None:
    """12 of 12 images of 4 patients right: Clopper-Pearson at 4 of 4, since the images of a patient may be alike."""
    patients, right = np.repeat(np.arange(4), 3), np.ones(12)
    exact = stats.binomtest(4, 4).proportion_ci(0.95, method="exact")
    for found in (
        s.cluster_bootstrap(lambda i: right[i].mean(), patients, seed=0, span=s.RIGHT_OR_WRONG),
        s.weighted_bootstrap([partial(mean, right)], patients, seed=0, span=s.RIGHT_OR_WRONG),
        s.weighted_bootstrap([partial(mean, right)] * 2, patients, seed=0, span=s.RIGHT_OR_WRONG),
    ):
        assert (found.value, found.low, found.high) == pytest.approx((1.0, exact.low, 1.0))
        assert "Clopper-Pearson's bounds, a patient counted as one image (4)" in found.reason
    none = s.weighted_bootstrap([partial(mean, 1 - right)], patients, seed=0, span=s.RIGHT_OR_WRONG)
    assert (none.low, none.high) == pytest.approx((0.0, 1 - exact.low))
    same = s.weighted_bootstrap([partial(mean, right - right)], patients, seed=0, span=(-1.0, 1.0))
    assert (same.value, same.low, same.high) == pytest.approx((0.0, exact.low - 1, 1 - exact.low))
    bare = s.weighted_bootstrap([partial(mean, right)], patients, seed=0)
    assert (bare.low, bare.high) == (1.0, 1.0)
    assert "no certainty" in bare.reason


def test_patients_of_unequal_size_count_for_less() -> None:
    """Kish: 9 + 1 + 1 + 1 images are worth 144 / 84 independent ones if a patient's are alike."""
    found = s.weighted_bootstrap(
        [partial(mean, np.ones(12))], np.repeat(np.arange(4), [9, 1, 1, 1]), seed=0, span=s.RIGHT_OR_WRONG
    )
    assert found.low == pytest.approx(0.025 ** (84 / 144))


def test_a_score_that_varies_keeps_its_bootstrap_interval(design: tuple) -> None:
    patients, countries = design
    right = (np.random.default_rng(3).random(len(patients)) < 0.8).astype(float)
    plain = s.weighted_bootstrap([partial(mean, right)], patients, strata=countries, seed=0)
    assert plain == s.weighted_bootstrap([partial(mean, right)], patients, strata=countries, seed=0, span=(0.0, 1.0))
    assert plain.reason == ""


def test_rare_undefined_draws_are_counted_and_frequent_ones_leave_no_interval() -> None:
    scores = np.arange(20.0)

    def undefined_without(images: np.ndarray, needed: int) -> float:
        if not (images < needed).any():
            raise s.UndefinedScoreError("nothing there")
        return float(scores[images].mean())

    rare = s.cluster_bootstrap(lambda i: undefined_without(i, 4), np.arange(20), draws=1000, seed=0)
    assert 0 < rare.undefined_draws < 50  # (16/20)^20 = 1.2 %
    assert np.isfinite([rare.low, rare.high]).all()
    often = s.cluster_bootstrap(lambda i: undefined_without(i, 1), np.arange(20), draws=1000, seed=0)
    assert (often.value, often.low, often.high) == (scores.mean(), None, None)
    assert 300 < often.undefined_draws < 420  # (19/20)^20 = 36 %
    assert f"a class is so rare that {often.undefined_draws} of 1000 draws had no value" in often.reason
    with pytest.raises(s.UndefinedScoreError, match="NaN on the data themselves"):
        s.cluster_bootstrap(lambda i: float("nan"), np.arange(20), seed=0)


def test_paired_difference_is_narrower_than_the_unpaired_spread(design: tuple) -> None:
    patients, countries = design
    a = np.random.default_rng(4).normal(size=len(patients))
    b = a + 0.5
    difference = s.weighted_bootstrap([partial(mean, b - a)], patients, strata=countries, draws=200, seed=0)
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.5, 0.5, 0.5))


def test_training_seeds_are_resampled_as_well(design: tuple) -> None:
    patients, countries = design
    rng = np.random.default_rng(5)
    image_effect = rng.normal(size=len(patients)) * 0.1
    alike = np.tile(image_effect, (5, 1))
    differing = alike + np.array([-0.2, -0.1, 0.0, 0.1, 0.2])[:, None]
    narrow, wide = (
        s.weighted_bootstrap([partial(mean, seed) for seed in seeds], patients, strata=countries, seed=0)
        for seeds in (alike, differing)
    )
    assert narrow.value == pytest.approx(image_effect.mean())
    plain = s.cluster_bootstrap(lambda i: image_effect[i].mean(), patients, strata=countries, seed=0)
    assert narrow.high - narrow.low == pytest.approx(plain.high - plain.low, rel=0.15)
    between_seeds = np.std([-0.2, -0.1, 0.0, 0.1, 0.2]) / np.sqrt(5)
    expected = 2 * 1.96 * np.hypot(between_seeds, (plain.high - plain.low) / 3.92)
    assert wide.high - wide.low == pytest.approx(expected, rel=0.15)


def test_sign_flip_agrees_with_full_enumeration() -> None:
    totals = np.array([2, 1, 1, 0, -1, 3, 1, 2])
    clusters = np.repeat(np.arange(8), 4)
    difference = np.concatenate([np.r_[np.sign(t) * np.ones(abs(t)), np.zeros(4 - abs(t))] for t in totals])
    a, b = difference < 0, difference > 0
    flips = np.array(list(itertools.product([-1, 1], repeat=8)))
    exact = np.mean(np.abs(flips @ totals) >= abs(totals.sum()))
    assert s.sign_flip_test(a, b, clusters, draws=20000, seed=0) == pytest.approx(exact, abs=0.008)
    scipy_p = stats.permutation_test(
        (totals,), np.sum, permutation_type="samples", alternative="two-sided", n_resamples=np.inf
    ).pvalue
    assert exact == pytest.approx(scipy_p, abs=1e-9)


def test_the_sign_flip_test_of_identical_models_gives_one() -> None:
    correct, clusters = np.array([True, False, True, True]), np.array([0, 0, 1, 1])
    assert s.sign_flip_test(correct, correct, clusters, seed=0) == 1.0


def test_wilson_reproduces_a_published_interval() -> None:
    """192 of 233 is FU-LoRA's 82.40 %."""
    interval = s.wilson(192, 233)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.8240, 0.770, 0.868), abs=5e-4)


@pytest.mark.parametrize(
    ("patients", "sites", "reason"),
    [(["p1", "p1"], ["A", "A"], "a single patient$"), (["p1", "p2"], ["A", "B"], "a single patient a site$")],
)
def test_what_cannot_be_resampled_has_a_value_and_a_reason(patients: list[str], sites: list[str], reason: str) -> None:
    scores, clusters, strata = np.array([0.0, 1.0]), np.array(patients), np.array(sites)
    found = [
        s.cluster_bootstrap(lambda i: scores[i].mean(), clusters, strata=strata, seed=0),
        s.weighted_bootstrap([partial(mean, scores)] * 2, clusters, strata=strata, seed=0),
    ]
    for interval in found:
        assert (interval.value, interval.low, interval.high) == (0.5, None, None)
        assert (interval.n, interval.clusters) == (2, len(set(patients)))
        assert re.search(reason, interval.reason)


def test_bad_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    names, scores = np.array(["p1", "p1", "p2"]), np.array([0.0, 1.0, 1.0])
    with pytest.raises(s.UndefinedScoreError, match="no image"):
        s.cluster_bootstrap(lambda i: 0.0, np.array([], dtype=str), seed=0)
    with pytest.raises(ValueError, match=r"cluster p1 lies in more than one stratum \(1 such\)"):
        s.cluster_bootstrap(lambda i: 0.0, names, strata=np.array(["A", "B", "A"]), seed=0)
    with pytest.raises(ValueError, match="strata has 2 images but clusters has 3"):
        s.cluster_bootstrap(lambda i: 0.0, names, strata=np.array(["A", "A"]), seed=0)
    with pytest.raises(ValueError, match="draws is 10"):
        s.cluster_bootstrap(lambda i: 0.0, names, draws=10, seed=0)
    with pytest.raises(ValueError, match="level is 95"):
        s.wilson(1, 2, level=95)
    with pytest.raises(ValueError, match="3 successes of 2"):
        s.wilson(3, 2)
    with pytest.raises(ValueError, match="correct_b has 2 images"):
        s.sign_flip_test(scores, scores[:2], names, seed=0)
    with pytest.raises(ValueError, match="a clustered test needs 2 clusters"):
        s.sign_flip_test(np.ones(2), np.ones(2), np.zeros(2), seed=0)
    with pytest.raises(ValueError, match="weighted_bootstrap got no statistic"):
        s.weighted_bootstrap([], names, seed=0)
    with pytest.raises(s.UndefinedScoreError, match="NaN on the data themselves"):
        s.weighted_bootstrap([lambda w: np.full(len(w), np.nan)], names, seed=0)
