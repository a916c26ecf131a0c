"""The section on classification: scores by arm, arms compared, sites, planes, machines, and the curve over ratios."""

from collections.abc import Mapping, Sequence

import numpy as np

from fulora.data.labels import PLANES
from fulora.data.overlap import Overlap
from fulora.data.results import Prediction, Score
from fulora.report.curves import plot_sweep
from fulora.report.figures import plot_confusion, plot_intervals
from fulora.report.page import Figure, Section, file_word
from fulora.report.tables import MISSING, Table, raw_lines, readable, rounded, score_table

Sweeps = Mapping[str, Mapping[str, Mapping[str, float]]]
"""What was varied; by curve; the place of each arm."""
LEVEL = "Brackets hold 95 % intervals; patients, not images, are resampled, within sites."
OVERALL = (
    "accuracy",
    "balanced accuracy (macro recall)",
    "macro F1",
    "macro one-vs-rest AUC",
    "expected calibration error",
)
TEXT = (
    "Protocols: prompt is a CLIP asked by text alone; transfer a classifier trained on one population and tested on "
    "another; adapted a CLIP tuned on one population, then asked on another; fewshot has seen a few patients of the "
    "population tested on. All classifiers have the same architecture and as many optimiser steps."
)


def classification_section(
    predictions: Mapping[str, Sequence[Sequence[Prediction]]],
    scores: Sequence[Score],
    sweeps: Sweeps,
    leaks: Sequence[Overlap],
) -> Section:
    """Scores of every arm, and of arms against their baseline.

    Args:
        predictions: by arm, one a training seed.
        sweeps: what was varied, by curve, and the place of each arm on it.
        leaks: what every training input shares with the test set.
    """
    arms = [score for score in scores if not score.role]
    compared = [score for score in scores if score.role]
    tables = [_overall(arms), *_contrast_tables(compared)]
    tables += [
        *_rules(arms),
        _of_groups(arms, "site ", "accuracy", "Accuracy by site"),
        _of_groups(arms, "plane ", "recall", "Recall by plane"),
        *_machines(arms),
        *_once(arms),
        *_seeds(predictions),
        _leak_table(leaks),
    ]
    return Section(
        "Does synthetic data help on people never seen?",
        (TEXT, *_said(compared)),
        tuple(tables),
        tuple(_figures(arms, compared, predictions, sweeps)),
    )


def _overall(arms: Sequence[Score]) -> Table:
    shown = [score for score in arms if score.group == "all" and score.name in OVERALL]
    table = score_table(shown, "Classification of the unseen population", LEVEL)
    return Table(table.title, table.caption, table.header, table.rows, table.notes, raw_lines(arms))


def _contrast_tables(compared: Sequence[Score]) -> list[Table]:
    """One line a comparison, the declared one first; and the declared one by site."""
    if not compared:
        return []
    header = ("Comparison", "Accuracy", "p", "p (Holm)", "Macro F1", "p", "AUC", "p", "Images", "Patients", "Seeds")
    everywhere = [score for score in compared if score.group == "all"]
    rows = []
    for arm in dict.fromkeys(score.arm for score in everywhere):
        found = {score.name.split(", ", 1)[0]: score for score in everywhere if score.arm == arm}
        first = found["accuracy"]
        f1, auc = found.get("macro F1"), found.get("macro one-vs-rest AUC")
        mark = " (declared)" if first.role == "declared" else ""
        rows.append(
            (
                f"{arm.replace(' - ', ' minus ')}{mark}",
                *(_cell(first), _p(first.p), _p(first.p_holm)),
                *(_cell(f1), _p_of(f1), _cell(auc), _p_of(auc)),
                *(str(count) for count in (first.n_images, first.n_patients, first.n_seeds)),
            )
        )
    notes = tuple(
        f"{score.arm.replace(' - ', ' minus ')}: {score.note}" for score in everywhere if "accuracy" in score.name
    )
    caption = (
        f"Differences of scores on the same images. {LEVEL} p of accuracy is the larger of one over patients and one "
        "over training seeds, where there are three or more; those of F1 and AUC take the training seeds as given."
    )
    tables = [Table("Arms compared", caption, header, tuple(rows), notes, raw_lines(compared))]
    sites = [score for score in compared if score.group != "all"]
    if sites:
        lines = tuple(
            (
                score.group.removeprefix("site "),
                *(_cell(score), _p(score.p), _p(score.p_holm)),
                *(str(score.n_images), str(score.n_patients)),
            )
            for score in sites
        )
        names = ("Site", "Accuracy", "p", "p (Holm)", "Images", "Patients")
        arm = sites[0].arm.replace(" - ", " minus ")
        tables.append(Table(f"By site: {arm}", f"{LEVEL} Holm over sites.", names, lines, (), raw_lines(sites)))
    return tables


