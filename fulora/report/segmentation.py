"""The section on segmentation: scores by arm, arms compared, overlays, Bland-Altman plots, curves, the ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fulora.data.image_set import ImageSet
from fulora.data.results import MaskSet, Measurement
from fulora.data.score import Protocol, Score
from fulora.metrics.ranking import ranking, stability
from fulora.report.comparisons import comparison_tables, describe_plot, plot_arms, summarize_comparisons
from fulora.report.curves import Point, describe_curves, plot_sweep
from fulora.report.figures import plot_bland_altman
from fulora.report.leaks import leak_table
from fulora.report.overlays import Overlay, plot_overlays
from fulora.report.page import Figure, Section, file_stems
from fulora.report.parts import SegmentationPart
from fulora.report.ranking import plot_kendall_tau, plot_rank_stability
from fulora.report.score_text import describe_quantity, format_unit
from fulora.report.tables import Table, raw_lines, score_table
from fulora.words import counted

LEVEL = "Brackets hold 95 % intervals; patients and training seeds, not images, are resampled."
TEXT = (
    "Dice, IoU, HD, HD95, ASSD and NSD are MONAI's definitions, one image at a time; an empty prediction counts as the "
    "worst value. A circumference is that of the ellipse of a structure (of a head: HC), AoP the angle of progression; "
    "an absolute difference is that to the reference. All networks are trained with as many optimiser steps, and "
    "chosen on validation patients only."
)
RANKING = "How much the order of the arms depends on the patients that happened to be tested."
DRAWS = 1000
TITLES: dict[Protocol, str] = {"segmentation": "Segmentation", "biometry": "Circumference and angle of progression"}
WHOLE = "all"
"""The structure that is everything but background, where masks hold several."""
Tables = Mapping[str, Sequence[Sequence[Measurement]]]
"""By arm, the measurements of each training seed."""
Metric = tuple[str, str, str]
"""Quantity, structure and unit of scores that can be compared."""


def segmentation_section(part: SegmentationPart) -> Section:
    """Return the scores of every arm, arms compared, overlays, agreement with references, and the ranking."""
    scores = part.scores.rows()
    plain = [score for score in scores if not score.baseline]
    compared = [score for score in scores if score.baseline]
    tables = [
        *(table for protocol in TITLES for table in _by_structure(plain, protocol)),
        *comparison_tables(compared, "Segmentation arms compared", LEVEL),
        leak_table(part.leaks.rows(), "Leak check of segmentation"),
    ]
    measurements = {arm: [item.rows() for item in seeds] for arm, seeds in part.measurements.items()}
    sweep = {
        curve: {arm: float(len(images.rows("train"))) for arm, images in arms.items()}
        for curve, arms in part.sweep.items()
    }
    figures = _metric_figures(plain, compared, sweep)
    ranked = tuple(_ranking(measurements))
    stems = file_stems(measurements)
    for arm, masks in part.masks.items():
        first_seed = measurements[arm][0]
        caption = f"{arm}: best, median and worst test images by Dice, first training seed."
        alt = f"Test images with outlines of the reference and of {arm}'s prediction, in rows best, median and worst."
        figures.append(Figure(f"overlays-{stems[arm]}", _overlays(part.images, masks, first_seed), caption, alt))
        figures += _agreements(arm, stems[arm], first_seed)
    below = (Section("Ranking of segmentation arms", (RANKING,), (), ranked, (), folded=True),) if ranked else ()
    return Section("Segmentation", (TEXT, *summarize_comparisons(compared)), tuple(tables), tuple(figures), below)


def _by_structure(plain: Sequence[Score], protocol: Protocol) -> list[Table]:
    """A table for each structure: means of the study's metrics, and the first one's 5th percentile; its CSV has all."""
    scores = [score for score in plain if score.protocol == protocol]
    tables = []
    for structure in dict.fromkeys(score.structure for score in scores):
        rows = [score for score in scores if score.structure == structure]
        shown = [s for s in rows if s.rank and (s.statistic == "mean" or (s.rank, s.statistic) == (1, "percentile 5"))]
        if shown:
            title = TITLES[protocol] + (f" ({structure})" if structure else "")
            tables.append(replace(score_table(shown, title, LEVEL), raw=raw_lines(rows)))
    return tables


def _metric(score: Score) -> Metric:
    return score.quantity, score.structure, score.unit


def _metric_figures(
    plain: Sequence[Score], compared: Sequence[Score], sweep: Mapping[str, Mapping[str, float]]
) -> list[Figure]:
    """Of each metric that arms are compared in (or the first one), the means of all arms, differences, and curves."""
    metrics = dict.fromkeys(map(_metric, compared)) or dict.fromkeys(_metric(s) for s in plain if s.rank == 1)
    of_arms: list[Figure] = []
    of_sizes: list[Figure] = []
    stems = file_stems(map("-".join, metrics))
    for metric in metrics:
        stem = stems["-".join(metric)]
        means = [score for score in plain if _metric(score) == metric and score.statistic == "mean"]
        gains = [score for score in compared if _metric(score) == metric]
        several = len({structure for quantity, structure, _ in metrics if quantity == metric[0]}) > 1
        name = describe_quantity(means[0], structure=several) + format_unit(means[0])
        if len(means) > 1:
            of_arms.append(Figure(f"arms-{stem}", plot_arms(means), f"{name} of each arm.", describe_plot(means)))
        if gains:
            caption = f"{name} of each arm minus its baseline."
            of_arms.append(Figure(f"gains-{stem}", plot_arms(gains), caption, describe_plot(gains)))
        if curves := _curves(means, sweep):
            plot = plot_sweep(curves, "training images", name)
            caption = f"{name} over the number of training images."
            of_sizes.append(Figure(f"sizes-{stem}", plot, caption, f"{caption} {describe_curves(curves)}"))
    return [*of_arms, *of_sizes]


def _curves(means: Sequence[Score], sweep: Mapping[str, Mapping[str, float]]) -> dict[str, list[Point]]:
    scores = {score.arm: score for score in means}
    curves = {
        curve: sorted(
            (at, scores[arm].value, scores[arm].low, scores[arm].high) for arm, at in arms.items() if arm in scores
        )
        for curve, arms in sweep.items()
    }
    return {curve: points for curve, points in curves.items() if len(points) > 1}


def _ranking(tables: Tables) -> list[Figure]:
    if len(tables) < 2:
        return []
    rows = [[_dice(seed) for seed in seeds] for seeds in tables.values()]
    matrix = np.array([np.mean([[row.value or 0.0 for row in seed] for seed in seeds], axis=0) for seeds in rows])
    names, patients = list(tables), np.array([row.patient_key for row in rows[0][0]])
    if matrix.shape[1] < 2:
        return []
    draws = {
        scheme: stability(matrix, scheme, higher_is_better=True, clusters=patients, draws=DRAWS, seed=0)
        for scheme in ("aggregate_then_rank", "rank_then_aggregate", "test_then_rank")
    }
    first = ranking(matrix, "aggregate_then_rank", higher_is_better=True)
    plot = plot_rank_stability(names, first, draws["aggregate_then_rank"])
    figures = [Figure("ranks", plot, f"Ranks by mean Dice over images and seeds; dots: {DRAWS} draws of patients.")]
    finite = {scheme: item for scheme, item in draws.items() if np.isfinite(item.taus).any()}
    if finite:
        figures.append(Figure("rank-stability", plot_kendall_tau(finite), "How firm each scheme of ranking is."))
    return figures


def _dice(table: Sequence[Measurement]) -> list[Measurement]:
    rows = [row for row in table if row.quantity == "dice"]
    structures = [row.structure for row in rows]
    structure = WHOLE if WHOLE in structures else next(iter(structures), WHOLE)
    return [row for row in rows if row.structure == structure]


def _overlays(images: ImageSet, masks: MaskSet, table: Sequence[Measurement]) -> bytes:
    dice = {row.image_id: row.value or 0.0 for row in _dice(table)}
    ranked = sorted(dice, key=lambda image_id: -dice[image_id])
    count, middle = min(3, len(ranked)), len(ranked) // 2
    chosen = {"best": ranked[:count], "median": ranked[max(0, middle - count // 2) :][:count], "worst": ranked[-count:]}
    rows = {row.image_id: row for row in images.rows("test")}

    def overlay(image_id: str) -> Overlay:
        row = rows[image_id]
        return Overlay(images.pixels(row), images.mask(row), masks.mask(image_id), f"Dice {dice[image_id]:.3f}")

    return plot_overlays({name: [overlay(image_id) for image_id in ids] for name, ids in chosen.items()})


def _agreements(arm: str, stem: str, table: Sequence[Measurement]) -> list[Figure]:
    figures = []
    for quantity, title in (("hc", "Head circumference"), ("aop", "Angle of progression")):
        rows = [row for row in table if row.quantity == quantity]
        pairs = [(row.value, row.reference) for row in rows if row.value is not None and row.reference is not None]
        if len(pairs) > 1:
            values, references = zip(*pairs, strict=True)
            plot = plot_bland_altman(values, references, rows[0].unit, title)
            measured = f"{len(pairs)} of {counted(len(rows), 'image')}"
            caption = f"{arm}: measured minus reference, {measured}, first training seed."
            bias = np.mean(np.subtract(values, references))
            alt = f"Bland-Altman plot, {title.lower()} by {arm}: bias {bias:.2f} {rows[0].unit}, {measured}."
            figures.append(Figure(f"bland-altman-{quantity}-{stem}", plot, caption, alt))
    return figures
