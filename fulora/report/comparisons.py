"""Comparisons of arms, for classifiers and for segmentation networks: tables, sentences and a figure."""

from collections.abc import Sequence

from fulora.data.score import Score
from fulora.metrics.image_groups import ALL_IMAGES
from fulora.report import score_text
from fulora.report.chance import common_chance, describe_chance
from fulora.report.figures import plot_intervals
from fulora.report.number_format import MISSING
from fulora.report.tables import Table, raw_lines

CAPTION = (
    "Differences on the same images, the declared comparison first. p is the larger of one over patients and one over "
    "training seeds, where the seeds are tested; else the seeds are as given."
)


def comparison_tables(compared: Sequence[Score], title: str, level: str) -> list[Table]:
    """Return a table of all compared pairs and one of the declared pair by site, each only if it has rows."""
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
        by_metric = {_metric(score): score for score in everywhere if (score.arm, score.baseline) == pair}
        first = next(iter(by_metric.values()))
        declared = any(score.role == "declared" for score in by_metric.values())
        cells = [score_text.describe_arm(first) + (" (declared)" if declared else "")]
        for name in names:
            cells += _cells(by_metric.get(name), holm=name in adjusted)
        rows.append((*cells, *(str(count) for count in (first.n_images, first.n_patients, first.n_seeds))))
        notes.append(f"{score_text.describe_arm(first)}: {score_text.describe_comparison(first)}")
    return Table(
        title, caption, (*header, "Images", "Patients", "Seeds"), tuple(rows), tuple(notes), raw_lines(compared)
    )


def _sites(sites: Sequence[Score], level: str) -> Table:
    lines = tuple(
        (score.group.name, *_cells(score, holm=True), *(str(score.n_images), str(score.n_patients))) for score in sites
    )
    header = ("Site", _metric(sites[0]), "p", "p (Holm)", "Images", "Patients")
    title = f"By site: {score_text.describe_arm(sites[0])}"
    return Table(title, f"{level} Holm over sites.", header, lines, (), raw_lines(sites))


def _metric(score: Score) -> str:
    return score_text.display_name(score_text.describe_quantity(score)) + score_text.format_unit(score)


def _cells(score: Score | None, *, holm: bool) -> list[str]:
    if score is None:
        return [MISSING] * (2 + holm)
    return [
        score_text.format_value(score),
        score_text.format_p(score.p),
        *([score_text.format_p(score.p_holm)] if holm else []),
    ]


def summarize_comparisons(compared: Sequence[Score]) -> list[str]:
    """Return a sentence for each comparison that was declared or is of the study's first metric."""
    first = min((score.rank for score in compared if score.rank), default=0)
    chosen = [s for s in compared if s.group == ALL_IMAGES and (s.rank == first or s.role == "declared")]
    return list(map(score_text.summarize_comparison, chosen))


def plot_arms(scores: Sequence[Score]) -> bytes:
    """Plot one quantity of several arms, or of several comparisons of arms, with intervals."""
    first = scores[0]
    name = score_text.describe_quantity(first)
    return plot_intervals(
        list(map(score_text.describe_arm, scores)),
        [score.value for score in scores],
        [score.low for score in scores],
        [score.high for score in scores],
        quantity=f"difference of {name}" if first.baseline else name,
        unit=first.unit,
        baseline=0.0 if first.baseline else common_chance(scores),
        baseline_name="" if first.baseline else "chance",
    )


def describe_plot(scores: Sequence[Score]) -> str:
    """Return what `plot_arms` shows, for a screen reader: every arm with its value and interval."""
    lines = "; ".join(f"{score_text.describe_arm(score)} {score_text.format_value(score)}" for score in scores)
    name = score_text.display_name(score_text.describe_quantity(scores[0])) + score_text.format_unit(scores[0])
    return f"{'Difference of ' if scores[0].baseline else ''}{name} with intervals: {lines}.{describe_chance(scores)}"