def _rules(arms: Sequence[Score]) -> list[Table]:
    chosen = [score for score in arms if score.group == "all" and score.name.startswith(("accuracy", "rate of"))]
    caption = f"The same probabilities, decided in other ways. {LEVEL}"
    return [_pivot(chosen, "Decision rules", caption, by="name")] if len({s.name for s in chosen}) > 1 else []


def _of_groups(arms: Sequence[Score], prefix: str, name: str, title: str) -> Table:
    chosen = [score for score in arms if score.group.startswith(prefix) and score.name == name]
    return _pivot(chosen, title, LEVEL, by="group")


def _machines(arms: Sequence[Score]) -> list[Table]:
    known = any(score.group.startswith("machine ") for score in arms)
    return [_of_groups(arms, "machine ", "accuracy", "Accuracy by machine")] if known else []


def _pivot(scores: Sequence[Score], title: str, caption: str, *, by: str) -> Table:
    """One line an arm, one column for each score's name or group; cells of an arm tested on other images say so."""
    columns = list(dict.fromkeys(getattr(score, by) for score in scores))
    counts = {getattr(score, by): (score.n_images, score.n_patients) for score in reversed(scores)}
    cells = {}
    for score in scores:
        column = getattr(score, by)
        other = "" if (score.n_images, score.n_patients) == counts[column] else f" (n = {score.n_images})"
        cells[score.arm, column] = _cell(score) + other
    rows = [
        (arm, *(cells.get((arm, column), MISSING) for column in columns))
        for arm in dict.fromkeys(score.arm for score in scores)
    ]
    said = [
        f"{readable(column)} (n = {counts[column][0]}, {counts[column][1]} patients)"
        if by == "group"
        else readable(column)
        for column in columns
    ]
    return Table(title, caption, ("Arm", *said), tuple(rows), (), raw_lines(scores))


def _once(arms: Sequence[Score]) -> list[Table]:
    chosen = [score for score in arms if score.group.startswith("without pictures") and score.name == "accuracy"]
    caption = "Accuracy without the images whose very pixels also stand in another row."
    return [score_table(chosen, "Pictures that stand twice", caption)] if chosen else []


def _seeds(predictions: Mapping[str, Sequence[Sequence[Prediction]]]) -> list[Table]:
    """Accuracy of each training seed, where an arm has several."""
    most = max((len(seeds) for seeds in predictions.values()), default=0)
    if most < 2:
        return []
    right = {
        arm: [np.mean([PLANES[int(np.argmax(row.probabilities))] == row.plane for row in rows]) for rows in seeds]
        for arm, seeds in predictions.items()
    }
    lines = tuple(
        (arm, *(f"{value:.3f}" for value in values), *[MISSING] * (most - len(values)), f"{np.std(values, ddof=1):.3f}")
        for arm, values in right.items()
        if len(values) > 1
    )
    header = ("Arm", *(f"Seed {number}" for number in range(1, most + 1)), "SD")
    return [
        Table(
            "Accuracy by training seed", "The same images, the same arms; what chance in training does.", header, lines
        )
    ]


def _leak_table(leaks: Sequence[Overlap]) -> Table:
    """How much each training input holds, and how much of the test set was in it."""
    rows = tuple(
        (row.trained_on, str(row.images), str(row.patients), str(len(row.shared_images)), str(len(row.shared_patients)))
        if row.known
        else (row.trained_on, *["unknown"] * 4)
        for row in leaks
    )
    header = ("Trained on it", "Images", "Patients", "Test images among them", "Test patients among them")
    caption = "A study with an overlap is refused. Nobody here knows what weights from outside were trained on."
    return Table("Leak gate", caption, header, rows)


