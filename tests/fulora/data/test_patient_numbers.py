"""One woman under two names: which numbers are the same, and of whom nobody asks."""

from pathlib import Path

import pytest

from fulora.data.patient_numbers import (
    PatientName,
    describe_pairs,
    different_patients,
    note_different_patients,
    same_numbers,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [("12", "12"), ("0012", "12"), ("A-7", "a-7"), (" 5 ", "5"), ("000", "0"), ("１２", "12"), ("P012", "p 12")],
)
def test_the_same_number_is_the_same_however_it_is_spelled(one: str, other: str) -> None:
    first, second = PatientName("own", "here", one), PatientName("own", "elsewhere", other)
    assert same_numbers([first], [second]) == [(second, first)]
    assert same_numbers([PatientName("own", "here", one)], [PatientName("theirs", "here", other)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (PatientName("own", "here", "12"), PatientName("own", "here", "12")),  # one name: other checks
        (PatientName("own", "here", "12"), PatientName("own", "elsewhere", "120")),
        (PatientName("own", "here", "10"), PatientName("own", "elsewhere", "1")),
        (PatientName("own", "here", ""), PatientName("own", "elsewhere", "")),  # synthetic
        (PatientName("own", "here", "brain/001"), PatientName("own", "elsewhere", "brain/001")),  # the name of an image
        (PatientName("african_planes", "Egypt", "2"), PatientName("african_planes", "Malawi", "2")),
        (PatientName("hc18", "nijmegen", "7"), PatientName("own", "here", "7")),
    ],
)
def test_others_are_not(first: PatientName, second: PatientName) -> None:
    assert same_numbers([first], [second]) == []


def test_a_patient_key_is_parsed_and_a_message_names_numbers_and_sites() -> None:
    keys = [f"own/{site}/{number}" for site in ("here", "elsewhere") for number in range(12)]
    names = list(map(PatientName.of_key, keys))
    assert names[0] == PatientName("own", "here", "0")
    assert PatientName.of_key("own//brain/001") == PatientName("own", "", "brain/001")
    said = describe_pairs(same_numbers(names, names))
    assert len(said) == 1
    assert said[0].startswith("12 patient numbers occur under two names: 0, 1, 10, 11, 2")
    assert said[0].endswith("and more (source 'own', site 'elsewhere'; source 'own', site 'here')")


def test_a_set_can_say_that_they_are_different_patients(tmp_path: Path) -> None:
    assert not different_patients(tmp_path)
    note_different_patients(tmp_path)
    assert different_patients(tmp_path)
