"""The section on classification says what the scores hold, and no more: whole pages, read as a reader does."""

from pathlib import Path

import pytest
from report_pages import Page, classification, page_of_parts, stored

from fulora.data.label_set import label_set
from fulora.data.results import Prediction, Predictions
from fulora.data.score import Role, Score

TITLE = "Does synthetic data help on patients not seen in training?"
FETAL = label_set("fetal_planes")


def score(quantity: str, arm: str, value: float, kind: str = "all", name: str = "", **more: object) -> Score:
    about = {"low": value - 0.1, "high": value + 0.1, "protocol": "transfer", "n_images": 20, "n_patients": 7}
    said = {"quantity": quantity, "arm": arm, "value": value, "group": {"kind": kind, "name": name}}
    return Score.model_validate(about | {"rule": "own decision", "choices": 5} | said | more)


def gain(arm: str, baseline: str, value: float, p: float, role: Role, p_holm: float | None = None) -> list[Score]:
    names = ("accuracy", "macro F1", "macro one-vs-rest AUC")
    return [
        score(
            name,
            arm,
            value,
            baseline=baseline,
            role=role if rank == 1 else "exploratory",
            p=p,
            rank=rank,
            better="higher",
            p_holm=p_holm if rank == 1 else None,
            n_holm=p_holm and 1,
        )
        for rank, name in enumerate(names, start=1)
    ]


def scores_of(arms: dict[str, float]) -> list[Score]:
    return [
        one
        for arm, value in arms.items()
        for one in (
            score("accuracy", arm, value, rank=1),
            score("accuracy", arm, value, rank=1, rule="among the labels", choices=4),
            score("accuracy", arm, value, "site", "A", rank=1),
            score("recall", arm, value, "class", "brain"),
            score("accuracy", arm, value, "machine", "old", rank=1),
            score("accuracy", arm, value, "without duplicates", rank=1),
            score("weighted F1", arm, value),
        )
    ]


ARMS = {"real": 0.5, "hybrid, ratio 1": 0.55, "hybrid": 0.7, "copies": 0.5}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("page")
    scores = scores_of(ARMS)
    scores += gain("hybrid", "real", 0.2, 0.01, "declared")
    scores += gain("copies", "real", 0.0, 0.9, "exploratory", 1.0)
    scores.append(score("accuracy", "hybrid", 0.2, "site", "A", baseline="real", role="exploratory", p=0.02, rank=1))
    row = Prediction(image_id="i", patient_key="p", site="A", plane="brain", probabilities=(0.2,) * 5)
    seed = stored(folder / "predictions", Predictions, [row])
    sweeps = {
        "ratio": {"hybrid": {"real": 0.0, "hybrid, ratio 1": 1.0, "hybrid": 3.0}},
        "few": {"a": {"real": 1.0, "hybrid": 2.0}},
    }
    part = classification(folder, FETAL, scores, {arm: [seed, seed] for arm in ARMS}, sweeps)
    return page_of_parts(folder, part)


def page_of(folder: Path, scores: list[Score]) -> Page:
    return page_of_parts(folder, classification(folder, FETAL, scores))


def test_every_kind_of_score_has_its_table(page: Page) -> None:
    assert list(page.tables) == [
        "Images and patients",
        "Classification of the unseen population",
        "Arms compared",
        "By site: hybrid minus real",
        "Accuracy by site",
        "Recall by class",
        "Leak check",
        "Decision rules",
        "Accuracy by machine",
        "Without duplicate images",
        "Accuracy by training seed",
        "Provenance",
    ]


def test_comparisons_have_p_values_the_declared_one_first(page: Page) -> None:
    header, declared, other = page.tables["Arms compared"]
    assert header[:7] == ["Comparison", "Accuracy", "p", "p (Holm)", "Macro F1", "p", "Macro one-vs-rest AUC"]
    assert declared[:4] == ["hybrid minus real (declared)", "0.200 [0.100, 0.300]", "0.0100", "–"]
    assert other[:4] == ["copies minus real", "0.000 [−0.100, 0.100]", "0.9000", "1.0000"]
    assert page.notes["Arms compared"][1] == "copies minus real: exploratory; p adjusted by Holm over 1 comparison"


def test_the_text_says_what_interval_and_test_allow(page: Page) -> None:
    assert page.sections[TITLE][1:] == [
        "Accuracy of hybrid minus real (declared): 0.200 [0.100, 0.300], p = 0.0100; better.",
        "Accuracy of copies minus real (exploratory): 0.000 [−0.100, 0.100], p by Holm = 1.0000; "
        "no evidence of a difference.",
    ]


def test_a_significant_test_without_an_interval_beyond_zero_is_no_evidence(tmp_path: Path) -> None:
    rows = [*scores_of({"real": 0.5, "hybrid": 0.5}), *gain("hybrid", "real", 0.05, 0.001, "declared")]
    (sentence,) = page_of(tmp_path, rows).sections[TITLE][1:]
    assert sentence.endswith("(declared): 0.050 [−0.050, 0.150], p = 0.0010; no evidence of a difference.")


def test_of_a_metric_where_less_is_better_less_is_better(tmp_path: Path) -> None:
    rows = [score("log loss", "real", 0.5, rank=1)]
    rows += [
        score("log loss", arm, -0.5, baseline="real", rank=1, p=0.001, role="declared", better=better)
        for arm, better in (("a", "lower"), ("b", "higher"), ("c", ""))
    ]
    sentences = page_of(tmp_path, rows).sections[TITLE][1:]
    assert [sentence.rpartition("; ")[2] for sentence in sentences] == ["better.", "worse.", "lower."]


def test_the_tables_follow_the_first_metric_of_the_study(tmp_path: Path) -> None:
    rows = [
        score("Cohen's kappa", arm, 0.5, kind, name, rank=1)
        for arm in ("real", "hybrid")
        for kind, name in (("all", ""), ("site", "A"))
    ]
    rows += [score("accuracy", "real", 0.9), score("Cohen's kappa", "hybrid", 0.2, baseline="real", rank=1, p=0.5)]
    page = page_of(tmp_path, rows)
    titles = [
        "Images and patients",
        "Classification of the unseen population",
        "Arms compared",
        "Cohen's kappa by site",
        "Leak check",
    ]
    assert list(page.tables)[:-1] == titles
    assert page.tables[titles[1]][0][1] == page.tables[titles[2]][0][1] == "Cohen's kappa"
    in_csv = page.csv("classification-of-the-unseen-population")
    assert "accuracy" in {line["quantity"] for line in in_csv}


def test_every_seed_has_its_accuracy(page: Page) -> None:
    header, first, *_ = page.tables["Accuracy by training seed"]
    assert header == ["Arm", "Seed 1", "Seed 2", "SD"]
    assert first == ["real", "0.000", "0.000", "0.000"]


def test_the_leak_check_names_unknown_training_data(page: Page) -> None:
    assert page.tables["Leak check"][1:] == [["LoRA", "9", "4", "0", "0"], ["SD", *["not known"] * 4]]


def test_figures_show_gains_the_sweep_and_the_arms_of_the_declared_comparison(page: Page) -> None:
    assert list(page.figures) == ["primary", "arms", "gains", "sweep-ratio", "confusion-real", "confusion-hybrid"]
