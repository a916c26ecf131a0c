"""Closeness to the study population, on phantoms whose population is known."""

from pathlib import Path

import pytest

from fulora.assessment.closeness import REAL, closeness
from fulora.assessment.config import ClosenessConfig
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSetError, label_set
from fulora.data.results import Scores
from fulora.data.score import Score
from fulora.intake.config import CurateConfig, PhantomsConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.source_config import SourceInputs
from pipelines.stages.score_generation import score_generation

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")


def phantoms(folder: Path, *sources: PhantomsConfig) -> ImageSet:
    folder.mkdir()
    ImageSet.write(
        folder,
        Curation(CurateConfig(sources=sources, image_size_px=64), [SourceInputs()] * len(sources)).pictures(),
        labels=FETAL,
    )
    return ImageSet(folder, "")


def population(site: str, first_patient: int, role: str = "train") -> PhantomsConfig:
    return PhantomsConfig.model_validate(
        {"sites": [site], "per_plane": 10, "images_per_patient": 2, "first_patient": first_patient, "role": role}
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Score]:
    """Patients of A stand for the LoRA's images, patients of base1 for the base's."""
    folder = tmp_path_factory.mktemp("generation")
    real = phantoms(folder / "real", population("A", 0), population("A", 100, "validation"))
    sets = {
        "base": phantoms(folder / "base", population("base1", 0)),
        "LoRA": phantoms(folder / "lora", population("A", 200)),
    }
    (folder / "out").mkdir()
    score_generation.function(folder / "out", ClosenessConfig(), real, sets)
    return Scores(folder / "out", "").rows()


def one(rows: list[Score], arm: str, quantity: str = "MMD²", baseline: str = "") -> Score:
    (found,) = [row for row in rows if (row.arm, row.quantity, row.baseline) == (arm, quantity, baseline)]
    return found


AUC = "AUC of telling from unseen patients"


def test_unseen_patients_of_the_population_are_at_no_distance(rows: list[Score]) -> None:
    for arm in ("real training images", "LoRA"):
        found = one(rows, arm)
        assert found.low is not None
        assert found.low < 0.005
        assert abs(one(rows, arm, AUC).value - 0.5) < 0.25


def test_another_population_is_far_and_the_difference_is_beyond_doubt(rows: list[Score]) -> None:
    base, change = one(rows, "base"), one(rows, "base", baseline="LoRA")
    assert base.low is not None
    assert base.low > 0.01
    assert one(rows, "base", AUC).value > 0.95
    assert change.low is not None
    assert change.low > 0.01
    assert change.value == pytest.approx(base.value - one(rows, "LoRA").value)


def test_rows_have_their_numbers_of_images_and_patients(rows: list[Score]) -> None:
    patients = 5 * 5  # five planes, ten images of each, two a patient
    assert {row.protocol for row in rows} == {"generation"}
    assert one(rows, "base").n_images == 100
    assert one(rows, "base", baseline="LoRA").n_images == 150
    assert one(rows, "base").n_patients <= patients


def test_any_number_of_named_sets_are_compared_with_the_baseline(tmp_path: Path) -> None:
    real = phantoms(tmp_path / "real", population("A", 0), population("A", 100, "validation"))
    sets = {
        "rank 8": phantoms(tmp_path / "a", population("A", 200)),
        "no LoRA": phantoms(tmp_path / "b", population("base1", 0)),
        "strong": phantoms(tmp_path / "c", population("A", 300)),
    }
    rows = closeness(real, sets, ClosenessConfig(baseline="no LoRA"))
    assert [row.arm for row in rows[:8:2]] == [REAL, "rank 8", "no LoRA", "strong"]
    for row, other in zip(rows[8:], ("rank 8", "strong"), strict=True):
        assert (row.arm, row.baseline) == ("no LoRA", other)
        assert row.value == pytest.approx(one(rows, "no LoRA").value - one(rows, other).value)
    assert closeness(real, sets, ClosenessConfig(baseline=None)) == rows[:8]


def test_a_baseline_that_is_none_of_the_sets_and_no_sets_at_all_are_refused(tmp_path: Path) -> None:
    real = phantoms(tmp_path / "real", population("A", 0))
    with pytest.raises(
        ValueError, match=r"baseline: 'base' is not one of the synthetic sets \(LoRA\); give one, or null"
    ):
        closeness(real, {"LoRA": real}, ClosenessConfig())
    with pytest.raises(ValueError, match="there are no synthetic images"):
        closeness(real, {}, ClosenessConfig(baseline=None))


def test_synthetic_images_of_other_classes_are_refused(tmp_path: Path) -> None:
    real = phantoms(tmp_path / "real", population("A", 0))
    (tmp_path / "other").mkdir()
    pictures = [picture for picture in real.pictures() if picture.row.plane == "brain"]
    ImageSet.write(tmp_path / "other", pictures, labels=FETAL.only(["brain"]))
    with pytest.raises(LabelSetError, match="synthetic images base: brain, label set"):
        closeness(real, {"base": ImageSet(tmp_path / "other", "")}, ClosenessConfig())
