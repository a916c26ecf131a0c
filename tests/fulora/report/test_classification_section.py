"""The section on classification says what the scores hold, and no more."""

import pytest

from fulora.data.label_set import label_set
from fulora.data.leak_check import Overlap
from fulora.data.results import Prediction
from fulora.data.score import Role, Score
from fulora.report.classification import classification_section
from fulora.report.page import Section
from fulora.report.wording import verdict

LEAKS = (Overlap(trained_on="LoRA", images=9, patients=4), Overlap(trained_on="SD", images=None, patients=None))


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


def section() -> Section:
    scores = scores_of(ARMS)
    scores += gain("hybrid", "real", 0.2, 0.01, "declared")
    scores += gain("copies", "real", 0.0, 0.9, "exploratory", 1.0)
    scores.append(score("accuracy", "hybrid", 0.2, "site", "A", baseline="real", role="exploratory", p=0.02, rank=1))
    row = Prediction(image_id="i", patient_key="p", site="A", plane="brain", probabilities=(0.2,) * 5)
    predictions = {arm: [[row], [row]] for arm in ARMS}
    return classification_section(
        predictions,
        FETAL,
        scores,
        {"ratio": {"hybrid": {"real": 0, "hybrid, ratio 1": 1, "hybrid": 3}}, "few": {"a": {"real": 1, "hybrid": 2}}},
        LEAKS,
    )


@pytest.fixture(scope="module")
def made() -> Section:
    return section()


def test_every_kind_of_score_has_its_table(made: Section) -> None:
    assert [table.title for table in made.tables] == [
        "Classification of the unseen population",
        "Arms compared",
        "By site: hybrid minus real",
        "Decision rules",
        "Accuracy by site",
        "Recall by class",
        "Accuracy by machine",
        "Pictures that stand twice",
        "Accuracy by training seed",
        "Leak gate",
    ]


def test_comparisons_have_p_values_the_declared_one_first(made: Section) -> None:
    declared, other = made.tables[1].rows
    assert made.tables[1].header[:7] == (
        "Comparison",
        "Accuracy",
        "p",
        "p (Holm)",
        "Macro F1",
        "p",
        "Macro one-vs-rest AUC",
    )
    assert declared[:4] == ("hybrid minus real (declared)", "0.200 [0.100, 0.300]", "0.0100", "–")
    assert other[:4] == ("copies minus real", "0.000 [−0.100, 0.100]", "0.9000", "1.0000")


def test_the_text_says_what_interval_and_test_allow(made: Section) -> None:
    assert made.text[1:] == (
        "Accuracy of hybrid minus real (declared): 0.200 [0.100, 0.300], p = 0.0100; better.",
        "Accuracy of copies minus real (exploratory): 0.000 [−0.100, 0.100], p by Holm = 1.0000; "
        "no evidence of a difference.",
    )


def test_a_significant_test_without_an_interval_beyond_zero_is_no_evidence() -> None:
    rows = [*scores_of({"real": 0.5, "hybrid": 0.5}), *gain("hybrid", "real", 0.05, 0.001, "declared")]
    text = classification_section({}, FETAL, rows, {}, LEAKS).text
    assert text[1].endswith("(declared): 0.050 [−0.050, 0.150], p = 0.0010; no evidence of a difference.")


def test_of_a_metric_where_less_is_better_less_is_better() -> None:
    rows = [
        score("log loss", "hybrid", -0.5, baseline="real", rank=1, p=0.001, role="declared", better=better)
        for better in ("lower", "higher", "")
    ]
    assert [verdict(row) for row in rows] == ["better", "worse", "lower"]


def test_the_tables_follow_the_first_metric_of_the_study() -> None:
    rows = [
        score("Cohen's kappa", arm, 0.5, kind, name, rank=1)
        for arm in ("real", "hybrid")
        for kind, name in (("all", ""), ("site", "A"))
    ]
    rows += [score("accuracy", "real", 0.9), score("Cohen's kappa", "hybrid", 0.2, baseline="real", rank=1, p=0.5)]
    made = classification_section({}, FETAL, rows, {}, LEAKS)
    assert [table.title for table in made.tables] == [
        "Classification of the unseen population",
        "Arms compared",
        "Cohen's kappa by site",
        "Leak gate",
    ]
    assert made.tables[0].header[1] == "Cohen's kappa"
    assert made.tables[1].header[1] == "Cohen's kappa"


def test_every_seed_has_its_accuracy(made: Section) -> None:
    (table,) = [table for table in made.tables if table.title == "Accuracy by training seed"]
    assert table.header == ("Arm", "Seed 1", "Seed 2", "SD")
    assert table.rows[0] == ("real", "0.000", "0.000", "0.000")


def test_the_leak_gate_says_what_is_not_known(made: Section) -> None:
    assert made.tables[-1].rows == (("LoRA", "9", "4", "0", "0"), ("SD", *["unknown"] * 4))


def test_figures_show_gains_the_sweep_and_the_arms_of_the_declared_comparison(made: Section) -> None:
    assert [figure.name for figure in made.figures] == [
        "arms",
        "gains",
        "sweep-ratio",
        "confusion-real",
        "confusion-hybrid",
    ]
