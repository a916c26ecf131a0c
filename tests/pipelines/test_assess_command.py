"""`fulora assess`, and what a study makes of it: any two folders, verdicts, a page, judges, filters."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import fulora
from PIL import Image as Pil

import fulora as fu
from fulora.assessment.assess import read_findings
from fulora.assessment.config import AssessConfig
from fulora.classification.config import ClassifierConfig
from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.weights import JudgeWeights
from fulora.intake.config import CurateConfig, PhantomsConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.phantoms.scan import draw
from fulora.intake.source_config import SourceInputs
from fulora.stage import Source
from pipelines.backbone_names import ASSETS
from pipelines.stages.assess import assess
from pipelines.stages.train_judges import train_judges

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")

PEOPLE = 16


def phantoms(folder: Path, role: str, first: int, planes: list[str], *more: dict[str, object]) -> ImageSet:
    about = {"sites": ["A"], "planes": planes, "per_plane": PEOPLE, "images_per_patient": 1}
    sources = [PhantomsConfig.model_validate(about | one) for one in ({"role": role, "first_patient": first}, *more)]
    folder.mkdir()
    curation = Curation(CurateConfig(sources=tuple(sources), image_size_px=64), [SourceInputs()] * len(sources))
    ImageSet.write(folder, curation.pictures(), labels=FETAL)
    return ImageSet(folder, folder.name)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """16 brains and femurs of people who trained, and 16 of people who did not."""
    folder = tmp_path_factory.mktemp("assess")
    return phantoms(folder / "real", "train", 0, ["brain", "femur"], {"role": "validation", "first_patient": 1000})


def folder_of(folder: Path, first: int, count: int) -> Path:
    (folder / "brain").mkdir(parents=True)
    for number, picture in enumerate(draw("brain", range(first, first + count), site="A", size_px=64, seed=0).images):
        Pil.fromarray(picture).save(folder / "brain" / f"{number}.png")
    return folder


def test_an_image_set_is_divided_by_its_splits_and_a_page_is_written(tmp_path: Path, real: ImageSet) -> None:
    made, out, page = folder_of(tmp_path / "made", 5000, 30), tmp_path / "figures.json", tmp_path / "page"
    options = ["--encoder", "hash", "--encoder", "clip", "--draws", "200", "--cache", tmp_path / "cache"]
    done = fulora("assess", made, "--real", real.path, "--train", real.path, *options, "--report", page, "--json", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("all: ")
    assert "memorised (hash, p = " in done.stdout
    facts = json.loads(out.read_text())
    assert facts["held_out"] == facts["train"] == {"images": 2 * PEOPLE, "patients": PEOPLE, "patients_known": True}
    assert facts["encoders"][0]["memorisation"]["bulk"]["votes"] == 30
    assert {truth["by"] for truth in facts["truths"]} == {"clip"}
    text = (page / "report.html").read_text()
    for title in (
        "Verdicts",
        "Label truth",
        "Filters",
        "Diversity",
        "Shortcuts that distinguish synthetic from real images",
    ):
        assert title in text
    assert {file.name for file in (page / "figures").iterdir()} == {"typical.png", "distances.png", "pairs.png"}


def test_python_assesses_as_the_command_does(tmp_path: Path, real: ImageSet) -> None:
    made = folder_of(tmp_path / "made", 5000, 14)
    arguments = ["--encoder", "hash", "--draws", "100", "--device", "cpu", "--out", tmp_path / "typed"]
    done = fulora("assess", made, "--real", real.path, "--train", real.path, *arguments)
    assert done.returncode == 0, done.stderr
    found = fu.assess(
        made, real.path, train=real.path, out=tmp_path / "out", encoders=["hash"], draws=100, device="cpu"
    )
    typed, written = (Assessment(tmp_path / name, "") for name in ("typed", "out"))
    assert written.rows() == typed.rows()
    assert found.to_pandas()["image_id"].tolist() == [row.image_id for row in typed.rows()]
    assert [row["verdict"] for row in found.table.rows] == found.verdicts
    assert all(line in done.stdout for line in found.verdicts)
    assert found.to_json()["encoders"][0]["memorisation"] is not None
    assert "14 synthetic images" in found._repr_html_()


def test_without_training_images_there_are_no_figures_of_copies(tmp_path: Path, real: ImageSet) -> None:
    made = folder_of(tmp_path / "made", 5000, 14)
    done = fulora("assess", made, "--real", real.path, "--encoder", "hash", "--json", "-")
    facts = json.loads(done.stdout)
    assert facts["encoders"][0]["memorisation"] is None
    assert "memorised" not in {one["name"] for one in facts["filters"]}


def test_what_cannot_be_assessed_is_refused(tmp_path: Path) -> None:
    made = folder_of(tmp_path / "made", 5000, 12)
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([tmp_path / "gone", "--real", made], "is not a folder"),
        ([tmp_path / "empty", "--real", made], "holds neither an image set nor pictures"),
        ([made, "--real", made, "--train", made], "has no training split beside others"),
        ([made, "--real", made, "--encoder", "sift"], "no such encoder"),
        ([made, "--real", made, "--false-reject", "2"], "false_reject"),
        ([made, "--real", made, "--judges", made], "holds no folds.json"),
    ):
        done = fulora("assess", *arguments)
        assert done.returncode != 0
        assert message in done.stderr


# --- in a study


def test_judges_see_planes_of_people_they_never_saw(tmp_path: Path, real: ImageSet) -> None:
    """Brains that were asked for as femurs are found, also where they are copies of training images."""
    cfg = ClassifierConfig(steps=24, batch_size=16, stem="imagenet", image_size_px=32)
    (tmp_path / "judges").mkdir()
    judges = train_judges.function(tmp_path / "judges", 2, cfg, real)
    made = ["0", "1", "folds.json", "label_set.json", "provenance.json"]
    assert sorted(path.name for path in judges.path.iterdir()) == made
    assert len(set(json.loads((judges.path / "folds.json").read_text()).values())) == 2
    wrong = mislabelled(tmp_path / "made", real)
    (tmp_path / "found").mkdir()
    found = assess.function(
        tmp_path / "found",
        AssessConfig(draws=100, encoders=("pixels",), false_reject=0.1),
        wrong,
        real,
        real,
        Source(ASSETS / "clip", ""),
        None,
        JudgeWeights(judges.path, ""),
    )
    findings = read_findings(found.path)
    truth = {truth.plane: truth for truth in findings.truths}
    assert truth["brain"].agreement > 0.9
    assert truth["femur"].agreement < 0.1
    assert truth["femur"].real_agreement is not None
    assert truth["femur"].real_agreement > 0.8
    femur = next(verdict for verdict in findings.verdicts if verdict.plane == "femur")
    assert any("the judge sees the plane in" in objection for objection in femur.objections)
    fails = {row.image_id: row.fails for row in Assessment(found.path, "").rows()}
    assert np.mean(["plane" in fail for name, fail in fails.items() if "femur" in name]) > 0.9
    assert "plane" in Assessment(found.path, "").filters()


def mislabelled(folder: Path, real: ImageSet) -> ImageSet:
    """Copies of training brains, half of them called femurs, as synthetic images."""
    from fulora.data.image_set import Picture

    made = []
    brains = [row for row in real.rows("train") if row.plane == "brain"]
    for number, row in enumerate([*brains, *brains]):
        plane = "brain" if number < len(brains) else "femur"
        pixels = np.clip(real.pixels(row).astype(int) + number % 7, 0, 255).astype(np.uint8)
        about = {
            "image_id": f"{plane}{number}",
            "plane": plane,
            "origin": "synthetic",
            "generator": "g",
            "seed": str(number),
            "patient": "",
        }
        made.append(Picture(row.model_copy(update=about), pixels))
    folder.mkdir()
    ImageSet.write(folder, made, labels=FETAL)
    return ImageSet(folder, "made")
