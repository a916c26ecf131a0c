"""Arms compared, of classifiers and of segmentation networks alike: one table, one sentence each, one figure."""

from collections.abc import Sequence

from fulora.data.score import Score
from fulora.metrics.groups import ALL_IMAGES
from fulora.report.figures import plot_intervals
from fulora.report.numbers import MISSING
from fulora.report.tables import Table, raw_lines
from fulora.report.wording import (
    arm_words,
    comparison_sentence,
    comparison_words,
    p_words,
    quantity_words,
    readable,
    unit_words,
    value_words,
)

CAPTION = (
    "Differences on the same images, the declared comparison first. p is the larger of one over patients and one over "
    "training seeds, where the seeds are tested; else the seeds are as given."
)


def comparison_tables(compared: Sequence[Score], title: str, level: str) -> list[Table]:
    """One line a pair of arms with every metric compared, and the declared pair by site; none without comparisons."""
    everywhere = [score for score in compared if score.group == ALL_IMAGES]
    sites = [score for score in compared if score.group.kind == "site"]
    tables = [_pairs(everywhere, compared, title, f"{CAPTION} {level}")] if everywhere else []
    return [*tables, *([_sites(sites, level)] if sites else [])]


def _pairs(everywhere: Sequence[Score], compared: Sequence[Score], title: str, caption: str) -> Table:
    names = list(dict.fromkeys(map(_metric, everywhere)))
    adjusted = {_metric(score) for score in everywhere if score.p_holm is not None}
    header = ["Comparison"]
    for name in names:
        header += [name, "p", *(["p (Holm)"] if name in adjusted else [])]
    rows, notes = [], []
    for pair in dict.fromkeys((score.arm, score.baseline) for score in everywhere):
        found = {_metric(score): score for score in everywhere if (score.arm, score.baseline) == pair}
        first = next(iter(found.values()))
        declared = any(score.role == "declared" for score in found.values())
        cells = [arm_words(first) + (" (declared)" if declared else "")]
        for name in names:
            cells += _cells(found.get(name), holm=name in adjusted)
        rows.append((*cells, *(str(count) for count in (first.n_images, first.n_patients, first.n_seeds))))
        notes.append(f"{arm_words(first)}: {comparison_words(first)}")
    return Table(
        title, caption, (*header, "Images", "Patients", "Seeds"), tuple(rows), tuple(notes), raw_lines(compared)
    )


def _sites(sites: Sequence[Score], level: str) -> Table:
    lines = tuple(
        (
            score.group.name,
            *_cells(score, holm=True),
            *(str(score.n_images), str(score.n_patients)),
        )
        for score in sites
    )
    header = ("Site", _metric(sites[0]), "p", "p (Holm)", "Images", "Patients")
    return Table(f"By site: {arm_words(sites[0])}", f"{level} Holm over sites.", header, lines, (), raw_lines(sites))


def _metric(score: Score) -> str:
    return readable(quantity_words(score)) + unit_words(score)


def _cells(score: Score | None, *, holm: bool) -> list[str]:
    if score is None:
        return [MISSING] * (2 + holm)
    return [value_words(score), p_words(score.p), *([p_words(score.p_holm)] if holm else [])]


def comparison_sentences(compared: Sequence[Score]) -> list[str]:
    """One sentence a comparison of the study's first metric, and one for everything that was declared."""
    first = min((score.rank for score in compared if score.rank), default=0)
    told = [s for s in compared if s.group == ALL_IMAGES and (s.rank == first or s.role == "declared")]
    return list(map(comparison_sentence, told))


def plot_arms(scores: Sequence[Score]) -> bytes:
    """One quantity of several arms, or of several comparisons of arms, with intervals."""
    first = scores[0]
    name = quantity_words(first)
    return plot_intervals(
        list(map(arm_words, scores)),
        [score.value for score in scores],
        [score.low for score in scores],
        [score.high for score in scores],
        quantity=f"difference of {name}" if first.baseline else name,
        unit=first.unit,
        baseline=0.0 if first.baseline else None,
    )
