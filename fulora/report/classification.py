"""The section on classification: scores by arm, arms compared, sites, classes, machines, and curves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fulora.data.label_set import LabelSet
from fulora.data.results import Prediction
from fulora.data.score import Score
from fulora.metrics.image_groups import ALL_IMAGES, GroupKind
from fulora.report.chance import describe_chance
from fulora.report.comparisons import comparison_tables, describe_plot, plot_arms, summarize_comparisons
from fulora.report.confusion import describe_confusion, plot_confusion
from fulora.report.curves import describe_curves, plot_sweep
from fulora.report.leaks import leak_table
from fulora.report.number_format import MISSING
from fulora.report.page import Figure, Section, file_stems
from fulora.report.parts import ClassificationPart, Sweeps
from fulora.report.score_text import describe_quantity, display_name, format_value
from fulora.report.tables import Table, raw_lines, score_table
from fulora.words import counted

Predicted = Mapping[str, Sequence[Sequence[Prediction]]]
"""By arm, the predictions of each training seed."""
LEVEL = "Brackets hold 95 % intervals; patients, not images, are resampled, within sites."
WIDEST = 12
"""Most groups that stand in columns; of more, arms do."""
TEXT = (
    "Protocols. Prompt zero-shot: a CLIP classifies by text prompts alone. Transfer: a classifier is trained on one "
    "population and tested on another. Adapted: a CLIP is tuned on one population and tested on another. Few-shot: a "
    "classifier is trained on a few patients of the population it is tested on. All classifiers have the same "
    "architecture and are trained for as many steps."
)
DETAILS = "Classification in detail: decision rules, machines, training seeds, confusion"


def classification_section(part: ClassificationPart) -> Section:
    """Return the scores of every arm, and of arms compared with their baselines."""
    scores, labels = part.scores.rows(), part.images.label_set()
    predictions = {arm: [item.rows() for item in seeds] for arm, seeds in part.predictions.items()}
    arms = [score for score in scores if not score.baseline]
    compared = [score for score in scores if score.baseline]
    first = [score for score in arms if score.rank == 1 and not _is_redecided(score)]
    tables = (
        _overall(arms),
        *comparison_tables(compared, "Arms compared", LEVEL),
        *_of_groups(first, "site"),
        *_of_groups([score for score in arms if score.quantity == "recall"], "class"),
        leak_table(part.leaks.rows()),
    )
    more = (
        *_rules(arms),
        *_of_groups(first, "machine"),
        *_without_duplicates(first),
        *_seeds(predictions, labels),
    )
    confusions = _confusions(first, compared, predictions, labels)
    details = Section(DETAILS, (), more, confusions, (), folded=True)
    return Section(
        "Does synthetic data help on patients not seen in training?",
        (TEXT, *summarize_comparisons(compared)),
        tables,
        tuple(_figures(first, compared, part.sweeps)),
        (details,) if more or confusions else (),
    )


def _is_redecided(score: Score) -> bool:
    return score.rule in ("among the labels", "prior-adjusted")


def _overall(arms: Sequence[Score]) -> Table:
    chosen = [score for score in arms if score.rank and score.group == ALL_IMAGES and not _is_redecided(score)]
    ordered = sorted(chosen, key=lambda score: score.rank)
    table = score_table(_by_arm(ordered), "Classification of the unseen population", LEVEL)
    return replace(table, raw=raw_lines(arms))


def _by_arm(scores: Sequence[Score]) -> list[Score]:
    return [score for arm in dict.fromkeys(s.arm for s in scores) for score in scores if score.arm == arm]


def _rules(arms: Sequence[Score]) -> list[Table]:
    decided = [score for score in arms if score.group == ALL_IMAGES and score.choices is not None]
    chosen = [score for score in decided if score.rank == 1 or score.quantity == "rate of deciding the negative class"]
    if len({score.rule for score in chosen}) < 2 and len({score.quantity for score in chosen}) < 2:
        return []
    caption = f"The same probabilities, decided in other ways. {LEVEL}"
    return [_pivot(chosen, [display_name(describe_quantity(score)) for score in chosen], "Decision rules", caption)]


def _of_groups(scores: Sequence[Score], kind: GroupKind) -> list[Table]:
    chosen = [score for score in scores if score.group.kind == kind]
    if not chosen:
        return []
    title = f"{display_name(describe_quantity(chosen[0]))} by {kind}"
    return [_pivot(chosen, [score.group.name for score in chosen], title, LEVEL, kind=kind)]


def _pivot(
    scores: Sequence[Score], names: Sequence[str], title: str, caption: str, *, kind: GroupKind | None = None
) -> Table:
    """One line an arm, one column a name (the other way round of many names).

    Args:
        names: of each score, the name of its column.
        kind: of the groups that are named: their titles hold numbers of images, and cells of an arm tested on others
            hold their own. None if the names are not groups.
    """
    counts = {
        name: (score.n_images, score.n_patients) for score, name in zip(reversed(scores), reversed(names), strict=True)
    }
    cells = {}
    for score, name in zip(scores, names, strict=True):
        other = "" if (score.n_images, score.n_patients) == counts[name] else f" (n = {score.n_images})"
        cells[score.arm, name] = format_value(score) + other
    titles = {
        name: f"{name} ({counted(images, 'image')}, {counted(patients, 'patient')})" if kind else name
        for name, (images, patients) in ((name, counts[name]) for name in dict.fromkeys(names))
    }
    arms = list(dict.fromkeys(score.arm for score in scores))
    if len(titles) > WIDEST and len(arms) <= WIDEST:
        lines = [(text, *(cells.get((arm, name), MISSING) for arm in arms)) for name, text in titles.items()]
        return Table(title, caption, (display_name(kind or "score"), *arms), tuple(lines), (), raw_lines(scores))
    rows = [(arm, *(cells.get((arm, name), MISSING) for name in titles)) for arm in arms]
    return Table(title, caption, ("Arm", *titles.values()), tuple(rows), (), raw_lines(scores))


def _without_duplicates(scores: Sequence[Score]) -> list[Table]:
    chosen = [score for score in scores if score.group.kind == "without duplicates"]
    caption = "Without the images whose pixels are identical to those of another row."
    return [score_table(chosen, "Without duplicate images", caption)] if chosen else []


def _seeds(predictions: Predicted, labels: LabelSet) -> list[Table]:
    most = max((len(seeds) for seeds in predictions.values()), default=0)
    if most < 2:
        return []
    accuracies = {
        arm: [np.mean([labels.names[int(np.argmax(row.probabilities))] == row.plane for row in rows]) for rows in seeds]
        for arm, seeds in predictions.items()
    }
    lines = tuple(
        (arm, *(f"{value:.3f}" for value in values), *[MISSING] * (most - len(values)), f"{np.std(values, ddof=1):.3f}")
        for arm, values in accuracies.items()
        if len(values) > 1
    )
    header = ("Arm", *(f"Seed {number}" for number in range(1, most + 1)), "SD")
    caption = "The same images, the same arms; the spread is that of training alone."
    return [Table("Accuracy by training seed", caption, header, lines)]


def _figures(first: Sequence[Score], compared: Sequence[Score], sweeps: Sweeps) -> list[Figure]:
    overall = [score for score in first if score.group == ALL_IMAGES]
    figures = []
    if overall:
        name = display_name(describe_quantity(overall[0]))
        caption = f"{name} on the unseen population, by arm.{describe_chance(overall)}"
        figures.append(Figure("arms", plot_arms(overall), caption, describe_plot(overall)))
    gains = [score for score in compared if score.rank == 1 and score.group == ALL_IMAGES]
    if gains:
        caption = "Each arm minus its baseline on the same images; the declared one first."
        figures.append(Figure("gains", plot_arms(gains), caption, describe_plot(gains)))
    return [*figures, *_sweep_figures({score.arm: score for score in overall}, sweeps)]


def _confusions(
    first: Sequence[Score], compared: Sequence[Score], predictions: Predicted, labels: LabelSet
) -> tuple[Figure, ...]:
    """Draw the arms of declared comparisons and those that are no transfer; all, if none are compared."""
    overall = [score for score in first if score.group == ALL_IMAGES]
    detailed = {arm for score in compared if score.role == "declared" for arm in (score.arm, score.baseline)}
    detailed |= {score.arm for score in overall if score.protocol != "transfer"}
    return tuple(
        _confusion(arm, stem, predictions[arm], labels)
        for arm, stem in file_stems(predictions).items()
        if arm in detailed or not compared
    )


def _sweep_figures(scores: Mapping[str, Score], sweeps: Sweeps) -> list[Figure]:
    figures, stems = [], file_stems(sweeps)
    for label, curves in sweeps.items():
        if max((len(arms) for arms in curves.values()), default=0) > 2:
            points = {
                name: sorted((at, scores[arm].value, scores[arm].low, scores[arm].high) for arm, at in arms.items())
                for name, arms in curves.items()
            }
            quantity = describe_quantity(next(iter(scores.values())))
            caption = f"{display_name(quantity)} over {label}, with intervals."
            plot, alt = plot_sweep(points, label, quantity), f"{caption} {describe_curves(points)}"
            figures.append(Figure(f"sweep-{stems[label]}", plot, caption, alt))
    return figures


def _confusion(arm: str, stem: str, seeds: Sequence[Sequence[Prediction]], labels: LabelSet) -> Figure:
    matrix = np.zeros((len(labels.names), len(labels.names)), dtype=np.int64)
    for row in (row for rows in seeds for row in rows):
        matrix[labels.names.index(row.plane), int(np.argmax(row.probabilities))] += 1
    note = f"{arm}: rows are true classes, columns decisions; counts over {counted(len(seeds), 'seed')}."
    alt = f"Confusion matrix of {arm}: {describe_confusion(matrix, labels.names)}"
    return Figure(f"confusion-{stem}", plot_confusion(matrix, list(labels.names), arm), note, alt)
