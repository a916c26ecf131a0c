"""`fulora score classification`, as a user meets it: any file of predictions in, figures and clear errors out."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fulora
from PIL import Image as Pil

from pipelines.commands.score import classification

NOTEBOOK = ((25, 37, 0, 2, 1), (1, 0, 64, 0, 0), (11, 0, 0, 53, 0), (8, 0, 1, 1, 29))
"""FU-LoRA's stored confusion matrix: rows abdomen, brain, femur, thorax; columns other and these."""

COLUMNS = ("other", "abdomen", "brain", "femur", "thorax")
PLANES = (*COLUMNS[1:], "other")


def notebook(folder: Path) -> Path:
    """A prediction an image of that matrix; patients of four images each, one site."""
    rows = ["image_id,patient,site,true,predicted"]
    for true, counts in zip(COLUMNS[1:], NOTEBOOK, strict=True):
        for predicted, count in zip(COLUMNS, counts, strict=True):
            for _ in range(count):
                rows.append(f"i{len(rows)},{len(rows) // 4},Africa,{true},{predicted}")
    (folder / "notebook.csv").write_text("\n".join(rows) + "\n")
    return folder / "notebook.csv"


def soft(folder: Path, name: str, gain: float, seed: int) -> Path:
    """40 patients of two sites, four planes each, with probabilities, machines and digests."""
    rng = np.random.default_rng(seed)
    rows = [",".join(("image_id", "patient", "site", "true", "machine", "sha256", *PLANES))]
    for number in range(160):
        patient, plane = number // 4, number % 4
        logits = rng.normal(size=5) + gain * np.eye(5)[plane]
        given = np.exp(logits) / np.exp(logits).sum()
        digest = 0 if number == 8 else number  # patient 2 has a picture of patient 0, of the same site and plane
        about = (f"i{number}", str(patient), "AB"[patient % 2], PLANES[plane], f"M{patient % 3}", f"d{digest}")
        rows.append(",".join((*about, *(f"{value:.6f}" for value in given))))
    (folder / name).write_text("\n".join(rows) + "\n")
    return folder / name


def worked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


EVERYTHING, OWN = {"kind": "all", "name": ""}, "own decision"


def one(facts: dict[str, Any], quantity: str, rule: str, group: dict[str, str] = EVERYTHING) -> dict[str, Any]:
    key = quantity, rule, group
    (found,) = [row for row in facts["scores"] if (row["quantity"], row["rule"], row["group"]) == key]
    return found


def test_the_stored_confusion_matrix_gives_the_published_figures(tmp_path: Path) -> None:
    file = notebook(tmp_path)
    facts = json.loads(worked(fulora("score", "classification", file, "--legacy-auc", "--draws", "100", "--json", "-")))
    percent = {
        name: round(100 * one(facts, name, OWN)["interval"]["value"], 2)
        for name in ("accuracy", "balanced accuracy", "macro precision", "macro F1")
    }
    assert list(percent.values()) == [78.54, 78.14, 97.44, 85.85]
    planes = [{"kind": "class", "name": name} for name in COLUMNS[1:]]
    legacy = [one(facts, "legacy FU-LoRA AUC (wrong, of hard decisions)", OWN, plane) for plane in planes]
    assert [round(row["interval"]["value"], 4) for row in legacy] == [0.9174, 0.8661, 0.8905, 0.8764]
    right = [one(facts, "hard-decision AUC (its formula put right)", OWN, plane) for plane in planes]
    assert [round(row["interval"]["value"], 4) for row in right] == [0.7846, 0.9893, 0.9052, 0.8692]
    assert facts["confusion"]["counts"] == [[*row[1:], row[0]] for row in NOTEBOOK]
    assert one(facts, "rate of deciding the negative class", OWN)["interval"]["value"] == pytest.approx(45 / 233)


@pytest.mark.slow
def test_a_comparison_is_printed_written_and_drawn(tmp_path: Path) -> None:
    ours, other = soft(tmp_path, "ours.csv", 2.0, 1), soft(tmp_path, "other.csv", 1.0, 2)
    out, png = tmp_path / "scores.json", tmp_path / "scores.png"
    command = ("score", "classification", ours, "--against", other, "--draws", "200")
    said = worked(fulora(*command, "--json", out, "--figure", png))
    for words in (
        "160 images of 40 patients at 2 sites",
        "labels: abdomen, brain, femur, thorax",
        "5-way, own decision",
        "4-way, among the labels",
        "macro one-vs-rest AUC",
        "By class",
        "By site",
        "By machine",
        "Confusion matrix",
        "Without images that are also listed under another patient",
        "1 clusters fewer",
        "Durkalski",
        "Holm p",
        "found at 80 %",
    ):
        assert words in said
    facts = json.loads(out.read_text())
    first = facts["comparisons"][0]
    assert (first["quantity"], first["group"], first["difference"]["n"]) == ("accuracy", EVERYTHING, 160)
    assert first["difference"]["value"] > 0.1
    assert first["p"] < 0.01
    assert {row["group"]["name"] for row in facts["comparisons"]} == {"", "A", "B"}
    assert all(row["p_holm"] is not None for row in facts["comparisons"] if row["group"] != EVERYTHING)
    accuracy = one(facts, "accuracy", OWN)["interval"]
    assert (accuracy["n"], accuracy["clusters"]) == (160, 39)
    assert one(facts, "accuracy", OWN, {"kind": "without duplicates", "name": ""})["interval"]["n"] == 158
    machines = [row["group"]["name"] for row in facts["scores"] if row["group"]["kind"] == "machine"]
    assert set(machines) == {"M0", "M1", "M2"}
    with Pil.open(png) as picture:
        assert picture.width > picture.height
    assert worked(fulora(*command)) == said


