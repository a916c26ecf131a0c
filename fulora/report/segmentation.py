"""The section on segmentation: scores by arm, arms compared, overlays, Bland-Altman plots, curves, the ranking."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from fulora.data.manifest import ImageSet
from fulora.data.results import MaskSet, Measurement, Score
from fulora.metrics.ranking import ranking, stability
from fulora.report.curves import plot_sweep
from fulora.report.figures import plot_bland_altman, plot_intervals
from fulora.report.overlays import Overlay, plot_overlays
from fulora.report.page import Figure, Section, file_word
from fulora.report.ranking import plot_kendall_tau, plot_rank_stability
from fulora.report.tables import MISSING, Table, raw_lines, rounded, score_table

LEVEL = "Brackets hold 95 % intervals; patients and training seeds, not images, are resampled."
TEXT = (
    "Dice, IoU, HD, HD95, ASSD and NSD are MONAI's definitions, one image at a time; an empty prediction counts as the "
    "worst value. HC is head circumference, AoP the angle of progression, ADF the mean absolute difference. All "
    "networks are trained with as many optimiser steps, and chosen on validation patients only."
)
DRAWS = 1000
SHOWN = ("Dice", "Dice, 5th percentile", "HD95", "ASSD", "failures", "challenge S", "HC bias", "HC ADF", "HC failures",
         "AoP bias", "AoP ADF", "AoP failures")  # fmt: skip
Sweep = Mapping[str, Mapping[str, float]]
"""By curve, the place of each of its arms."""
Tables = Mapping[str, Sequence[Sequence[Measurement]]]
"""By arm, the measurements of each training seed."""


def segmentation_section(
    images: ImageSet, masks: Mapping[str, MaskSet], tables: Tables, scores: Sequence[Score], sweep: Sweep
) -> Section:
    """Everything that is told of segmentation arms.

    Args:
        masks: of the arms whose pictures are shown, the first seed's.
        sweep: the numbers of training images, where they were varied.
    """
    plain = [score for score in scores if not score.role]
    compared = [score for score in scores if score.role]
    overlap = [score for score in plain if score.protocol == "segmentation"]
    measured = [score for score in plain if score.protocol == "biometry"]
    shown = [table for kind, title in (
        (overlap, "Segmentation"), (measured, "Head circumference and angle of progression")
    ) if kind for table in _by_structure(kind, title)]  # fmt: skip
    tables_shown = [*shown, *_comparison_table(compared)]
    figures = [*_interval_figures(plain, compared), *_sweeps(plain, sweep), *_ranking(tables)]
    for arm, found in masks.items():
        caption = f"{arm}: best, median and worst test images by Dice, first training seed."
        figures.append(Figure(f"overlays-{file_word(arm)}", _cases(images, found, tables[arm][0]), caption))
        figures += _agreements(arm, tables[arm][0])
    return Section("Segmentation", (TEXT, *_said(compared)), tuple(tables_shown), tuple(figures))


def _by_structure(scores: Sequence[Score], title: str) -> list[Table]:
    """A table for each structure; what has none is told with the first. All scores stand in its CSV."""
    of = {score.name: score.name.rpartition(", ")[2] for score in scores}
    ends = {name: end if end in ("head", "symphysis", "all") else "" for name, end in of.items()}
    found = []
    for end in dict.fromkeys(ends.values()):
        rows = [score for score in scores if ends[score.name] == end]
        shown = [score for score in rows if score.name.removesuffix(f", {end}") in SHOWN]
        table = score_table(shown, title + (f" ({end})" if end else ""), LEVEL)
        found.append(Table(table.title, table.caption, table.header, table.rows, table.notes, raw_lines(rows)))
    return found


def _comparison_table(compared: Sequence[Score]) -> list[Table]:
    if not compared:
        return []
    names = list(dict.fromkeys(_quantity(score) for score in compared))
    header = (
        "Comparison",
        *(cell for name in names for cell in (name, "p", "p (Holm)")),
        "Images",
        "Patients",
        "Seeds",
    )
    rows = []
    for arm in dict.fromkeys(score.arm for score in compared):
        found = {_quantity(score): score for score in compared if score.arm == arm}
        first = next(iter(found.values()))
        mark = " (declared)" if first.role == "declared" else ""
        cells = [cell for name in names for cell in _cells(found.get(name))]
        counts = (str(first.n_images), str(first.n_patients), str(first.n_seeds))
        rows.append((arm.replace(" - ", " minus ") + mark, *cells, *counts))
    caption = f"Differences on the same images. {LEVEL} p is the larger of one over patients and one over seeds."
    return [Table("Segmentation arms compared", caption, header, tuple(rows), (), raw_lines(compared))]


def _quantity(score: Score) -> str:
    """What a comparison is of: its name less the arms."""
    return score.name.removesuffix(", " + score.arm.replace(" - ", " minus "))


def _cells(score: Score | None) -> tuple[str, str, str]:
    if score is None:
        return MISSING, MISSING, MISSING
    value = " ".join(rounded(score.value, score.low, score.high, unit=score.unit))
    return value, _p(score.p), _p(score.p_holm)


def _p(value: float | None) -> str:
    return MISSING if value is None else f"{value:.4f}"


def _said(compared: Sequence[Score]) -> list[str]:
    """The declared comparison in words that say no more than its interval and its p."""
    found = []
    for score in compared:
        if score.role == "declared" and score.low is not None and score.high is not None:
            arm, baseline = score.arm.split(" - ", 1)
            differ = (score.low > 0 or score.high < 0) and (score.p is None or score.p < 0.05)
            quantity = _quantity(score)
            value, interval = rounded(score.value, score.low, score.high, unit=score.unit)
            said = f"{arm} and {baseline} differ" if differ else f"no evidence that {arm} and {baseline} differ"
            found.append(f"{quantity}: {said}: {value} {interval}, p = {_p(score.p)}.")
    return found


def _interval_figures(plain: Sequence[Score], compared: Sequence[Score]) -> list[Figure]:
    figures = []
    for name in ("Dice", "Dice, all", "HC ADF", "AoP ADF", "challenge S"):
        rows = [score for score in plain if score.name == name]
        gains = [score for score in compared if _quantity(score) == name]
        if len(rows) > 1:
            figures.append(Figure(f"arms-{file_word(name)}", _intervals(rows, name), f"{name} of each arm."))
        if gains:
            plot = _intervals(gains, f"difference of {name}", 0.0)
            figures.append(Figure(f"gains-{file_word(name)}", plot, f"{name} of each arm minus its baseline."))
    return figures


def _intervals(scores: Sequence[Score], quantity: str, baseline: float | None = None) -> bytes:
    return plot_intervals(
        [score.arm.replace(" - ", " minus ") for score in scores], [score.value for score in scores],
        [score.low for score in scores], [score.high for score in scores],
        quantity=quantity, unit=scores[0].unit, baseline=baseline,
    )  # fmt: skip


def _sweeps(plain: Sequence[Score], sweep: Sweep) -> list[Figure]:
    figures = []
    for name in ("Dice", "Dice, all", "HC ADF", "AoP ADF"):
        found = {score.arm: score for score in plain if score.name == name}
        curves = {
            curve: sorted(
                (at, found[arm].value, found[arm].low, found[arm].high) for arm, at in arms.items() if arm in found
            )
            for curve, arms in sweep.items()
        }
        curves = {curve: points for curve, points in curves.items() if len(points) > 1}
        if curves:
            plot = plot_sweep(curves, "training images", name)
            figures.append(Figure(f"sizes-{file_word(name)}", plot, f"{name} over the number of training images."))
    return figures


def _ranking(tables: Tables) -> list[Figure]:
    """How firmly the arms can be ordered by Dice."""
    names, matrix, patients = list(tables), *_dice(tables)
    if len(names) < 2 or matrix.shape[1] < 2:
        return []
    found = {scheme: stability(matrix, scheme, higher_is_better=True, clusters=patients, draws=DRAWS, seed=0)
             for scheme in ("aggregate_then_rank", "rank_then_aggregate", "test_then_rank")}  # fmt: skip
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
    kept = "all" if "all" in structures else "head"
    values = [
        np.mean([[row.value or 0.0 for row in seed if row.structure == kept] for seed in seeds], axis=0)
        for seeds in rows.values()
    ]
    first = next(iter(rows.values()))[0]
    return np.array(values), np.array([row.patient_key for row in first if row.structure == kept])


def _cases(images: ImageSet, masks: MaskSet, table: Sequence[Measurement]) -> bytes:
    """Three test images each from the best, the middle and the worst."""
    kept = "all" if any(row.structure == "all" for row in table) else "head"
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


def _agreements(arm: str, table: Sequence[Measurement]) -> list[Figure]:
    figures = []
    for quantity, title in (("hc", "Head circumference"), ("aop", "Angle of progression")):
        rows = [row for row in table if row.quantity == quantity]
        pairs = [(row.value, row.reference) for row in rows if row.value is not None and row.reference is not None]
        if len(pairs) > 1:
            values, references = np.array(pairs, float).T
            plot = plot_bland_altman(values, references, rows[0].unit, title)
            caption = f"{arm}: measured minus reference, {len(pairs)} of {len(rows)} images, first training seed."
            figures.append(Figure(f"bland-altman-{quantity}-{file_word(arm)}", plot, caption))
    return figures