def _figures(
    arms: Sequence[Score],
    compared: Sequence[Score],
    predictions: Mapping[str, Sequence[Sequence[Prediction]]],
    sweeps: Sweeps,
) -> list[Figure]:
    accuracy = [score for score in arms if score.name == "accuracy" and score.group == "all"]
    figures = [Figure("accuracy", _intervals(accuracy, "accuracy"), "Accuracy on the unseen population, by arm.")]
    gains = [score for score in compared if score.name.startswith("accuracy, ") and score.group == "all"]
    if gains:
        plot = _intervals(gains, "difference of accuracy", baseline=0.0)
        figures.append(Figure("gains", plot, "Each arm minus its baseline on the same images; the declared one first."))
    figures += _swept({score.arm: score for score in accuracy}, sweeps)
    shown = _arms_of_the_contrast(compared) | {s.arm for s in accuracy if s.protocol != "transfer"}
    for arm in [arm for arm in predictions if arm in shown or not compared]:
        figures.append(_confusion(arm, predictions[arm]))
    return figures


def _swept(accuracy: Mapping[str, Score], sweeps: Sweeps) -> list[Figure]:
    """A figure for everything that was varied over three arms or more."""
    figures = []
    for label, curves in sweeps.items():
        if max((len(arms) for arms in curves.values()), default=0) > 2:
            points = {
                name: sorted(
                    (at, accuracy[arm].value, accuracy[arm].low, accuracy[arm].high) for arm, at in arms.items()
                )
                for name, arms in curves.items()
            }
            plot = plot_sweep(points, label, "accuracy")
            figures.append(Figure(f"sweep-{label.replace(' ', '-')}", plot, f"Accuracy over {label}, with intervals."))
    return figures


def _arms_of_the_contrast(compared: Sequence[Score]) -> set[str]:
    return {arm for score in compared if score.role == "declared" for arm in score.arm.split(" - ", 1)}


def _intervals(scores: Sequence[Score], quantity: str, baseline: float | None = None) -> bytes:
    return plot_intervals(
        [score.arm.replace(" - ", " minus ") for score in scores], [score.value for score in scores],
        [score.low for score in scores], [score.high for score in scores], quantity=quantity, baseline=baseline,
    )  # fmt: skip


def _confusion(arm: str, seeds: Sequence[Sequence[Prediction]]) -> Figure:
    matrix = np.zeros((len(PLANES), len(PLANES)), dtype=np.int64)
    for row in (row for rows in seeds for row in rows):
        matrix[PLANES.index(row.plane), int(np.argmax(row.probabilities))] += 1
    note = f"{arm}: rows are true planes, columns decisions; counts over {len(seeds)} seeds."
    slug = file_word(arm)
    return Figure(f"confusion-{slug}", plot_confusion(matrix, list(PLANES), arm), note)


def _said(compared: Sequence[Score]) -> list[str]:
    """One sentence a comparison of accuracy, which says no more than its interval and p do."""
    sentences = []
    for score in compared:
        if not score.name.startswith("accuracy, ") or score.group != "all":
            continue
        value, interval = rounded(score.value, score.low, score.high)
        p = score.p if score.p_holm is None else score.p_holm
        by = "" if p is None else f", {'p' if score.p_holm is None else 'p by Holm'} = {p:.4f}"
        arm, baseline = score.arm.split(" - ", 1)
        sentences.append(f"{arm} minus {baseline} ({score.role}): {value} {interval}{by}; {_verdict(score, p)}.")
    return sentences


def _verdict(score: Score, p: float | None) -> str:
    """What interval and test together allow to say."""
    excludes = score.low is not None and score.high is not None and (score.low > 0 or score.high < 0)
    if excludes and p is not None and p < 0.05:
        return "better" if score.value > 0 else "worse"
    return "no evidence of a difference"


def _cell(score: Score | None) -> str:
    return MISSING if score is None else " ".join(filter(None, rounded(score.value, score.low, score.high)))


def _p(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _p_of(score: Score | None) -> str:
    return MISSING if score is None else _p(score.p)
