"""The stage mix: arms of equal numbers, nobody trained on who is tested, and a record of what was done."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row

from fulora.data.assessed_images import AssessedImage, Assessment
from fulora.data.column_types import Plane, Split
from fulora.data.hybrid import MixConfig, MixRecord, schedule_of
from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.data.results import write_table
from pipelines.stages.mix import mix

FETAL = label_set("fetal_planes")


def picture(image_id: str, plane: Plane, split: Split, patient: str, **values: str) -> Picture:
    row = image_row(image_id, **({"plane": plane, "split": split, "patient": patient} | values))
    noise = np.random.default_rng(list(image_id.encode())).integers(0, 256, (8, 8)).astype(np.uint8)
    return Picture(row, noise)


def drawn_by(patient: str) -> Provenance:
    return Provenance(entries=(ProvenanceEntry(name="LoRA l", images=1, patients=(patient,)),))


@pytest.fixture
def real(tmp_path: Path) -> ImageSet:
    """Training: 4 brains and 2 femurs; one of each validates and is tested on."""
    rows = [picture(f"b{n}", "brain", "train", f"b{n}") for n in range(4)]
    rows += [picture(f"f{n}", "femur", "train", f"f{n}") for n in range(2)]
    held_out: tuple[Split, ...] = ("validation", "test")
    rows += [picture(f"{s}{p}", p, s, f"{s}{p}") for s in held_out for p in ("brain", "femur")]  # type: ignore[arg-type]
    (tmp_path / "real").mkdir()
    ImageSet.write(tmp_path / "real", rows, labels=FETAL)
    return ImageSet(tmp_path / "real", "r")


@pytest.fixture
def synthetic(tmp_path: Path) -> ImageSet:
    made = {"origin": "synthetic", "generator": "g", "seed": "1", "caption": "a photo"}
    planes: tuple[Plane, ...] = ("brain", "femur")
    rows = [picture(f"s{plane}{n}", plane, "train", "", **made) for plane in planes for n in range(12)]
    rows[0] = Picture(rows[0].row, np.full((8, 8), 3, np.uint8))
    (tmp_path / "found").mkdir()
    write_table(tmp_path / "found", [screened(row.row.image_id, row.row.plane) for row in rows])
    (tmp_path / "found" / "findings.json").write_text('{"filters": [{"name": "memorised"}, {"name": "brightness"}]}')
    (tmp_path / "synthetic").mkdir()
    ImageSet.write(tmp_path / "synthetic", rows, provenance=drawn_by("s/A/b0"), labels=FETAL)
    return ImageSet(tmp_path / "synthetic", "s")


def screened(image_id: str, plane: Plane) -> AssessedImage:
    """The last of a plane was memorised."""
    return AssessedImage(image_id=image_id, plane=plane, fails=("memorised",) if image_id.endswith("11") else ())


def mixed(out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet) -> list[Image]:
    out.mkdir()
    return mix.function(out, config, real, synthetic, Assessment(synthetic.path.parent / "found", "")).rows()


@pytest.mark.parametrize(
    ("arm", "left", "added", "tainted"),
    [
        ({"arm": "hybrid"}, {"brain": 4, "femur": 2}, {"brain": 8, "femur": 4}, ["s/A/b0"]),
        ({"arm": "duplicated"}, {"brain": 4, "femur": 2}, {"brain": 8, "femur": 4}, []),
        ({"arm": "augmented"}, {"brain": 4, "femur": 2}, {"brain": 8, "femur": 4}, []),
        ({"arm": "none"}, {"brain": 4, "femur": 2}, {}, []),
        ({"arm": "none", "real": "balanced"}, {"brain": 2, "femur": 2}, {}, []),
        ({"arm": "none", "real": "balanced", "real_per_plane": 1}, {"brain": 1, "femur": 1}, {}, []),
        ({"arm": "hybrid", "real": "balanced"}, {"brain": 2, "femur": 2}, {"brain": 4, "femur": 4}, ["s/A/b0"]),
        ({"arm": "duplicated", "real": "balanced"}, {"brain": 2, "femur": 2}, {"brain": 4, "femur": 4}, []),
        ({"arm": "hybrid", "real": "none", "ratio": 1.0}, {}, {"brain": 8, "femur": 4}, ["s/A/b0"]),
    ],
)
def test_arms(
    tmp_path: Path,
    real: ImageSet,
    synthetic: ImageSet,
    arm: dict[str, object],
    left: dict[str, int],
    added: dict[str, int],
    tainted: list[str],
) -> None:
    config = MixConfig.model_validate({"ratio": 2.0, "schedule": "anneal", **arm})
    rows = mixed(tmp_path / "out", config, real, synthetic)
    training = [row for row in rows if row.split == "train"]
    assert Counter(row.plane for row in training) == Counter(left) + Counter(added)
    assert Counter(row.split for row in rows if row.split != "train") == {"validation": 2}
    book = ImageSet(tmp_path / "out", "").provenance()
    assert book.patients() == tainted
    assert book.roots() == (("hybrid images out",) if tainted else ())
    synthetic_rows = [row for row in training if row.origin == "synthetic"]
    assert Counter(row.plane for row in synthetic_rows) == (Counter(added) if config.arm == "hybrid" else {})
    assert schedule_of(tmp_path / "out") == "anneal"
    record = MixRecord.model_validate_json((tmp_path / "out" / "mix.json").read_bytes())
    assert record.arm == config.arm
    assert {plane: count for plane, count in record.added.items() if count} == added


def test_pictures_that_fail_a_filter_are_rejected_and_counted(
    tmp_path: Path, real: ImageSet, synthetic: ImageSet
) -> None:
    rows = mixed(tmp_path / "out", MixConfig(ratio={"brain": 2.5}), real, synthetic)
    assert sum(row.origin == "synthetic" for row in rows) == 10
    assert not {"sbrain0", "sbrain11"} & {row.image_id for row in rows}
    record = MixRecord.model_validate_json((tmp_path / "out" / "mix.json").read_bytes())
    assert record.rejected == {"brain": {"blank": 1, "memorised": 1}}
    with pytest.raises(
        ImageSetError, match=r"brain: 11 .*10 pass the filters.*blank 1.*memorised 1|memorised 1, blank 1"
    ):
        mixed(tmp_path / "more", MixConfig(ratio={"brain": 2.75}), real, synthetic)


def test_where_too_few_pass_they_may_be_repeated(tmp_path: Path, real: ImageSet, synthetic: ImageSet) -> None:
    config = MixConfig(ratio={"brain": 3.0}, too_few="repeat")
    rows = [row for row in mixed(tmp_path / "out", config, real, synthetic) if row.origin == "synthetic"]
    assert len(rows) == 12
    assert len({row.sha256 for row in rows}) == 10
    assert sum(row.image_id.endswith("_copy1") for row in rows) == 2
    record = MixRecord.model_validate_json((tmp_path / "out" / "mix.json").read_bytes())
    assert record.repeated == {"brain": 2}


def test_a_filter_can_be_switched_off(tmp_path: Path, real: ImageSet, synthetic: ImageSet) -> None:
    rows = mixed(tmp_path / "out", MixConfig(ratio={"brain": 2.75}, filters=("blank", "brightness")), real, synthetic)
    assert "sbrain11" in {row.image_id for row in rows}


def test_filters_that_were_not_calibrated_are_named(tmp_path: Path, real: ImageSet, synthetic: ImageSet) -> None:
    with pytest.raises(ImageSetError, match="clip, plane was not looked at: plane needs `judge`"):
        mixed(tmp_path / "out", MixConfig(filters=("clip", "memorised", "plane")), real, synthetic)
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageSetError, match=r"mix\.filters: memorised need an assessment"):
        mix.function(tmp_path / "none", MixConfig(), real, synthetic)


def test_a_generator_that_saw_a_tested_patient_is_refused(tmp_path: Path, real: ImageSet, synthetic: ImageSet) -> None:
    drawn_by("s/A/testbrain").write(synthetic.path)
    with pytest.raises(ImageSetError, match="s/A/testbrain: the patient is in test, and was trained on by LoRA l"):
        mixed(tmp_path / "out", MixConfig(ratio=1), real, synthetic)
    assert mixed(tmp_path / "fine", MixConfig(ratio=1, arm="duplicated"), real, synthetic)


def test_judges_of_a_mix_may_be_trained_on_validation_patients_and_not_on_test_patients(
    tmp_path: Path, real: ImageSet, synthetic: ImageSet
) -> None:
    drawn_by("s/A/validationbrain").write(tmp_path / "found")
    mixed(tmp_path / "out", MixConfig(ratio=1.0), real, synthetic)
    uses = {entry.patients: entry.use for entry in ImageSet(tmp_path / "out", "").provenance().entries}
    assert uses == {(): "fitted", ("s/A/b0",): "fitted", ("s/A/validationbrain",): "chosen"}
    drawn_by("s/A/testbrain").write(tmp_path / "found")
    with pytest.raises(
        ImageSetError, match="testbrain: the patient is in test, and was used for model selection by LoRA l"
    ):
        mixed(tmp_path / "leak", MixConfig(ratio=1.0), real, synthetic)
