"""One woman under two names: which numbers are the same, and of whom nobody asks."""

from pathlib import Path

import pytest

from fulora.data.patient_numbers import Name, different_patients, lines, note_different_patients, same_numbers


@pytest.mark.parametrize(
    ("one", "other"),
    [("12", "12"), ("0012", "12"), ("A-7", "a-7"), (" 5 ", "5"), ("000", "0"), ("１２", "12"), ("P012", "p 12")],
)
def test_the_same_number_is_the_same_however_it_is_spelled(one: str, other: str) -> None:
    first, second = Name("own", "here", one), Name("own", "elsewhere", other)
    assert same_numbers([first], [second]) == [(second, first)]
    assert same_numbers([Name("own", "here", one)], [Name("theirs", "here", other)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Name("own", "here", "12"), Name("own", "here", "12")),  # one name: other checks
        (Name("own", "here", "12"), Name("own", "elsewhere", "120")),
        (Name("own", "here", "10"), Name("own", "elsewhere", "1")),
        (Name("own", "here", ""), Name("own", "elsewhere", "")),  # synthetic
        (Name("own", "here", "brain/001"), Name("own", "elsewhere", "brain/001")),  # the name of an image
        (Name("african_planes", "Egypt", "2"), Name("african_planes", "Malawi", "2")),
        (Name("hc18", "nijmegen", "7"), Name("own", "here", "7")),
    ],
)
def test_others_are_not(first: Name, second: Name) -> None:
    assert same_numbers([first], [second]) == []


def test_a_key_comes_apart_and_a_message_names_numbers_and_places() -> None:
    keys = [f"own/{site}/{number}" for site in ("here", "elsewhere") for number in range(12)]
    names = list(map(Name.of_key, keys))
    assert names[0] == Name("own", "here", "0")
    assert Name.of_key("own//brain/001") == Name("own", "", "brain/001")
    said = lines(same_numbers(names, names))
    assert len(said) == 1
    assert said[0].startswith("12 patient numbers occur under two names: 0, 1, 10, 11, 2")
    assert said[0].endswith("and more (source 'own', site 'elsewhere'; source 'own', site 'here')")


def test_a_set_can_say_that_they_are_different_patients(tmp_path: Path) -> None:
    assert not different_patients(tmp_path)
    note_different_patients(tmp_path)
    assert different_patients(tmp_path)
