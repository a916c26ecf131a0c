"""Scores of measured masks: failures are counted, arms are compared, figures equal outside ones."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from fulora.data.results import Measurement, Score
from fulora.segmentation.scores import MaskScoreConfig, arm_scores, comparisons, read_arm

CONFIG = MaskScoreConfig(draws=100, permutations=999)


def row(number: int, quantity: str, value: float | None, reference: float | None = None, failure: str = "") -> Measurement:  # fmt: skip  # noqa: E501
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


def scored(*seeds: list[Measurement]) -> dict[str, Score]:
    return {item.name: item for item in arm_scores(read_arm("U-Net", seeds), CONFIG)}


ERRORS = [2.0, -2.0, 4.0, None, 0.0, None, 6.0, 2.0]


def test_failures_are_counted_and_never_dropped() -> None:
    found = scored(heads(ERRORS))
    assert found["Dice"].value == pytest.approx(0.9 * 6 / 8)
    assert found["Dice, median"].value == pytest.approx(0.9)
    assert found["Dice, 5th percentile"].value == 0.0
    assert found["IoU"].value == pytest.approx(0.8 * 6 / 8)
    assert found["HD95"].value == pytest.approx((2 * 6 + 99 * 2) / 8)
    assert found["HD95, 95th percentile"].value == 99.0
    assert found["failures"].value == found["HC failures"].value == 2 / 8
    assert "2 empty predictions over all seeds count as the worst value" in found["Dice"].note
    assert found["HC bias"].value == pytest.approx(12 / 6)
    assert found["HC ADF"].value == pytest.approx(16 / 6)
    assert "6 of 8 measured" in found["HC bias"].note


def test_scores_say_what_they_were_computed_from() -> None:
    found = scored(heads(ERRORS), heads([error and error + 1 for error in ERRORS]))
    assert {found[name].unit for name in ("HC bias", "HC ADF", "HD95")} == {"mm"}
    assert {found[name].unit for name in ("Dice", "IoU", "failures", "HC failures")} == {"1"}
    assert found["Dice"].protocol == "segmentation"
    assert found["HC bias"].protocol == "biometry"
    assert all(
        (item.n_images, item.n_patients, item.n_seeds, item.arm) == (8, 4, 2, "U-Net") for item in found.values()
    )
    for item in found.values():
        if item.low is not None and item.high is not None:
            assert item.low <= item.value <= item.high


def test_when_all_heads_fail_there_is_no_error_but_failures() -> None:
    found = scored(heads([None] * 4))
    assert "HC bias" not in found
    assert found["HC failures"].value == 1.0


def test_seeds_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="its training seeds measure different images"):
        read_arm("a", [heads([1.0, 2.0]), heads([1.0, 2.0, 3.0])])


def test_pixels_and_millimetres_are_never_averaged() -> None:
    rows = heads([1.0, 2.0, 3.0, 4.0])
    place = next(i for i, item in enumerate(rows) if (item.quantity, item.image_id) == ("hd95", "i0"))
    rows[place] = rows[place].model_copy(update={"unit": "px", "value": 40.0})
    found = scored(rows)
    assert (found["HD95"].unit, found["HD95"].value, found["HD95"].n_images) == ("mm", 2.0, 3)
    assert (found["HD95 (px)"].unit, found["HD95 (px)"].value, found["HD95 (px)"].n_images) == ("px", 40.0, 1)


def noisy(shift: float, seed: int, count: int = 40) -> list[Measurement]:
    random = np.random.default_rng(seed)
    return [row(number, "dice", float(0.8 + shift + 0.02 * random.standard_normal())) for number in range(count)]


def test_arms_are_compared_on_patients_and_seeds() -> None:
    arms = {
        "better": read_arm("better", [noisy(0.05, seed) for seed in (1, 2, 3)]),
        "same": read_arm("same", [noisy(0.0, seed) for seed in (4, 5, 6)]),
        "base": read_arm("base", [noisy(0.0, seed) for seed in (7, 8, 9)]),
    }
    config = CONFIG.model_copy(update={"declared": ("better", "base"), "pairs": (("same", "base"), ("gone", "base"))})
    found = {item.arm: item for item in comparisons(arms, config)}
    assert set(found) == {"better - base", "same - base"}
    better, same = found["better - base"], found["same - base"]
    assert (better.role, same.role) == ("declared", "exploratory")
    assert better.value == pytest.approx(0.05, abs=0.01)
    gains = [
        np.mean([a.value - b.value for a, b in zip(noisy(0.05, s), noisy(0.0, t), strict=True)])  # type: ignore[operator]
        for s, t in ((1, 7), (2, 8), (3, 9))
    ]
    assert better.p == pytest.approx(max(stats.ttest_1samp(gains, 0).pvalue, 0.001))
    assert better.p_holm is None
    assert same.p_holm == same.p
    assert (same.low or 0) < 0 < (same.high or 0)


def test_arms_that_cannot_be_paired_are_refused() -> None:
    arms = {"a": read_arm("a", [noisy(0, 1)]), "b": read_arm("b", [noisy(0, 1), noisy(0, 2)])}
    with pytest.raises(ValueError, match="a and b cannot be paired"):
        comparisons(arms, CONFIG.model_copy(update={"pairs": (("a", "b"),)}))