def test_labels_and_priors_are_chosen(tmp_path: Path) -> None:
    file = soft(tmp_path, "ours.csv", 1.0, 1)
    priors = ("--prior", "abdomen=1,brain=1", "--training-prior", "uniform")
    done = fulora(
        "score", "classification", file, "--labels", "brain,abdomen", *priors, "--draws", "100", "--json", "-"
    )
    facts = json.loads(worked(done))
    assert (facts["labels"], facts["images"], facts["left_out"]) == (["brain", "abdomen"], 80, 80)
    adjusted, among = (
        one(facts, "accuracy", rule)["interval"]["value"] for rule in ("prior-adjusted", "among the labels")
    )
    assert adjusted == among


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"labels": "brain,kidney"}, "--labels: kidney is not a class of"),
        ({"labels": "other"}, "--labels: no image of .* truly shows other"),
        ({"prior": "uniform"}, "--prior needs --training-prior"),
        ({"prior": "uniform", "training_prior": "kidney=3"}, "--training-prior: kidney is not a class; classes are"),
        ({"prior": "brain=x", "training_prior": "uniform"}, "--prior: 'brain=x' is not CLASS=NUMBER"),
        ({"prior": "brain=-1", "training_prior": "uniform"}, "--prior: {'brain': -1.0} must hold numbers of 0 or more"),
        ({"prior": "uniform", "training_prior": "brain=3"}, "training prior is .* each above 0"),
        ({"metrics": "kappa"}, "metrics: there is no 'kappa'; there are accuracy, "),
        ({"draws": 5}, "draws is 5; at least 100"),
        ({"against": Path("nothing.csv")}, r"nothing\.csv: file not found"),
    ],
)
def test_options_that_cannot_be_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        classification(soft(tmp_path, "ours.csv", 1.0, 1), **{"draws": 100} | options)


def test_a_bad_file_is_one_clear_message(tmp_path: Path) -> None:
    file = soft(tmp_path, "ours.csv", 1.0, 1)
    file.write_text(file.read_text().replace("i7,1,", "i7,,"))
    done = fulora("score", "classification", file)
    assert (done.returncode, done.stdout) == (2, "")
    said = f"fulora: {file}: patient is missing in 1 of 160 rows, such as line 9, row 8 (image 'i7'); give it, or leave"
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1


def test_help_has_examples_and_is_quick(tmp_path: Path) -> None:
    assert "fulora score classification predictions.csv" in worked(fulora("score", "classification", "--help"))
    assert "classification" in worked(fulora("score", "--help"))


@pytest.mark.slow
def test_metrics_are_chosen(tmp_path: Path) -> None:
    ours, other = soft(tmp_path, "ours.csv", 2.0, 1), soft(tmp_path, "other.csv", 1.0, 2)
    command = ("score", "classification", ours, "--against", other, "--metrics", "Cohen's kappa", "--draws", "100")
    facts = json.loads(worked(fulora(*command, "--json", "-")))
    assert {row["quantity"] for row in facts["comparisons"]} == {"Cohen's kappa"}
    assert one(facts, "Cohen's kappa", OWN)["interval"]["value"] > 0.5


# --- classes of one's own


def own(folder: Path, names: tuple[str, ...], bare: bool) -> Path:
    """Three images of each class by 10 patients of two sites, with probabilities that are right but for one class."""
    columns = [name if bare else f"probability_{name}" for name in names]
    rows = [",".join(("image_id", "patient", "site", "true", *columns))]
    for number in range(3 * len(names)):
        true = number % len(names)
        said = 0 if true == 1 else true
        given = ["0.9" if place == said else f"{0.1 / (len(names) - 1):.6f}" for place in range(len(names))]
        rows.append(",".join((f"i{number}", str(number % 10), "AB"[number % 2], names[true], *given)))
    (folder / "own.csv").write_text("\n".join(rows) + "\n")
    return folder / "own.csv"


@pytest.mark.parametrize(
    ("names", "bare"), [(("normal", "Zyste links"), True), (tuple(f"view {n:02}" for n in range(30)), False)]
)
def test_two_and_thirty_classes_of_ones_own(tmp_path: Path, names: tuple[str, ...], bare: bool) -> None:
    file = own(tmp_path, names, bare)
    facts = json.loads(worked(fulora("score", "classification", file, "--draws", "100", "--json", "-")))
    assert facts["classes"] == facts["labels"] == list(names)
    right = {name: counts[n] for n, (name, counts) in enumerate(zip(names, facts["confusion"]["counts"], strict=True))}
    assert right == {name: 0 if n == 1 else 3 for n, name in enumerate(names)}
    assert facts["notes"] == [f"{file}: classes are the names in the file: {', '.join(names)}"]


def test_a_label_set_of_ones_own_gives_order_and_names(tmp_path: Path) -> None:
    file = own(tmp_path, ("normal", "cyst"), bare=True)
    (tmp_path / "mine.yaml").write_text("name: mine\nclasses: [normal, cyst, mass]\n")
    facts = json.loads(
        worked(
            fulora("score", "classification", file, "--labels", tmp_path / "mine.yaml", "--draws", "100", "--json", "-")
        )
    )
    assert (facts["classes"], facts["labels"], facts["notes"]) == (["normal", "cyst"], ["normal", "cyst"], [])
    done = fulora("score", "classification", file, "--labels", "brain_planes")
    assert done.returncode == 2
    assert "nor probabilities, in columns named trans-thalamic, trans-cerebellum, trans-ventricular or" in done.stderr
