"""Rankings by hand, against scipy's and statsmodels' tests, and their bootstrap."""

import jaxtyping
import numpy as np
import pytest
from scipy import stats

from fulora.metrics import ranking as r
from fulora.metrics.paired_tests import holm

RNG = np.random.default_rng(7)
SCORES = (
    np.round(8 * (RNG.normal(size=(4, 60)) + np.array([[0.0], [0.1], [0.6], [0.6]]))) / 8
)  # ties that are ties in binary too
BY_HAND = np.array([[0.9, 0.9, 0.9, 0.1], [0.8, 0.8, 0.8, 0.8], [0.7, 0.7, 0.7, 0.95]])


def _wilcoxon(a: np.ndarray, b: np.ndarray) -> float:
    test = stats.wilcoxon(a - b, zero_method="zsplit", alternative="greater", method="asymptotic")
    return float(test.pvalue)


def test_the_mean_and_the_mean_rank_differ_by_hand() -> None:
    """One disaster costs the first method its mean, not its mean rank."""
    means = r.ranking(BY_HAND, "aggregate_then_rank", higher_is_better=True)
    assert means.values == pytest.approx((0.7, 0.8, 0.7625))
    assert means.ranks == (3, 1, 2)
    ranks = r.ranking(BY_HAND, "rank_then_aggregate", higher_is_better=True)
    assert ranks.values == (1.5, 2, 2.5)
    assert ranks.ranks == (1, 2, 3)


@pytest.mark.parametrize("scheme", r.SCHEMES)
def test_less_is_better_is_the_mirror(scheme: r.Scheme) -> None:
    up = r.ranking(SCORES, scheme, higher_is_better=True)
    assert r.ranking(-SCORES, scheme, higher_is_better=False).ranks == up.ranks
    assert up.ranks[2] < up.ranks[0]


def test_p_values_are_scipys_adjusted_as_statsmodels_does() -> None:
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected = holm([_wilcoxon(SCORES[i], SCORES[j]) for i, j in pairs])
    found = r.win_p_values(SCORES, higher_is_better=True)[0]
    assert [found[pair] for pair in pairs] == pytest.approx(expected, abs=1e-12)
    assert (np.diag(found) == 1).all()
    wins = [sum(found[i, j] < 0.05 for j in range(4)) for i in range(4)]
    tested = r.ranking(SCORES, "test_then_rank", higher_is_better=True)
    assert tested.values == tuple(wins)
    assert tested.ranks == tuple(stats.rankdata(-np.array(wins)))
    assert max(wins) > 0


@pytest.mark.slow
def test_a_weight_counts_a_case_as_often() -> None:
    weights = RNG.multinomial(60, np.full(60, 1 / 60), size=3).astype(float)
    found = r.win_p_values(SCORES[:2], weights, higher_is_better=True)
    for draw, counts in enumerate(weights.astype(int)):
        a, b = (np.repeat(row, counts) for row in SCORES[:2])
        pair = holm([_wilcoxon(a, b), _wilcoxon(b, a)])
        assert (found[draw, 0, 1], found[draw, 1, 0]) == pytest.approx(pair, abs=1e-12)


def test_equal_methods_share_every_rank() -> None:
    same = np.vstack([SCORES[0], SCORES[0]])
    for scheme in r.SCHEMES:
        assert r.ranking(same, scheme, higher_is_better=True).ranks == (1.5, 1.5)
        found = r.stability(same, scheme, higher_is_better=True, draws=5)
        assert np.isnan(found.taus).all()
        assert found.first == (1, 1)


def test_kendalls_tau_is_scipys() -> None:
    ranks = np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 1.5, 1.5], [2.0, 2.0, 2.0, 4.0], [2.5, 2.5, 2.5, 2.5]])
    reference = np.array([1.0, 2.5, 2.5, 4.0])
    expected = [float(stats.kendalltau(row, reference).statistic) for row in ranks]
    assert r.kendall_tau(ranks, reference) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("scheme", r.SCHEMES)
def test_a_clear_order_is_stable_and_a_draw_is_not(scheme: r.Scheme) -> None:
    clear = RNG.normal(size=(3, 80)) * 0.1 + np.array([[2.0], [1.0], [0.0]])
    firm = r.stability(clear, scheme, higher_is_better=True, draws=200)
    assert (firm.taus == 1).all()
    assert (firm.first, firm.low, firm.high) == ((1, 0, 0), (1, 2, 3), (1, 2, 3))
    loose = r.stability(RNG.normal(size=(3, 80)), scheme, higher_is_better=True, draws=200)
    assert np.nan_to_num(loose.taus).mean() < 0.9
    again = r.stability(clear, scheme, higher_is_better=True, draws=200)
    assert (again.ranks == firm.ranks).all()


def test_whole_patients_are_drawn() -> None:
    """Ten patients with ten equal images each are ten cases, not a hundred: the ranking is looser."""
    patients = np.array([[0.5, -0.4, 0.3, -0.2, 0.1, 0.2, -0.1, 0.3, -0.3, 0.2], [0.0] * 10])
    images, names = np.repeat(patients, 10, axis=1), np.repeat(np.arange(10), 10)
    alone = r.stability(patients, "aggregate_then_rank", higher_is_better=True, draws=500, seed=3)
    grouped = r.stability(images, "aggregate_then_rank", higher_is_better=True, clusters=names, draws=500, seed=3)
    assert (grouped.ranks == alone.ranks).all()
    naive = r.stability(images, "aggregate_then_rank", higher_is_better=True, draws=500, seed=3)
    assert max(naive.first) > max(grouped.first)


def test_ranks_of_several_metrics_are_averaged() -> None:
    one, two = (r.Ranking("aggregate_then_rank", ranks, ranks) for ranks in ((1.0, 2.0, 3.0), (3.0, 1.0, 2.0)))
    found = r.mean_rank([one, two])
    assert (found.values, found.ranks) == ((2.0, 1.5, 2.5), (2.0, 1.0, 3.0))
    with pytest.raises(r.RankingError, match="a mean rank needs one ranking or more, all of the same methods"):
        r.mean_rank([one, r.Ranking("aggregate_then_rank", (1.0, 2.0), (1.0, 2.0))])


def test_what_cannot_be_ranked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    with pytest.raises(r.RankingError, match=r"shape \(1, 60\); a ranking needs two methods and two cases"):
        r.ranking(SCORES[:1], "aggregate_then_rank", higher_is_better=True)
    with pytest.raises(r.RankingError, match="1 scores are not finite; give a case that failed its worst value"):
        r.ranking(np.array([[1.0, np.nan], [0.0, 1.0]]), "aggregate_then_rank", higher_is_better=True)
    with pytest.raises(r.RankingError, match="60 clusters' names for 60 cases, 1 clusters and 9 draws"):
        r.stability(SCORES, "aggregate_then_rank", higher_is_better=True, clusters=np.zeros(60), draws=9)
    with pytest.raises(ValueError, match="scheme is 'best'; allowed are aggregate_then_rank, "):
        r.ranking(SCORES, "best", higher_is_better=True)  # type: ignore[arg-type]
