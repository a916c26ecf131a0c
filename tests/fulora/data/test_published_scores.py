"""The 20 published rows of FU-LoRA's table: complete, and which of their figures can be true."""

import pytest

from fulora.data.published_scores import FU_LORA_SUPPORT, PublishedRow, fu_lora_table
from fulora.metrics.legacy_auc import possible_auc
from fulora.metrics.statistics import wilson

IMAGES = sum(FU_LORA_SUPPORT.values())
HALF_DIGIT = 0.005001  # published in percent with two decimals


def named(row: PublishedRow) -> str:
    return f"{row.training_set}{'+DA' if row.augmented else ''} {row.model}"


ROWS = {named(row): row for row in fu_lora_table()}


def test_there_are_20_rows_of_four_training_sets_and_five_models() -> None:
    assert len(fu_lora_table()) == len(ROWS) == 20
    assert len({(row.training_set, row.augmented) for row in ROWS.values()}) == 4
    assert len({row.model for row in ROWS.values()}) == 5
    sizes = {(row.training_set, row.real_images, row.synthetic_images, row.patients) for row in ROWS.values()}
    assert sizes == {("ES", 6148, 0, 612), ("HB", 1150, 5000, 486)}
    assert IMAGES == 233


@pytest.mark.parametrize("name", ROWS)
def test_accuracy_is_a_count_of_233_images(name: str) -> None:
    accuracy = ROWS[name].accuracy
    correct = round(accuracy * IMAGES / 100)
    assert 100 * correct / IMAGES == pytest.approx(accuracy, abs=HALF_DIGIT)


@pytest.mark.parametrize("name", ROWS)
def test_recall_is_possible_with_that_accuracy(name: str) -> None:
    row = ROWS[name]
    low, high = possible_auc(round(row.accuracy * IMAGES / 100), row.recall / 100, counts(), legacy=False)
    assert 0 < low <= high < 1


@pytest.mark.parametrize("name", ROWS)
def test_f_is_possible_with_precision_and_recall(name: str) -> None:
    """F of each plane, a harmonic mean, is at most the mean of its precision and recall; so are the macro averages."""
    row = ROWS[name]
    assert row.f_score <= (row.precision + row.recall) / 2 + 2 * HALF_DIGIT


def counts() -> list[int]:
    return list(FU_LORA_SUPPORT.values())


def possible(row: PublishedRow, *, legacy: bool) -> bool:
    low, high = possible_auc(round(row.accuracy * IMAGES / 100), row.recall / 100, counts(), legacy=legacy)
    return 100 * low - HALF_DIGIT <= row.auc <= 100 * high + HALF_DIGIT


def test_four_published_aucs_are_impossible_by_any_formula() -> None:
    impossible = {
        name for name, row in ROWS.items() if not possible(row, legacy=True) and not possible(row, legacy=False)
    }
    assert impossible == {"HB densenet169", "HB mobilenet_v2", "HB efficientnet_b0", "HB vit_b_16"}


def test_one_more_is_possible_by_the_wrong_formula_only() -> None:
    wrong_only = {name for name, row in ROWS.items() if possible(row, legacy=True) and not possible(row, legacy=False)}
    assert "ES resnet18" in wrong_only


def test_the_headline_compares_two_architectures() -> None:
    best = max(ROWS.values(), key=lambda row: row.accuracy)
    assert named(best) == "HB+DA resnet18"
    assert best.accuracy - ROWS["ES+DA densenet169"].accuracy == pytest.approx(13.73)
    assert best.accuracy - max(row.accuracy for row in ROWS.values() if row.training_set == "ES") == pytest.approx(7.72)
    interval = wilson(round(best.accuracy * IMAGES / 100), IMAGES)
    assert (interval.low, interval.high) == pytest.approx((0.770, 0.868), abs=5e-4)
