"""A woman who would be tested on and trained on under two names, as a user meets it: every command says so at once."""

import shutil
from pathlib import Path

import pytest
from command_line import fulora
from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.patient_numbers import SameNumberError, note_different_patients
from fulora.data.results import LeakTable
from fulora.intake.config import CurateConfig
from fulora.intake.phantoms.scan import draw
from pipelines.stages.check_leaks import check_leaks
from pipelines.study_inputs import curated

pytestmark = pytest.mark.slow

PLANES = label_set("fetal_planes").names


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Women 0 to 3 to train on and 3 to 6 to test on, a picture of each plane, as the template has them."""
    folder = tmp_path_factory.mktemp("patients")
    for half, first in (("train", 0), ("test", 3)):
        for plane in PLANES:
            (folder / half / plane).mkdir(parents=True)
            images = draw(plane, range(10 * first, 10 * first + 4), site="A", size_px=64, seed=4).images
            for number, picture in enumerate(images, first):
                Pil.fromarray(picture).save(folder / half / plane / f"Patient{number:05d}_{half}.png")
    return folder


@pytest.fixture
def own(drawn: Path, tmp_path: Path) -> Path:
    """A copy of the pictures, which a test may change."""
    return shutil.copytree(drawn, tmp_path / "own")


def test_the_template_stops_before_anything_is_made(own: Path, tmp_path: Path) -> None:
    done = fulora("run", "own_images", f"data_root={own}", cwd=tmp_path)
    assert done.returncode == 2
    assert "1 patient number occurs under two names: 00003 (source 'own', site 'elsewhere', sources[1]" in done.stderr
    assert "same_numbers: different_patients" in done.stderr
    assert not list(tmp_path.glob("work/curate-*"))


def test_the_patient_is_reported_together_with_unusable_rows(own: Path, tmp_path: Path) -> None:
    (own / "train" / "torax").mkdir()
    Pil.new("L", (64, 64), 9).save(own / "train" / "torax" / "Patient00009_train.png")
    Pil.new("L", (64, 64), 8).save(own / "test" / "brain" / "nobody.png")
    done = fulora("status", "own_images", f"data_root={own}", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        "torax/Patient00009_train.png: unknown class 'torax', of 1 images; rename it to one of abdomen, brain"
        in done.stderr
    )
    assert done.stderr.count("unknown class 'torax'") == done.stderr.count("nobody") == 1
    assert done.stderr.count("1 patient number occurs under two names: 00003") == 1


def test_the_template_runs_if_the_patients_are_declared_different(own: Path, tmp_path: Path) -> None:
    study = f"data_root={own}", "planes.same_numbers=different_patients"
    done = fulora("run", "own_images", *study, "lora.steps=1", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("work/curate-*"))) == 1


def test_a_lora_is_not_trained_on_a_test_patient_with_another_name(own: Path, tmp_path: Path) -> None:
    pattern = "patient_pattern=Patient(\\d+)"
    said = fulora("data", "curate", own / "test", pattern, "site=there", "role=test", cwd=tmp_path)
    tested = tmp_path / said.stdout.strip()
    given = [f"images.{pattern}", "images.site=here", "steps=1", "--dry-run", "--test", tested]
    done = fulora("lora", "train", own / "train", *given, cwd=tmp_path)
    assert (done.returncode, "the training images and the test:\n1 patient number occurs" in done.stderr) == (2, True)
    done = fulora("lora", "train", own / "train", *given, "images.same_numbers=different_patients", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_leak_check_of_a_study_finds_both_names_of_a_patient(own: Path, tmp_path: Path) -> None:
    from fulora.engine import InProcess
    from fulora.workspace import Workspace

    sets = []
    for half, site in (("train", "here"), ("test", "elsewhere")):
        source = {"kind": "class_folders", "folder": half, "patient_pattern": r"(\d+)", "site": site, "role": half}
        config = CurateConfig.model_validate({"sources": [source]})
        sets.append(curated(config, own, Workspace(tmp_path / "work", InProcess())))
    trained, tested = sets
    with pytest.raises(SameNumberError, match="LoRA and the test:\n1 patient number occurs under two names: 00003"):
        check_leaks.function(tmp_path, tested, {"LoRA": trained}, {}, {})
    note_different_patients(trained.path)
    check_leaks.function(tmp_path, tested, {"LoRA": trained}, {}, {})
    assert len(LeakTable(tmp_path, "").rows()) == 1


def test_a_check_of_both_data_sets_finds_the_shared_patient(own: Path) -> None:
    done = fulora("data", "check", own, "patient_pattern=Patient(\\d+)")
    assert done.returncode == 1
    assert "2 data sets, 40 images of 7 patients" in done.stdout
    assert "leak patients in two sets: 1 patients" in done.stdout
    assert "own//00003: test and train" in done.stdout


def test_curation_reports_which_patients_it_joined(own: Path, tmp_path: Path) -> None:
    brain = own / "train" / "brain"
    with Pil.open(brain / "Patient00000_train.png") as picture:
        picture.resize((80, 80)).save(brain / "Patient00001_again.png")
    given = "patient_pattern=Patient(\\d+)", "role=train+validation+test"
    done = fulora("data", "curate", own / "train", *given, cwd=tmp_path)
    assert "near duplicates: 1 pairs of images of two patients" in done.stderr
    assert "2 patients were kept together in 1 groups" in done.stderr
    out = tmp_path / done.stdout.strip()
    assert len({row.split for row in ImageSet(out, "").rows() if row.patient in ("00000", "00001")}) == 1
    assert fulora("data", "check", out).returncode == 0
