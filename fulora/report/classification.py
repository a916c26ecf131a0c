"""The section on classification: scores by arm, arms compared, sites, classes, machines, and curves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fulora.data.label_set import LabelSet
from fulora.data.leak_check import Overlap
from fulora.data.results import Prediction
from fulora.data.score import Score
from fulora.metrics.groups import ALL_IMAGES, GroupKind
from fulora.report.comparisons import comparison_sentences, comparison_tables, plot_arms
from fulora.report.confusion import plot_confusion
from fulora.report.curves import plot_sweep
from fulora.report.leaks import leak_table
from fulora.report.numbers import MISSING
from fulora.report.page import Figure, Section, file_words
from fulora.report.tables import Table, raw_lines, score_table
from fulora.report.wording import quantity_words, readable, value_words

Sweeps = Mapping[str, Mapping[str, Mapping[str, float]]]
"""What was varied; by curve; the place of each arm."""
Predicted = Mapping[str, Sequence[Sequence[Prediction]]]
"""By arm, the predictions of each training seed."""
LEVEL = "Brackets hold 95 % intervals; patients, not images, are resampled, within sites."
WIDEST = 12
"""Most groups that stand in columns; of more, arms do."""
TEXT = (
    "Protocols: prompt is a CLIP asked by text alone; transfer a classifier trained on one population and tested on "
    "another; adapted a CLIP tuned on one population, then asked on another; fewshot has seen a few patients of the "
    "population tested on. All classifiers have the same architecture and as many optimiser steps."
)


def classification_section(
    predictions: Predicted, labels: LabelSet, scores: Sequence[Score], sweeps: Sweeps, leaks: Sequence[Overlap]
) -> Section:
    """Scores of every arm, and of arms against their baseline.

    Args:
        predictions: by arm, one a training seed.
        labels: the classes that they know.
        sweeps: what was varied, by curve, and the place of each arm on it.
        leaks: what every training input shares with the test set.
    """
    arms = [score for score in scores if not score.baseline]
    compared = [score for score in scores if score.baseline]
    first = [score for score in arms if score.rank == 1]
    own = [score for score in first if score.rule not in ("among the labels", "prior-adjusted")]
    tables = [
        _overall(arms),
        *comparison_tables(compared, "Arms compared", LEVEL),
        *_rules(arms),
        *_of_groups(own, "site"),
        *_of_groups([score for score in arms if score.quantity == "recall"], "class"),
        *_of_groups(own, "machine"),
        *_once(own),
        *_seeds(predictions, labels),
        leak_table(leaks),
    ]
    return Section(
        "Does synthetic data help on people never seen?",
        (TEXT, *comparison_sentences(compared)),
        tuple(tables),
        tuple(_figures(own, compared, predictions, labels, sweeps)),
    )


def _overall(arms: Sequence[Score]) -> Table:
    chosen = [
        score
        for score in arms
        if score.rank and score.group == ALL_IMAGES and score.rule not in ("among the labels", "prior-adjusted")
    ]
    ordered = sorted(chosen, key=lambda score: score.rank)
    table = score_table(_by_arm(ordered), "Classification of the unseen population", LEVEL)
    return replace(table, raw=raw_lines(arms))


def _by_arm(scores: Sequence[Score]) -> list[Score]:
    return [score for arm in dict.fromkeys(s.arm for s in scores) for score in scores if score.arm == arm]


def _rules(arms: Sequence[Score]) -> list[Table]:
    """The first metric, and how often the negative class is decided for, by every rule; none where there is one."""
    decided = [score for score in arms if score.group == ALL_IMAGES and score.choices is not None]
    chosen = [score for score in decided if score.rank == 1 or score.quantity == "rate of deciding the negative class"]
    if len({score.rule for score in chosen}) < 2 and len({score.quantity for score in chosen}) < 2:
        return []
    caption = f"The same probabilities, decided in other ways. {LEVEL}"
    return [_pivot(chosen, [readable(quantity_words(score)) for score in chosen], "Decision rules", caption)]


def _of_groups(scores: Sequence[Score], kind: GroupKind) -> list[Table]:
    """One quantity of every site, class or machine."""
    chosen = [score for score in scores if score.group.kind == kind]
    if not chosen:
        return []
    title = f"{readable(quantity_words(chosen[0]))} by {kind}"
    return [_pivot(chosen, [score.group.name for score in chosen], title, LEVEL, counts=True)]


def _pivot(scores: Sequence[Score], names: Sequence[str], title: str, caption: str, *, counts: bool = False) -> Table:
    """One line an arm, one column a name (the other way round of many names).

    Args:
        names: of each score, the name of its column.
        counts: columns say how many images they are of; cells of an arm tested on other images say so themselves.
    """
    columns = list(dict.fromkeys(names))
    of = {
        name: (score.n_images, score.n_patients) for score, name in zip(reversed(scores), reversed(names), strict=True)
    }
    cells = {}
    for score, name in zip(scores, names, strict=True):
        other = "" if (score.n_images, score.n_patients) == of[name] else f" (n = {score.n_images})"
        cells[score.arm, name] = value_words(score) + other
    said = [f"{name} (n = {of[name][0]}, {of[name][1]} patients)" if counts else name for name in columns]
    arms = list(dict.fromkeys(score.arm for score in scores))
    if len(columns) > WIDEST and len(arms) <= WIDEST:
        lines = [
            (text, *(cells.get((arm, name), MISSING) for arm in arms)) for text, name in zip(said, columns, strict=True)
        ]
        return Table(title, caption, ("", *arms), tuple(lines), (), raw_lines(scores))
    rows = [(arm, *(cells.get((arm, name), MISSING) for name in columns)) for arm in arms]
    return Table(title, caption, ("Arm", *said), tuple(rows), (), raw_lines(scores))


def _once(scores: Sequence[Score]) -> list[Table]:
    chosen = [score for score in scores if score.group.kind == "without duplicates"]
    caption = "Without the images whose very pixels also stand in another row."
    return [score_table(chosen, "Pictures that stand twice", caption)] if chosen else []


def _seeds(predictions: Predicted, labels: LabelSet) -> list[Table]:
    """Accuracy of each training seed, where an arm has several."""
    most = max((len(seeds) for seeds in predictions.values()), default=0)
    if most < 2:
        return []
    right = {
        arm: [np.mean([labels.names[int(np.argmax(row.probabilities))] == row.plane for row in rows]) for rows in seeds]
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


def _figures(
    first: Sequence[Score], compared: Sequence[Score], predictions: Predicted, labels: LabelSet, sweeps: Sweeps
) -> list[Figure]:
    shown = [score for score in first if score.group == ALL_IMAGES]
    figures, name = [], readable(quantity_words(shown[0])) if shown else ""
    if shown:
        figures.append(Figure("arms", plot_arms(shown), f"{name} on the unseen population, by arm."))
    gains = [score for score in compared if score.rank == 1 and score.group == ALL_IMAGES]
    if gains:
        caption = "Each arm minus its baseline on the same images; the declared one first."
        figures.append(Figure("gains", plot_arms(gains), caption))
    figures += _swept({score.arm: score for score in shown}, sweeps)
    told = {arm for score in compared if score.role == "declared" for arm in (score.arm, score.baseline)}
    told |= {score.arm for score in shown if score.protocol != "transfer"}
    words = file_words(predictions)
    for arm in [arm for arm in predictions if arm in told or not compared]:
        figures.append(_confusion(arm, words[arm], predictions[arm], labels))
    return figures


def _swept(shown: Mapping[str, Score], sweeps: Sweeps) -> list[Figure]:
    """A figure for everything that was varied over three arms or more."""
    figures, words = [], file_words(sweeps)
    for label, curves in sweeps.items():
        if max((len(arms) for arms in curves.values()), default=0) > 2:
            points = {
                name: sorted((at, shown[arm].value, shown[arm].low, shown[arm].high) for arm, at in arms.items())
                for name, arms in curves.items()
            }
            quantity = quantity_words(next(iter(shown.values())))
            plot = plot_sweep(points, label, quantity)
            caption = f"{readable(quantity)} over {label}, with intervals."
            figures.append(Figure(f"sweep-{words[label]}", plot, caption))
    return figures


def _confusion(arm: str, word: str, seeds: Sequence[Sequence[Prediction]], labels: LabelSet) -> Figure:
    matrix = np.zeros((len(labels.names), len(labels.names)), dtype=np.int64)
    for row in (row for rows in seeds for row in rows):
        matrix[labels.names.index(row.plane), int(np.argmax(row.probabilities))] += 1
    note = f"{arm}: rows are true classes, columns decisions; counts over {len(seeds)} seeds."
    return Figure(f"confusion-{word}", plot_confusion(matrix, list(labels.names), arm), note)
