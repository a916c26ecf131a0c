"""The section on segmentation: scores by arm, arms compared, overlays, Bland-Altman plots, curves, the ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from fulora.data.image_set import ImageSet
from fulora.data.leak_check import Overlap
from fulora.data.results import MaskSet, Measurement
from fulora.data.score import Protocol, Score
from fulora.metrics.ranking import ranking, stability
from fulora.report.comparisons import comparison_sentences, comparison_tables, plot_arms
from fulora.report.curves import plot_sweep
from fulora.report.figures import plot_bland_altman
from fulora.report.leaks import leak_table
from fulora.report.overlays import Overlay, plot_overlays
from fulora.report.page import Figure, Section, file_words
from fulora.report.ranking import plot_kendall_tau, plot_rank_stability
from fulora.report.tables import Table, raw_lines, score_table
from fulora.report.wording import quantity_words, unit_words

LEVEL = "Brackets hold 95 % intervals; patients and training seeds, not images, are resampled."
TEXT = (
    "Dice, IoU, HD, HD95, ASSD and NSD are MONAI's definitions, one image at a time; an empty prediction counts as the "
    "worst value. A circumference is that of the ellipse of a structure (of a head: HC), AoP the angle of progression; "
    "an absolute difference is that to the reference. All networks are trained with as many optimiser steps, and "
    "chosen on validation patients only."
)
DRAWS = 1000
TITLES: dict[Protocol, str] = {
    "segmentation": "Segmentation",
    "biometry": "Circumference and angle of progression",
}
WHOLE = "all"
"""The structure that is everything but background, where masks hold several."""
Sweep = Mapping[str, Mapping[str, float]]
"""By curve, the place of each of its arms."""
Tables = Mapping[str, Sequence[Sequence[Measurement]]]
"""By arm, the measurements of each training seed."""


def segmentation_section(
    images: ImageSet,
    masks: Mapping[str, MaskSet],
    tables: Tables,
    scores: Sequence[Score],
    sweep: Sweep,
    leaks: Sequence[Overlap],
) -> Section:
    """Everything that is told of segmentation arms.

    Args:
        masks: of the arms whose pictures are shown, the first seed's.
        sweep: the numbers of training images, where they were varied.
        leaks: what every training input shares with the test set.
    """
    plain = [score for score in scores if not score.baseline]
    compared = [score for score in scores if score.baseline]
    shown = [table for protocol in TITLES for table in _by_structure(plain, protocol)]
    shown += comparison_tables(compared, "Segmentation arms compared", LEVEL)
    shown += [leak_table(leaks, "Leak gate of segmentation")] if leaks else []
    figures = [*_of_arms(plain, compared), *_sweeps(plain, compared, sweep), *_ranking(tables)]
    words = file_words(tables)
    for arm, found in masks.items():
        caption = f"{arm}: best, median and worst test images by Dice, first training seed."
        figures.append(Figure(f"overlays-{words[arm]}", _cases(images, found, tables[arm][0]), caption))
        figures += _agreements(arm, words[arm], tables[arm][0])
    return Section("Segmentation", (TEXT, *comparison_sentences(compared)), tuple(shown), tuple(figures))


def _by_structure(plain: Sequence[Score], protocol: Protocol) -> list[Table]:
    """A table for each structure. All scores stand in its CSV, those of the study's metrics in the table."""
    scores = [score for score in plain if score.protocol == protocol]
    structures = list(dict.fromkeys(score.structure for score in scores))
    found = []
    for structure in structures:
        rows = [score for score in scores if score.structure == structure]
        shown = [score for score in rows if _in_table(score)]
        if shown:
            title = TITLES[protocol] + (f" ({structure})" if structure else "")
            found.append(replace(score_table(shown, title, LEVEL), raw=raw_lines(rows)))
    return found


def _in_table(score: Score) -> bool:
    """Means of the study's metrics, and what the worst images of its first one are like."""
    return bool(score.rank) and (score.statistic == "mean" or (score.statistic == "percentile 5" and score.rank == 1))


def _key(score: Score) -> tuple[str, str, str]:
    return score.quantity, score.structure, score.unit


def _compared_metrics(plain: Sequence[Score], compared: Sequence[Score]) -> dict[tuple[str, str, str], list[Score]]:
    """The means of all arms of each metric that arms are compared in; of the first metric where they are not."""
    keys = dict.fromkeys(map(_key, compared)) or dict.fromkeys(_key(score) for score in plain if score.rank == 1)
    return {key: [score for score in plain if _key(score) == key and score.statistic == "mean"] for key in keys}


def _of_arms(plain: Sequence[Score], compared: Sequence[Score]) -> list[Figure]:
    figures, found = [], _compared_metrics(plain, compared)
    words = file_words(map("-".join, found))
    for key, rows in found.items():
        name = _title(rows[0], found)
        gains = [score for score in compared if _key(score) == key]
        if len(rows) > 1:
            figures.append(Figure(f"arms-{words['-'.join(key)]}", plot_arms(rows), f"{name} of each arm."))
        if gains:
            caption = f"{name} of each arm minus its baseline."
            figures.append(Figure(f"gains-{words['-'.join(key)]}", plot_arms(gains), caption))
    return figures


