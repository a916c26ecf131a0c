"""What a patient pattern finds in the path of an image: a patient, in one spelling, and never a folder."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.patient_numbers import SameNumberError
from fulora.intake.check.check_folder import check_folder, curate_config
from fulora.intake.config import ClassFoldersConfig, CurateConfig, KohyaConfig
from fulora.intake.curate.patient_checks import read_and_check_patients
from fulora.intake.patient_pattern import patient_finder
from fulora.intake.raw_image import FolderError, SourceError
from fulora.intake.source_config import SourceInputs

WHOLE = r"takes '.*brain.*' of '.*' for the patient, which (contains|is) the name of a folder"


def pictures(folder: Path, names: list[str]) -> Path:
    random = np.random.default_rng(len(names))
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(random.integers(0, 256, (24, 24), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.mark.parametrize("pattern", ["^(.+)_", "(.*)_", r"(brain/W\d+)", "^(.+?)/", r"(\w+)"])
@pytest.mark.parametrize("kohya", [False, True])
def test_a_folder_is_no_patient_even_where_unusable_rows_are_left_out(
    tmp_path: Path, pattern: str, kohya: bool
) -> None:
    plane = "20_brain" if kohya else "brain"
    pictures(tmp_path, [f"{plane}/W2_1.png"])
    if kohya and pattern in ("^(.+?)/", r"(\w+)"):
        pattern = "^20_(.+?)/"
    elif kohya:
        pattern = pattern.replace("brain", "20_brain")
    told: list[str] = []
    source = (
        KohyaConfig(folder="", words={"brain": "brain"}, patient_pattern=pattern)
        if kohya
        else ClassFoldersConfig(folder="", patient_pattern=pattern)
    )
    with pytest.raises(FolderError, match=WHOLE):
        list(source.read(SourceInputs(tmp_path), told.append))
    assert told == []


def test_the_advised_pattern_finds_the_patient() -> None:
    with pytest.raises(FolderError, match=r"such as \(\[\^/\]\+\)_ for liver/W2_1"):
        patient_finder("^(.+)_", False)("brain/W2_1")
    assert patient_finder("([^/]+)_", False)("brain/W2_1") == "W2"


def test_a_check_counts_patients_and_names_some(tmp_path: Path) -> None:
    """Ten women with a brain and a femur each."""
    names = [f"{plane}/W{number}_1.png" for plane in ("brain", "femur") for number in range(10)]
    found = check_folder(pictures(tmp_path / "own", names), {"patient_pattern": "([^/]+)_"})
    assert (found.n_patients, found.patients) == (10, ("W0", "W1", "W2", "W3", "W4"))
    assert found.to_json()["patients"] == ["W0", "W1", "W2", "W3", "W4"]


def test_composed_and_decomposed_letters_are_one_patient_and_other_case_is_noted(tmp_path: Path) -> None:
    names = [unicodedata.normalize("NFC", "brain/Müller_1.png"), unicodedata.normalize("NFD", "brain/Müller_2.png")]
    own = pictures(tmp_path / "own", names)
    found = check_folder(own, {"patient_pattern": "([^/]+)_"})
    assert (found.n_patients, found.patients) == (1, ("Müller",))
    assert patient_finder(unicodedata.normalize("NFD", "(Mü[^_]+)_"), False)(names[0]) == "Müller"
    pictures(own, ["femur/MÜLLER_3.png"])
    (told,) = [one for one in check_folder(own, {"patient_pattern": "([^/]+)_"}).findings if "two names" in one.kind]
    assert "MÜLLER = Müller" in told.examples[0]
    source = {"kind": "class_folders", "folder": "own", "patient_pattern": "([^/]+)_", "role": "train+test"}
    with pytest.raises(SameNumberError, match="MÜLLER = Müller"):
        read_and_check_patients(CurateConfig.model_validate({"sources": [source]}), [SourceInputs(own)])


@pytest.mark.parametrize("values", [{}, {"patient_pattern": r"Patient(\d+)"}, {"patient_pattern": "^([^/]+)/"}])
def test_patient_folders_with_class_folders_name_the_setting_for_them(tmp_path: Path, values: dict[str, str]) -> None:
    pictures(tmp_path, [f"Patient00{number}/brain/a.png" for number in range(3)])
    for look in (check_folder, curate_config):
        with pytest.raises(SourceError, match=r"move the classes to the top, liver/Patient000/a\.png"):
            look(tmp_path, values)


def test_several_sets_and_files_outside_them_are_named(tmp_path: Path) -> None:
    pictures(tmp_path, ["one/brain/P1.png", "two/femur/P2.png", "stray.png"])
    with pytest.raises(SourceError, match="holds 2 data sets: one, two; curate each alone"):
        curate_config(tmp_path, {})
    curate_config(tmp_path / "one", {})
    found = check_folder(tmp_path, {"patient_pattern": r"(P\d+)"})
    assert [one.examples for one in found.findings if one.kind == "files beside the sets"] == [("stray.png",)]
