"""The section on classification says what the scores hold, and no more."""

import pytest

from fulora.data.labels import PLANES
from fulora.data.overlap import Overlap
from fulora.data.results import Prediction, Role, Score
from fulora.report.classification import classification_section
from fulora.report.page import Section

LEAKS = (Overlap(trained_on="LoRA", images=9, patients=4), Overlap(trained_on="SD", images=None, patients=None))


def score(name: str, arm: str, value: float, group: str = "all", **more: object) -> Score:
    about = {"low": value - 0.1, "high": value + 0.1, "protocol": "transfer", "n_images": 20, "n_patients": 7}
    return Score.model_validate(about | {"name": name, "arm": arm, "value": value, "group": group} | more)


def gain(arm: str, value: float, p: float, role: Role, p_holm: float | None = None) -> list[Score]:
    names = ("accuracy", "macro F1", "macro one-vs-rest AUC")
    said = arm.replace(" - ", " minus ")
    return [score(f"{name}, {said}", arm, value, role=role, p=p, p_holm=p_holm, note="how") for name in names]


ARMS = {"real": 0.5, "hybrid, ratio 1": 0.55, "hybrid": 0.7, "copies": 0.5}


def section() -> Section:
    scores = [
        one
        for arm, value in ARMS.items()
        for one in (
            score("accuracy", arm, value),
            score("accuracy, 4-way, among the labels", arm, value),
            score("accuracy", arm, value, "site A"),
            score("recall", arm, value, "plane brain"),
            score("accuracy", arm, value, "machine old"),
            score("accuracy", arm, value, "without pictures that stand twice"),
        )
    ]
    scores += gain("hybrid - real", 0.2, 0.01, "declared")
    scores += gain("copies - real", 0.0, 0.9, "exploratory", 1.0)
    scores.append(score("accuracy, hybrid minus real", "hybrid - real", 0.2, "site A", role="exploratory", p=0.02))
    row = Prediction(image_id="i", patient_key="p", site="A", plane="brain", probabilities=(0.2,) * len(PLANES))
    predictions = {arm: [[row], [row]] for arm in ARMS}
    return classification_section(
        predictions,
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
        "Recall by plane",
        "Accuracy by machine",
        "Pictures that stand twice",
        "Accuracy by training seed",
        "Leak gate",
    ]


def test_comparisons_have_p_values_the_declared_one_first(made: Section) -> None:
    declared, other = made.tables[1].rows
    assert declared[:4] == ("hybrid minus real (declared)", "0.200 [0.100, 0.300]", "0.0100", "–")
    assert other[:4] == ("copies minus real", "0.000 [−0.100, 0.100]", "0.9000", "1.0000")


def test_the_text_says_what_interval_and_test_allow(made: Section) -> None:
    assert made.text[1:] == (
        "hybrid minus real (declared): 0.200 [0.100, 0.300], p = 0.0100; better.",
        "copies minus real (exploratory): 0.000 [−0.100, 0.100], p by Holm = 1.0000; no evidence of a difference.",
    )


def test_a_significant_test_without_an_interval_beyond_zero_is_no_evidence() -> None:
    rows = gain("hybrid - real", 0.05, 0.001, "declared")
    arms = [score("accuracy", arm, 0.5, group) for arm in ("real", "hybrid") for group in ("all", "site A")]
    recalls = [score("recall", arm, 0.5, "plane brain") for arm in ("real", "hybrid")]
    text = classification_section({}, [*arms, *recalls, *rows], {}, LEAKS).text
    assert text[1] == "hybrid minus real (declared): 0.050 [−0.050, 0.150], p = 0.0010; no evidence of a difference."


def test_every_seed_has_its_accuracy(made: Section) -> None:
    (table,) = [table for table in made.tables if table.title == "Accuracy by training seed"]
    assert table.header == ("Arm", "Seed 1", "Seed 2", "SD")
    assert table.rows[0] == ("real", "0.000", "0.000", "0.000")


def test_the_leak_gate_says_what_is_not_known(made: Section) -> None:
    assert made.tables[-1].rows == (("LoRA", "9", "4", "0", "0"), ("SD", *["unknown"] * 4))


def test_figures_show_gains_the_sweep_and_the_arms_of_the_contrast(made: Section) -> None:
    assert [figure.name for figure in made.figures] == [
        "accuracy",
        "gains",
        "sweep-ratio",
        "confusion-real",
        "confusion-hybrid",
    ]