def _title(score: Score, found: Mapping[tuple[str, str, str], Sequence[Score]]) -> str:
    several = len({structure for quantity, structure, _ in found if quantity == score.quantity}) > 1
    return quantity_words(score, structure=several) + unit_words(score)


def _sweeps(plain: Sequence[Score], compared: Sequence[Score], sweep: Sweep) -> list[Figure]:
    figures, found = [], _compared_metrics(plain, compared)
    words = file_words(map("-".join, found))
    for key, rows in found.items():
        scores = {score.arm: score for score in rows}
        curves = {
            curve: sorted(
                (at, scores[arm].value, scores[arm].low, scores[arm].high) for arm, at in arms.items() if arm in scores
            )
            for curve, arms in sweep.items()
        }
        curves = {curve: points for curve, points in curves.items() if len(points) > 1}
        if curves:
            name = _title(rows[0], found)
            plot = plot_sweep(curves, "training images", name)
            figures.append(Figure(f"sizes-{words['-'.join(key)]}", plot, f"{name} over the number of training images."))
    return figures


def _ranking(tables: Tables) -> list[Figure]:
    """How firmly the arms can be ordered by Dice."""
    if len(tables) < 2:
        return []
    names, matrix, patients = list(tables), *_dice(tables)
    if matrix.shape[1] < 2:
        return []
    found = {
        scheme: stability(matrix, scheme, higher_is_better=True, clusters=patients, draws=DRAWS, seed=0)
        for scheme in ("aggregate_then_rank", "rank_then_aggregate", "test_then_rank")
    }
    first = ranking(matrix, "aggregate_then_rank", higher_is_better=True)
    plot = plot_rank_stability(names, first, found["aggregate_then_rank"])
    figures = [Figure("ranks", plot, f"Ranks by mean Dice over images and seeds; dots: {DRAWS} draws of patients.")]
    known = {scheme: item for scheme, item in found.items() if np.isfinite(item.taus).any()}
    if known:
        figures.append(Figure("rank-stability", plot_kendall_tau(known), "How firm each scheme of ranking is."))
    return figures


def _dice(tables: Tables) -> tuple[Float[np.ndarray, "arms n"], np.ndarray]:
    rows = {arm: [[r for r in seed if r.quantity == "dice"] for seed in seeds] for arm, seeds in tables.items()}
    structures = {row.structure for seeds in rows.values() for row in seeds[0]}
    kept = WHOLE if WHOLE in structures else next(iter(structures), WHOLE)
    values = [
        np.mean([[row.value or 0.0 for row in seed if row.structure == kept] for seed in seeds], axis=0)
        for seeds in rows.values()
    ]
    first = next(iter(rows.values()))[0]
    return np.array(values), np.array([row.patient_key for row in first if row.structure == kept])


def _cases(images: ImageSet, masks: MaskSet, table: Sequence[Measurement]) -> bytes:
    """Three test images each from the best, the middle and the worst."""
    structures = [row.structure for row in table if row.quantity == "dice"]
    kept = WHOLE if WHOLE in structures else next(iter(structures), WHOLE)
    dice = {row.image_id: row.value or 0.0 for row in table if (row.quantity, row.structure) == ("dice", kept)}
    ranked = sorted(dice, key=lambda image_id: -dice[image_id])
    count, middle = min(3, len(ranked)), len(ranked) // 2
    chosen = {
        "best": ranked[:count],
        "median": ranked[max(0, middle - count // 2) :][:count],
        "worst": ranked[-count:],
    }
    rows = {row.image_id: row for row in images.rows("test")}

    def overlay(image_id: str) -> Overlay:
        row = rows[image_id]
        return Overlay(images.pixels(row), images.mask(row), masks.mask(image_id), f"Dice {dice[image_id]:.3f}")

    return plot_overlays({name: [overlay(image_id) for image_id in found] for name, found in chosen.items()})


def _agreements(arm: str, word: str, table: Sequence[Measurement]) -> list[Figure]:
    figures = []
    for quantity, title in (("hc", "Head circumference"), ("aop", "Angle of progression")):
        rows = [row for row in table if row.quantity == quantity]
        pairs = [(row.value, row.reference) for row in rows if row.value is not None and row.reference is not None]
        if len(pairs) > 1:
            values, references = np.array(pairs, float).T
            plot = plot_bland_altman(values, references, rows[0].unit, title)
            caption = f"{arm}: measured minus reference, {len(pairs)} of {len(rows)} images, first training seed."
            figures.append(Figure(f"bland-altman-{quantity}-{word}", plot, caption))
    return figures
