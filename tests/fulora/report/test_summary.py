"""The top of a page, its headline and key numbers, follows the intervals of the scores."""

from dataclasses import replace
from pathlib import Path

import pytest
from report_pages import LEAKS, Page, classification, images_of, page_of_parts, stored

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.results import LeakTable, Scores
from fulora.data.score import Score
from fulora.report.parts import GenerationPart, SegmentationPart

LABELS = LabelSet.derived(["one", "two"])


def score(quantity: str, arm: str, low: float | None, high: float | None, **more: object) -> Score:
    about = {"quantity": quantity, "arm": arm, "value": 0.05, "low": low, "high": high, "protocol": "transfer"}
    return Score.model_validate(about | {"n_images": 9, "n_patients": 3} | more)


CLOSER = {"protocol": "generation"}
UNSEEN = "on unseen patients: "
DECLARED = {
    ("accuracy", "higher", 0.01, 0.2): f"ARM did better than c, d {UNSEEN}accuracy changed by 0.050 [0.010, 0.200].",
    ("accuracy", "higher", -0.2, -0.01): f"ARM did worse than c, d {UNSEEN}accuracy changed by 0.050 [",
    ("accuracy", "higher", -0.1, 0.1): f"No evidence that ARM and c, d differ {UNSEEN}accuracy changed by 0.050 [",
    ("accuracy", "higher", None, None): f"No evidence that ARM and c, d differ {UNSEEN}accuracy changed by 0.0500.",
    ("log loss", "lower", 0.01, 0.2): f"ARM did worse than c, d {UNSEEN}log loss changed by 0.050 [",
    ("log loss", "lower", -0.2, -0.01): f"ARM did better than c, d {UNSEEN}log loss changed by 0.050 [",
}
GENERATED = {
    (0.01, 0.2): "Images of c, d are closer to the study population than those of ARM: MMD² of ARM minus that of c, d",
    (-0.2, -0.01): "Images of c, d are further from the study population than those of ARM: MMD² of ARM minus that",
    (0.0, 0.1): "No evidence that images of c, d are closer to the study population than those of ARM: MMD² of ARM",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Nine arms compared with `c, d`, six declared and three of generated sets, and scores that are not compared."""
    folder = tmp_path_factory.mktemp("page")
    own = {"rank": 1, "rule": "own decision"}
    rows = [score("accuracy", arm, 0.0, 0.1, **own) for arm in ("a - b 0", "c, d", "other")]
    rows.append(score("accuracy", "a - b 0", 0.0, 0.1, **own, group={"kind": "site", "name": "A"}))
    rows.append(score("macro F1", "a - b 0", 0.0, 0.1, rank=2, rule="own decision"))
    rows += [
        score(quantity, f"a - b {n}", low, high, **own, baseline="c, d", role="declared", better=better)
        for n, (quantity, better, low, high) in enumerate(DECLARED)
    ]
    closer = [score("MMD²", f"a - b {n}", *bounds, **CLOSER, baseline="c, d") for n, bounds in enumerate(GENERATED)]
    distance = score("MMD²", "LoRA", 0.0, 0.2, **CLOSER)
    part = classification(folder, LABELS, rows)
    generated = stored(folder / "closeness", Scores, [distance, *closer])
    images = GenerationPart(part.images, {"LoRA": images_of(folder / "LoRA", LABELS)}, generated)
    return page_of_parts(folder, images, part)


def test_the_headline_says_no_more_than_the_interval(page: Page) -> None:
    starts = [
        text.replace("ARM", f"a - b {n}") for texts in (DECLARED, GENERATED) for n, text in enumerate(texts.values())
    ]
    assert [sentence.startswith(start) for sentence, start in zip(page.summary, starts, strict=False)] == [True] * 9
    assert len(page.summary) == 10
    assert page.summary[-1] == "Of phantoms."


def test_key_numbers_are_what_was_declared_and_the_figures_behind_it(page: Page) -> None:
    assert [card[0] for card in page.cards] == [
        "Accuracy, a - b 0",
        "Accuracy, c, d",
        *(f"{'Accuracy' if n < 4 else 'Log loss'}, a - b {n} minus c, d" for n in range(6)),
        *(f"MMD², a - b {n} minus c, d" for n in range(3)),
    ]
    assert page.cards[-3][1:] == ["0.050", "[0.010, 0.200]", "9 images, 3 patients"]


def compared(arm: str, p_patients: float | None, p_seeds: float | None, *, role: str = "declared") -> Score:
    p = max((value for value in (p_patients, p_seeds) if value is not None), default=0.01)
    about = {"baseline": "real", "role": role, "better": "higher", "rank": 1, "rule": "own decision", "n_seeds": 3}
    return score("accuracy", arm, 0.01, 0.2, **about, p=p, p_patients=p_patients, p_seeds=p_seeds, test="sign flip")


REAL = score("accuracy", "real", 0.0, 0.1, rank=1, rule="own decision")
SAID = {
    (
        0.01,
        0.3,
    ): "Not settled whether hybrid and real differ on unseen patients: patients say yes (p = 0.0100), training "
    "seeds say no (p = 0.3000); accuracy changed by 0.050 [0.010, 0.200].",
    (0.3, 0.01): "Not settled whether hybrid and real differ on unseen patients: training seeds say yes (p = 0.0100), "
    "patients say no (p = 0.3000); accuracy changed by 0.050 [0.010, 0.200].",
    (0.01, 0.02): "hybrid did better than real on unseen patients: accuracy changed by 0.050 [0.010, 0.200].",
    (0.3, 0.4): "No evidence that hybrid and real differ on unseen patients: accuracy changed by 0.050 [0.010, 0.200].",
    (0.01, None): "hybrid did better than real on unseen patients: accuracy changed by 0.050 [0.010, 0.200].",
}


@pytest.mark.parametrize(("values", "sentence"), SAID.items())
def test_where_patients_and_seeds_disagree_both_are_said(
    tmp_path: Path, values: tuple[float | None, float | None], sentence: str
) -> None:
    page = page_of_parts(tmp_path, classification(tmp_path, LABELS, [REAL, compared("hybrid", *values)]))
    assert page.summary == [sentence, "Of phantoms."]


def test_the_summary_counts_further_comparisons_that_disagree(tmp_path: Path) -> None:
    rows = [REAL, compared("hybrid", 0.01, 0.02)]
    rows += [compared(f"arm {n}", 0.01, 0.3 if n else 0.02, role="exploratory") for n in range(6)]
    page = page_of_parts(tmp_path, classification(tmp_path, LABELS, rows))
    assert page.summary[1].startswith(
        "Patients and training seeds disagree in 5 of 6 further comparisons: arm 1 minus real: patients say yes"
    )
    assert page.summary[1].endswith("; and 2 more.")


def heads(folder: Path, arms: tuple[str, ...]) -> Page:
    rows = [
        score(quantity, arm, 0.0, 0.1, protocol=protocol, rank=rank, structure=structure, unit=unit)
        for arm in arms
        for quantity, protocol, rank, structure, unit in (
            ("Dice", "segmentation", 1, "head", "1"),
            ("Dice", "segmentation", 1, "all", "1"),
            ("failures", "segmentation", 2, "all", "1"),
            ("circumference absolute difference", "biometry", 6, "head", "mm"),
            ("circumference difference", "biometry", 7, "head", "mm"),
        )
    ]
    scores, leaks = stored(folder / "scores", Scores, rows), stored(folder / "leaks", LeakTable, LEAKS)
    return page_of_parts(folder / "page", SegmentationPart(ImageSet(folder, ""), {}, {}, scores, leaks))


def test_a_single_network_is_summarized_by_its_first_scores(tmp_path: Path) -> None:
    labels = [card[0] for card in heads(tmp_path / "one", ("U-Net",)).cards]
    assert labels == ["Dice (all), U-Net", "Circumference absolute difference, U-Net (mm)"]
    assert heads(tmp_path / "two", ("U-Net", "another")).cards == []


def test_a_class_without_training_images_is_a_warning(tmp_path: Path) -> None:
    part = classification(tmp_path, LABELS, [score("accuracy", "real", 0.0, 0.1, rank=1)])
    whole = page_of_parts(tmp_path / "whole", part)
    assert whole.warnings == []
    lacking = images_of(tmp_path / "lacking", LABELS, left_out=("two", "train"))
    page = page_of_parts(tmp_path / "page", replace(part, images=lacking, training={"own": lacking}))
    (warning,) = page.warnings
    assert warning.startswith("Training (own) has no image of the class 'two' and the test set has 1")
