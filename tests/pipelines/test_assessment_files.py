"""The files of `fulora assess --out`: those of a study's assessment, which `fulora mix --assessment` reads."""

from pathlib import Path

import pytest
from command_inside import called
from small_sets import class_folders, real_set, synthetic_set

import fulora as fu
from fulora.assessment.config import AssessConfig
from fulora.data.assessed_images import Assessment
from fulora.data.hybrid import MixRecord
from fulora.data.image_set import ImageSet
from fulora.data.provenance import read_provenance
from fulora.engine import InProcess
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbone_names import ASSETS
from pipelines.jobs.inputs import open_artifact
from pipelines.stages.assess import assess

QUICK = ("--encoder", "pixels", "--draws", "100", "--false-reject", "0.3")


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return real_set(tmp_path / "real", {"train": 8, "validation": 8, "test": 1})


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    """The first image of each plane is a copy of a training image."""
    copies = {f"synthetic_{plane}_00000": f"train{plane}0" for plane in ("brain", "femur")}
    return synthetic_set(tmp_path / "synthetic", 10, like=copies)


def assessed(tmp_path: Path, synthetic: Path, real: Path, *options: str) -> Path:
    out = tmp_path / "assessment"
    done = called("assess", synthetic, "--real", real, "--train", real, "--out", out, *QUICK, *options)
    assert done.code == 0, done.stderr
    assert str(out) in done.stdout
    return out


def test_command_and_study_write_equal_files(tmp_path: Path, synthetic: Path, real: Path) -> None:
    out = assessed(tmp_path, synthetic, real)
    made, held = (open_artifact(folder, ImageSet, tmp_path / "work") for folder in (synthetic, real))
    config = AssessConfig(encoders=("pixels",), draws=100, false_reject=0.3)
    study = Workspace(tmp_path / "study", InProcess()).run(
        assess, config, made, held, held, Source(ASSETS / "clip", ""), None
    )
    for name in ("table.jsonl", "findings.json"):
        assert (out / name).read_bytes() == (study.path / name).read_bytes()
    assert read_provenance(out) == read_provenance(study.path)
    assert "memorised" in Assessment(out, "").filters()


def test_copies_are_found_and_left_out(tmp_path: Path, synthetic: Path, real: Path) -> None:
    out = assessed(tmp_path, synthetic, real)
    options = {"filters": ["memorised"], "assessment": out, "ratio": 0.75, "work": tmp_path / "work"}
    made = fu.mix(real, synthetic, out=tmp_path / "hybrid", **options)  # type: ignore[arg-type]
    rejected = MixRecord.model_validate_json((made.path / "mix.json").read_bytes()).rejected
    fails = {row.image_id for row in Assessment(out, "").rows() if "memorised" in row.fails}
    assert {"synthetic_brain_00000", "synthetic_femur_00000"} <= fails
    assert {row.image_id for row in made.artifact.rows()} & fails == set()
    assert {name for causes in rejected.values() for name in causes} == {"memorised"}
    assert any(note.startswith("rejected of brain: memorised ") for note in made.table.notes)


def test_a_page_holds_the_rows_too(tmp_path: Path, synthetic: Path, real: Path) -> None:
    page = tmp_path / "page"
    out = assessed(tmp_path, synthetic, real, "--report", str(page))
    assert (page / "table.jsonl").read_bytes() == (out / "table.jsonl").read_bytes()
    work, place = tmp_path / "work", page / "report.html"
    made = fu.mix(real, synthetic, ratio=0.5, assessment=place, out=tmp_path / "hybrid", work=work)
    assert len(made.artifact.rows("train")) == 16 + 8


def test_it_is_of_the_set_that_was_assessed(tmp_path: Path, synthetic: Path, real: Path) -> None:
    out = assessed(tmp_path, synthetic, real)
    other = synthetic_set(tmp_path / "other", 10)
    done = called("mix", real, other, "--assessment", out, "--out", tmp_path / "hybrid", "--work", tmp_path / "work")
    assert done.code == 2
    assert "is the assessment of another set" in done.stderr
    assert f"fulora assess {other} --real {real} --train {real} --out assessment" in done.stderr


def test_the_assessment_of_several_sets_is_of_the_joined_one(tmp_path: Path, synthetic: Path, real: Path) -> None:
    second, work = synthetic_set(tmp_path / "second", 10), tmp_path / "work"
    options = ("--ratio", "0.75", "--filters", "memorised", "--out", tmp_path / "hybrid", "--work", work)
    forecast = called("mix", real, synthetic, second, *options, "--dry-run")
    assert forecast.code == 0, forecast.stderr
    assert ["brain", "8", "8", "6", "20"] in [line.split() for line in forecast.stdout.splitlines()]
    assert "need an assessment of the joined synthetic images" in forecast.stdout
    assert not work.exists()
    stopped = called("mix", real, synthetic, second, *options)
    assert stopped.code == 2
    (joined,) = work.glob("join_synthetic-*")
    assert f"fulora assess {joined} --real {real} --train {real} --out assessment" in stopped.stderr
    out = assessed(tmp_path, joined, real)
    mixed = called("mix", real, synthetic, second, *options, "--assessment", out)
    assert mixed.code == 0, mixed.stderr
    fails = {row.image_id for row in Assessment(out, "").rows() if "memorised" in row.fails}
    assert "synthetic_synthetic_brain_00000" in fails
    assert not fails & {row.image_id for row in ImageSet(tmp_path / "hybrid", "").rows()}


def test_a_folder_of_another_tool_and_its_assessment(tmp_path: Path, real: Path) -> None:
    others = class_folders(tmp_path / "others", count=9)
    out = assessed(tmp_path, others, real)
    options = {"filters": ["memorised", "near_duplicate"], "assessment": out, "ratio": 0.5}
    made = fu.mix(real, others, out=tmp_path / "hybrid", work=tmp_path / "work", **options)  # type: ignore[arg-type]
    assert sum(row.origin == "synthetic" for row in made.artifact.rows()) == 8
