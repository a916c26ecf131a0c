"""`fulora mix` and `fu.mix`: one set of real and added images, equal bytes however it is made, and what is refused."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from command_inside import called
from small_sets import PLANES, assessment_of, class_folders, content, real_set, synthetic_set

import fulora as fu
from fulora.data.hybrid import MixConfig, MixRecord
from fulora.data.image_set import ImageSet
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.engine import InProcess
from fulora.intake.check.check_folder import check_folder
from fulora.workspace import Workspace
from pipelines.jobs.inputs import open_artifact
from pipelines.stages.mix import mix


@pytest.fixture
def real(tmp_path: Path) -> Path:
    return real_set(tmp_path / "real")


@pytest.fixture
def synthetic(tmp_path: Path) -> Path:
    return synthetic_set(tmp_path / "synthetic")


def counts(folder: Path) -> Counter[tuple[str, str]]:
    return Counter((row.split, row.origin) for row in ImageSet(folder, "").rows())


def mixed(tmp_path: Path, *arguments: str | Path) -> Path:
    out = tmp_path / "out"
    done = called("mix", *arguments, "--out", out, "--work", tmp_path / "work")
    assert done.code == 0, done.stderr
    return out


def test_command_python_and_study_write_equal_files(tmp_path: Path, real: Path, synthetic: Path) -> None:
    out = mixed(tmp_path, real, synthetic, "--ratio", "2", "--test-split", "drop", "schedule=anneal")
    settings = {"schedule": "anneal"}
    work = tmp_path / "work"
    made = fu.mix(real, synthetic, out=tmp_path / "python", ratio=2, test_split="drop", settings=settings, work=work)
    config = MixConfig(ratio=2.0, filters=("blank", "duplicate"), schedule="anneal")
    sets = [open_artifact(folder, ImageSet, tmp_path) for folder in (real, synthetic)]
    study = Workspace(tmp_path / "study", InProcess()).run(mix, config, *sets)
    assert len(content(out)) == 6 + 2 + 12 + 4
    assert content(out) == content(made.path) == content(study.path)
    assert json.loads((out / "stage.json").read_text())["fingerprint"] == study.fingerprint


def test_the_real_test_split_is_kept_unless_it_is_dropped(tmp_path: Path, real: Path, synthetic: Path) -> None:
    kept = mixed(tmp_path, real, synthetic)
    without = {("train", "real"): 6, ("train", "synthetic"): 6, ("validation", "real"): 2}
    assert counts(kept) == {**without, ("test", "real"): 2}
    dropped = fu.mix(real, synthetic, out=tmp_path / "dropped", test_split="drop", work=tmp_path / "work")
    assert counts(dropped.path) == without
    same = content(kept)
    assert {name: same[name] for name in content(dropped.path)} == content(dropped.path)
    assert content(real)["test/metadata.jsonl"] == same["test/metadata.jsonl"]


def test_the_table_and_the_json_count_images_and_rejections(tmp_path: Path, real: Path) -> None:
    synthetic = synthetic_set(
        tmp_path / "synthetic", like={f"synthetic_brain_{n:05d}": "trainbrain0" for n in range(3)}
    )
    out, file = tmp_path / "out", tmp_path / "mix.json"
    done = called("mix", real, synthetic, "--out", out, "--work", tmp_path / "work", "--json", file)
    assert done.code == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["class", "train,", "real", "train,", "synthetic", "validation,", "real", "test,", "real"] in lines
    assert ["all", "6", "6", "2", "2"] in lines
    assert "added (hybrid): brain 3, femur 3" in done.stdout
    record = MixRecord.model_validate_json((out / "mix.json").read_bytes())
    rejected = record.rejected["brain"]["duplicate"]
    assert 1 <= rejected <= 3
    assert f"rejected of brain: duplicate {rejected}" in done.stdout
    assert "copies of training images are not looked for" in done.stderr
    facts = json.loads(file.read_text())
    assert facts["path"] == str(out)
    assert facts["rows"][-1] == {
        "class": "all",
        "train, real": 6,
        "train, synthetic": 6,
        "validation, real": 2,
        "test, real": 2,
    }


def test_datasets_opens_the_set_and_the_check_finds_nothing(tmp_path: Path, real: Path, synthetic: Path) -> None:
    made = fu.mix(fu.read_images(real), synthetic, out=tmp_path / "out", work=tmp_path / "work")
    opened = made.to_datasets()
    assert {name: len(split) for name, split in opened.items()} == {"train": 12, "validation": 2, "test": 2}
    assert Counter(opened["train"]["origin"]) == {"real": 6, "synthetic": 6}
    assert check_folder(made.path).clean


def test_dry_run_counts_and_writes_nothing(tmp_path: Path, real: Path, synthetic: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    options = ("--ratio", "3", "--out", tmp_path / "out", "--work", tmp_path / "work", "--dry-run")
    done = called("mix", real, synthetic, *options)
    assert done.code == 0, done.stderr
    assert ["brain", "3", "3", "9", "6"] in [line.split() for line in done.stdout.splitlines()]
    assert "brain: 9 are wanted and 6 available: mixing would stop" in done.stdout
    some = assessment_of(synthetic, tmp_path / "found", fails=["synthetic_brain_00000"])
    facts = json.loads(called("mix", real, synthetic, *options, "--assessment", some, "--json", "-").stdout)
    brain = next(one for one in facts["rows"] if one["class"] == "brain")
    assert brain == {"class": "brain", "real": 3, "kept": 3, "added": 9, "synthetic": 6, "pass the assessment": 5}
    refused = called("mix", real, synthetic, *options, "--assessment", tmp_path / "gone")
    assert refused.code == 2
    assert "gone: no such assessment; make it by" in refused.stderr
    for folder in ("found/findings.json", "found/table.jsonl", "found"):
        (tmp_path / folder).unlink() if "/" in folder else (tmp_path / folder).rmdir()
    assert sorted(tmp_path.rglob("*")) == before


def test_dry_run_forecasts_a_folder_that_is_not_curated_yet(tmp_path: Path) -> None:
    planes, others = class_folders(tmp_path / "planes"), class_folders(tmp_path / "others", count=2)
    before = sorted(tmp_path.rglob("*"))
    settings = ("images.patients_unknown=true", "real=balanced", "real_per_plane=3")
    done = called("mix", planes, others, *settings, "--ratio", "1", "--work", tmp_path / "work", "--dry-run")
    assert done.code == 0, done.stderr
    assert ["femur", "4", "3", "3", "2"] in [line.split() for line in done.stdout.splitlines()]
    assert sorted(tmp_path.rglob("*")) == before


def test_images_of_another_tool_are_of_an_unknown_generator(tmp_path: Path, real: Path) -> None:
    others = class_folders(tmp_path / "others")
    out = mixed(tmp_path, real, others, "--generator", "a GAN")
    rows = [row for row in ImageSet(out, "").rows() if row.origin == "synthetic"]
    assert len(rows) == 6
    assert {(row.generator, row.seed, row.patient, row.split) for row in rows} == {("a GAN", "unknown", "", "train")}
    assert ImageSet(out, "").provenance().unknowns() == ["the generator a GAN"]
    check = check_folder(out)
    assert check.clean
    assert "the generator a GAN" in [line for one in check.findings for line in one.examples]
    (others / "brain" / "0.png").rename(others / "0.png")
    done = called("mix", real, others, "--out", tmp_path / "more", "--work", tmp_path / "work")
    assert done.code == 2
    assert "1 of 8 pictures are in no folder named after a class" in done.stderr
    assert "such as 0.png" in done.stderr


def test_several_sets_are_joined_under_the_names_of_their_folders(tmp_path: Path, real: Path, synthetic: Path) -> None:
    second, other = synthetic_set(tmp_path / "second"), class_folders(tmp_path / "other")
    out = mixed(tmp_path, real, synthetic, second, other, "--ratio", "5", "too_few=repeat")
    names = {row.image_id for row in ImageSet(out, "").rows() if row.origin == "synthetic"}
    assert {name.partition("_")[0] for name in names} == {"synthetic", "second", "other"}
    assert {"synthetic_synthetic_brain_00000", "second_synthetic_brain_00000", "other_brain/0.png"} <= names
    again = synthetic_set(tmp_path / "deeper" / "second")
    done = called("mix", real, second, again, "--out", tmp_path / "more", "--work", tmp_path / "work")
    assert done.code == 2
    assert "two folders of synthetic images are named second" in done.stderr


def test_of_a_hybrid_set_only_synthetic_images_are_added(tmp_path: Path, real: Path, synthetic: Path) -> None:
    hybrid = mixed(tmp_path, real, synthetic)
    more = fu.mix(real, hybrid, out=tmp_path / "more", work=tmp_path / "work")
    assert counts(more.path) == counts(hybrid)
    with_it = fu.mix(real, [hybrid, synthetic_set(tmp_path / "second")], ratio=3, out=tmp_path / "both", work=tmp_path)
    assert counts(with_it.path)["train", "synthetic"] == 18
    done = called("mix", hybrid, synthetic, "--out", tmp_path / "wrong", "--work", tmp_path / "work")
    assert done.code == 2
    assert "6 of its 12 training images are synthetic; give the set of real images first" in done.stderr
    done = called("mix", real, real, "--out", tmp_path / "wrong", "--work", tmp_path / "work")
    assert done.code == 2
    assert "holds no synthetic images" in done.stderr


def test_images_that_fail_in_the_assessment_are_left_out(tmp_path: Path, real: Path, synthetic: Path) -> None:
    found = assessment_of(synthetic, tmp_path / "found", fails=["synthetic_brain_00002"])
    out = mixed(tmp_path, real, synthetic, "--ratio", "1.67", "--assessment", found / "table.jsonl")
    names = {row.image_id for row in ImageSet(out, "").rows()}
    assert len([name for name in names if "synthetic_brain" in name]) == 5
    assert "synthetic_brain_00002" not in names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--filters", "memorised"], r"filters: memorised need an assessment; make it by\n  fulora assess .*synthetic"),
        (["--assessment", "gone"], "gone: no such assessment; make it by"),
        (["--assessment", "figures.json"], "lacks table.jsonl and findings.json"),
        (["--assessment", "of_others"], "has no row for 12 of the synthetic images, such as synthetic_brain_00000"),
        (["--assessment", "of_another"], "is the assessment of another set, 0123"),
        (["--assessment", "found", "--filters", "blank"], "no filter reads the assessment"),
        (["--assessment", "found", "--filters", "clip"], "clip was not looked at"),
        (["--filters", "pretty"], r"filters\.0: Input should be 'blank'"),
        (["--ratio", "-1"], "0 or more added images"),
        (["--ratio", "9"], "27 synthetic images are wanted and there are 6"),
        (["ratio.spleen=1"], r"mix\.ratio: 'spleen': no class of the label set"),
        (["--arm", "duplicated"], "arm=duplicated adds no synthetic images"),
        (["--per-plane", "4"], "there are fewer real training images of brain 3"),
        (["size=3"], "size: unknown key; known keys: arm, cap"),
    ],
)
def test_what_cannot_be_mixed_is_refused(
    tmp_path: Path, real: Path, synthetic: Path, options: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assessment_of(synthetic, Path("found"))
    assessment_of(real, Path("of_others"))
    assessment_of(synthetic, Path("of_another"))
    Path("of_another", "assessed.json").write_text('{"synthetic": "0123"}')
    Path("figures.json").write_text("{}")
    done = called("mix", real, synthetic, "--out", "out", *options)
    assert done.code == 2
    assert re.search(message, done.stderr), done.stderr
    assert not Path("out").exists()


def test_folders_without_what_is_mixed_are_refused(tmp_path: Path, real: Path, synthetic: Path) -> None:
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "generation.json").write_text("{}")
    tested = real_set(tmp_path / "tested", {"test": 2})
    for arguments, message in (
        ((real,), "arm=hybrid adds synthetic images, and none are given"),
        ((real, tmp_path / "gone"), "gone: no such folder"),
        ((real, tmp_path / "unfinished"), "is not finished; run its `fulora generate` again"),
        ((tested, synthetic), "has no training images"),
    ):
        done = called("mix", *arguments, "--out", tmp_path / "out", "--work", tmp_path / "work")
        assert done.code == 2
        assert message in done.stderr


def test_copies_as_a_control(tmp_path: Path, real: Path) -> None:
    for arm in ("duplicated", "augmented"):
        made = fu.mix(real, arm=arm, ratio=2, out=tmp_path / arm, work=tmp_path)  # type: ignore[arg-type]
        assert counts(made.path)["train", "real"] == 18
        assert check_folder(made.path).clean
        assert f"added ({arm}): brain 6, femur 6" in made.table.notes


def test_a_set_that_knows_a_tested_patient_is_refused(tmp_path: Path, real: Path) -> None:
    entry = ProvenanceEntry(name="LoRA l", images=1, patients=("s/A/testbrain0",))
    synthetic = synthetic_set(tmp_path / "synthetic", provenance=Provenance(entries=(entry,)))
    for split in ("keep", "drop"):
        for more in ((), ("--dry-run",)):
            done = called("mix", real, synthetic, "--test-split", split, "--out", tmp_path / "out", *more)
            assert done.code == 2
            assert "s/A/testbrain0: the patient is in test, and was trained on by LoRA l" in done.stderr


def test_a_copy_of_a_test_image_is_refused(tmp_path: Path, real: Path) -> None:
    copies = {f"synthetic_{plane}_{n:05d}": f"test{plane}0" for plane in PLANES for n in range(6)}
    synthetic = synthetic_set(tmp_path / "synthetic", like=copies)
    done = called("mix", real, synthetic, "--filters", "none", "--ratio", "0.3", "--out", tmp_path / "out")
    assert done.code == 2
    assert "identical pixels are in test and train" in done.stderr
