"""Scores of measured masks: failures are counted, arms are compared, figures equal outside ones."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from fulora.data.results import Measurement
from fulora.data.score import Score
from fulora.segmentation.scores import MaskScoreConfig, arm_scores, comparisons, read_arm

CONFIG = MaskScoreConfig(draws=100, permutations=999)


def row(
    number: int, quantity: str, value: float | None, reference: float | None = None, failure: str = ""
) -> Measurement:
    unit = "mm" if quantity in ("hc", "hd95") else "1"
    about = {"structure": "head", "image_id": f"i{number}", "patient_key": f"s/A/{number // 2}", "site": "A"}
    values = {"quantity": quantity, "unit": unit, "value": value, "reference": reference, "failure": failure}
    return Measurement.model_validate(about | values)


def heads(errors_mm: Sequence[float | None], dice: float = 0.9) -> list[Measurement]:
    """One image an error; None is a head that could not be measured."""
    rows = []
    for number, error in enumerate(errors_mm):
        failure = "empty_mask" if error is None else ""
        rows += [
            row(number, "dice", 0.0 if error is None else dice, failure=failure),
            row(number, "iou", 0.0 if error is None else 0.8, failure=failure),
            row(number, "hd95", 99.0 if error is None else 2.0, failure=failure),
            row(number, "hc", None if error is None else 170.0 + error, 170.0, failure),
        ]
    return rows


def scored(*seeds: list[Measurement], config: MaskScoreConfig = CONFIG) -> dict[tuple[str, str, str], Score]:
    """By quantity, statistic and unit."""
    found = arm_scores(read_arm("U-Net", seeds, config), config)
    return {(item.quantity, item.statistic, item.unit): item for item in found}


DICE, HD95 = ("Dice", "mean", "1"), ("HD95", "mean", "mm")
BIAS, ADF = ("circumference difference", "mean", "mm"), ("circumference absolute difference", "mean", "mm")
LOST, EMPTY = ("circumference failures", "mean", "1"), ("failures", "mean", "1")


ERRORS = [2.0, -2.0, 4.0, None, 0.0, None, 6.0, 2.0]


def test_failures_are_counted_and_never_dropped() -> None:
    found = scored(heads(ERRORS))
    assert found[DICE].value == pytest.approx(0.9 * 6 / 8)
    assert found["Dice", "median", "1"].value == pytest.approx(0.9)
    assert found["Dice", "percentile 5", "1"].value == 0.0
    assert found["IoU", "mean", "1"].value == pytest.approx(0.8 * 6 / 8)
    assert found[HD95].value == pytest.approx((2 * 6 + 99 * 2) / 8)
    assert found["HD95", "percentile 95", "mm"].value == 99.0
    assert found[EMPTY].value == found[LOST].value == 2 / 8
    assert (found[DICE].n_failed, found[ADF].n_failed) == (2, 2)
    assert found[BIAS].value == pytest.approx(12 / 6)
    assert found[ADF].value == pytest.approx(16 / 6)


def test_scores_say_what_they_were_computed_from() -> None:
    found = scored(heads(ERRORS), heads([error and error + 1 for error in ERRORS]))
    assert {BIAS, ADF, HD95, DICE, EMPTY, LOST} <= set(found)
    assert {item.structure for item in found.values()} == {"head"}
    assert found[DICE].protocol == "segmentation"
    assert found[BIAS].protocol == "biometry"
    assert [found[key].better for key in (DICE, HD95, ADF, BIAS)] == ["higher", "lower", "lower", ""]
    assert all(
        (item.n_images, item.n_patients, item.n_seeds, item.arm) == (8, 4, 2, "U-Net") for item in found.values()
    )
    for item in found.values():
        if item.low is not None and item.high is not None:
            assert item.low <= item.value <= item.high


def test_when_all_heads_fail_there_is_no_error_but_failures() -> None:
    found = scored(heads([None] * 4))
    assert BIAS not in found
    assert found[LOST].value == 1.0


def test_seeds_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="its training seeds measure different images"):
        read_arm("a", [heads([1.0, 2.0]), heads([1.0, 2.0, 3.0])], CONFIG)


def test_pixels_and_millimetres_are_never_averaged() -> None:
    rows = heads([1.0, 2.0, 3.0, 4.0])
    place = next(i for i, item in enumerate(rows) if (item.quantity, item.image_id) == ("hd95", "i0"))
    rows[place] = rows[place].model_copy(update={"unit": "px", "value": 40.0})
    found = scored(rows)
    in_px = found["HD95", "mean", "px"]
    assert (found[HD95].value, found[HD95].n_images) == (2.0, 3)
    assert (in_px.value, in_px.n_images) == (40.0, 1)


def noisy(shift: float, seed: int, count: int = 40) -> list[Measurement]:
    random = np.random.default_rng(seed)
    return [row(number, "dice", float(0.8 + shift + 0.02 * random.standard_normal())) for number in range(count)]


def test_arms_are_compared_on_patients_and_seeds() -> None:
    arms = {
        "better": read_arm("better", [noisy(0.05, seed) for seed in (1, 2, 3)], CONFIG),
        "same": read_arm("same", [noisy(0.0, seed) for seed in (4, 5, 6)], CONFIG),
        "base": read_arm("base", [noisy(0.0, seed) for seed in (7, 8, 9)], CONFIG),
    }
    config = CONFIG.changed(comparisons={"declared": ("better", "base")})
    found = {(item.arm, item.baseline): item for item in comparisons(arms, config)}
    assert set(found) == {("better", "base"), ("same", "base")}
    better, same = found["better", "base"], found["same", "base"]
    assert (better.role, same.role) == ("declared", "exploratory")
    assert better.value == pytest.approx(0.05, abs=0.01)
    gains = [
        np.mean([a.value - b.value for a, b in zip(noisy(0.05, s), noisy(0.0, t), strict=True)])  # type: ignore[operator]
        for s, t in ((1, 7), (2, 8), (3, 9))
    ]
    assert better.p == pytest.approx(max(stats.ttest_1samp(gains, 0).pvalue, 0.001))
    assert (better.p_holm, better.test, better.n_failed) == (None, "sign flip", 0)
    assert better.p == max(better.p_patients or 0, better.p_seeds or 0)
    assert (same.p_holm, same.n_holm) == (same.p, 1)
    assert (same.low or 0) < 0 < (same.high or 0)


def test_arms_that_cannot_be_paired_are_refused() -> None:
    arms = {"a": read_arm("a", [noisy(0, 1)], CONFIG), "b": read_arm("b", [noisy(0, 1), noisy(0, 2)], CONFIG)}
    with pytest.raises(ValueError, match="a and b cannot be paired"):
        comparisons(arms, CONFIG.changed(comparisons={"further": (("a", "b"),)}))


@pytest.mark.parametrize("name", ["a - b", "x, y", "real minus", "Dice, all", "head", " minus ", "🙂"])
def test_arms_may_have_any_name(name: str) -> None:
    def both(arm: str, baseline: str) -> list[Score]:
        arms = {n: read_arm(n, [noisy(0.0, seed)], CONFIG) for n, seed in ((arm, 1), (baseline, 2))}
        scores = [row for one in arms.values() for row in arm_scores(one, CONFIG)]
        return [*scores, *comparisons(arms, CONFIG.changed(comparisons={"declared": (arm, baseline)}))]

    names = {"a": name, "b": "b - c, d", "": ""}
    plain = [row.changed(arm=names[row.arm], baseline=names[row.baseline]) for row in both("a", "b")]
    assert both(name, "b - c, d") == plain


def test_a_study_names_its_metrics() -> None:
    """The relative difference is off by default; named, it is computed, compared and shown."""
    config = CONFIG.changed(metrics=("circumference relative difference", "HD95"), comparisons={"declared": ("a", "b")})
    found = scored(heads(ERRORS), config=config)
    relative = found["circumference relative difference", "mean", "1"]
    assert relative.value == pytest.approx(16 / 6 / 170)
    assert (relative.rank, found[HD95].rank, found[DICE].rank) == (1, 2, 0)
    arms = {
        name: read_arm(name, [heads([error and error + n for error in ERRORS])], config) for n, name in enumerate("ab")
    }
    assert [(row.quantity, row.unit, row.role) for row in comparisons(arms, config)] == [
        ("circumference relative difference", "1", "declared"),
        ("HD95", "mm", "declared"),
    ]
    assert ("circumference relative difference", "mean", "1") not in scored(heads(ERRORS))


def test_unknown_metrics_and_arms_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no 'Dise'; there are Dice, failures, .*circumference relative difference"):
        MaskScoreConfig(metrics=("Dise",))
    with pytest.raises(ValueError, match="Dice, Dice: duplicate name"):
        MaskScoreConfig(metrics=("Dice", "Dice"))
    with pytest.raises(ValueError, match="no arm 'gone'; there are a"):
        comparisons({"a": read_arm("a", [noisy(0, 1)], CONFIG)}, CONFIG.changed(comparisons={"baseline": "gone"}))


def test_images_without_a_score_are_noted() -> None:
    rows = [row(n, "psfhs_s", None if n == 3 else 0.5 + n / 100, failure="x" if n == 3 else "") for n in range(8)]
    (found,) = scored(rows).values()
    assert (found.quantity, found.n_failed) == ("challenge S", 0)
    assert found.note == "1 images without a value are left out, over all seeds"
