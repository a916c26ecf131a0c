"""Splits: no patient in two of them, the shares that were asked for, and few moves when patients are added."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fulora.data.labels import Split
from fulora.data.splits import split_patients

SHARES: dict[Split, float] = {"train": 0.5, "validation": 0.2, "test": 0.3}


def keys(count: int, site: str = "A") -> list[str]:
    return [f"s/{site}/{number}" for number in range(count)]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5))
def test_every_patient_of_every_site_has_one_split_and_shares_are_kept(a: int, b: int, seed: int) -> None:
    given = keys(a) + keys(b, "B") + keys(a)  # repeats: several images of a patient
    found = split_patients(given, SHARES, seed)
    assert set(found) == set(given)
    for site, count in (("A", a), ("B", b)):
        sizes = Counter(split for key, split in found.items() if f"/{site}/" in key)
        for split in ("validation", "test"):
            if count >= 3:
                assert sizes[split] == max(1, round(SHARES[split] * count))
        assert sizes["train"] >= (count > 0)


def test_one_split_takes_all() -> None:
    assert set(split_patients(keys(5), {"test": 1.0}, 0).values()) == {"test"}


def test_a_small_site_trains_before_it_is_held_out() -> None:
    assert split_patients(keys(1), SHARES, 0) == {"s/A/0": "train"}
    assert sorted(split_patients(keys(2), SHARES, 0).values()) == ["train", "validation"]
    assert sorted(split_patients(keys(3), SHARES, 0).values()) == ["test", "train", "validation"]


def test_neither_the_order_nor_another_site_changes_a_split() -> None:
    found = split_patients(keys(20), SHARES, 3)
    assert split_patients(keys(20)[::-1], SHARES, 3) == found
    both = split_patients([*keys(9, "B"), *keys(20)], SHARES, 3)
    assert {key: both[key] for key in found} == found


def test_the_seed_decides_who() -> None:
    assert split_patients(keys(40), SHARES, 0) != split_patients(keys(40), SHARES, 1)


def test_added_patients_move_few_others() -> None:
    before, after = split_patients(keys(100), SHARES, 0), split_patients(keys(105), SHARES, 0)
    moved = [key for key in before if before[key] != after[key]]
    assert len(moved) <= 2 * 5
    untouched = split_patients(keys(100), {"train": 0.8, "validation": 0.2}, 0)
    grown = split_patients(keys(101), {"train": 0.8, "validation": 0.2}, 0)
    assert sum(untouched[key] != grown[key] for key in untouched) <= 1


def test_shares_that_are_not_the_whole() -> None:
    with pytest.raises(ValueError, match=r"add up to 0\.9, not to 1: .*'train': 0\.5"):
        split_patients(keys(4), {"train": 0.5, "test": 0.4}, 0)
