"""Scores of segmentation arms with patient-clustered intervals, and arms against a baseline. Torch-free.

A failure never drops out of a mean: an empty mask has the worst overlap and the image diagonal as its distance. A head
or an angle that could not be measured has no error; how many those are is a score of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from pydantic import Field

from fulora.config import Config
from fulora.data.results import Measurement, Protocol, Role, Score
from fulora.metrics.paired_tests import holm, seeds_test
from fulora.metrics.statistics import (
    RIGHT_OR_WRONG,
    Interval,
    Span,
    cluster_bootstrap,
    sign_flip_test,
    weighted_bootstrap,
)
from fulora.metrics.weighted_scores import Values, Weights, mean

OVERLAPS = {"dice": "Dice", "iou": "IoU", "nsd": "NSD"}
DISTANCES = {"hd": "HD", "hd95": "HD95", "assd": "ASSD"}
MEASURED = {"hc": "HC", "aop": "AoP"}
OVER_SEEDS = "over images, then the mean over seeds"
COMPARED = ("Dice", "Dice, all", "HC ADF", "AoP ADF", "challenge S")


class MaskScoreConfig(Config):
    """How intervals are drawn, and which arms are compared.

    Attributes:
        draws, level, seed: of the bootstrap over patients and training seeds.
        permutations: of patients in each test.
        declared: an arm and its baseline: the one comparison that was declared before the run.
        pairs: further ones, an arm and its baseline each; their p-values are adjusted by Holm.
    """

    draws: int = Field(default=2000, ge=100)
    level: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
    permutations: int = Field(default=9999, ge=100)
    declared: tuple[str, str] | None = None
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Images:
    """The images that something was measured on: their ids, whom they show, and where."""

    ids: tuple[str, ...]
    patients: Shaped[np.ndarray, " n"]
    sites: Shaped[np.ndarray, " n"]

    @classmethod
    def of(cls, rows: Sequence[Measurement]) -> "Images":
        """Those of some rows, in order."""
        patients, sites = ([getattr(row, name) for row in rows] for name in ("patient_key", "site"))
        return cls(tuple(row.image_id for row in rows), np.array(patients), np.array(sites))


@dataclass(frozen=True)
class Column:
    """One quantity of an arm.

    Attributes:
        values: of every training seed and image; NaN where it could not be measured.
        quantiles: names of quantiles that are told beside the mean.
        span: between which values one image's lies, where every draw may give the same (see `statistics`).
    """

    name: str
    unit: str
    protocol: Protocol
    images: Images
    values: Float[np.ndarray, "seeds n"]
    note: str = ""
    quantiles: Mapping[str, float] = field(default_factory=dict)
    span: Span | None = None


@dataclass(frozen=True)
class MaskArm:
    """What was measured of one arm, by the name of the column."""

    name: str
    columns: Mapping[str, Column]


def read_arm(name: str, seeds: Sequence[Sequence[Measurement]]) -> MaskArm:
    """The arm of some training seeds' measurements.

    Raises:
        ValueError: the seeds measure other images.
    """
    kinds = list(dict.fromkeys((row.quantity, row.structure, row.unit) for row in seeds[0]))
    alone, columns = len({row.structure for row in seeds[0]}) == 1, dict[str, Column]()
    for quantity, structure, unit in kinds:
        tables = [
            [row for row in rows if (row.quantity, row.structure, row.unit) == (quantity, structure, unit)]
            for rows in seeds
        ]
        if any(Images.of(rows).ids != Images.of(tables[0]).ids for rows in tables):
            raise ValueError(f"arm {name!r}: its training seeds measure different images; give one test set")
        suffix = "" if alone or quantity in (*MEASURED, "psfhs_s") else f", {structure}"
        columns |= {column.name: column for column in _columns(quantity, suffix, unit, tables)}
    return MaskArm(name, columns)


def _columns(quantity: str, suffix: str, unit: str, tables: Sequence[Sequence[Measurement]]) -> Iterator[Column]:
    images = Images.of(tables[0])
    values = np.array([[np.nan if row.value is None else row.value for row in rows] for rows in tables])
    if quantity in OVERLAPS | DISTANCES:
        empty = np.array([[bool(row.failure) for row in rows] for rows in tables])
        note = f"mean over images; {int(empty.sum())} empty predictions over all seeds count as the worst value"
        worst = {"5th percentile": 5.0} if quantity in OVERLAPS else {"95th percentile": 95.0}
        told = {"median": 50.0, **worst} if quantity in ("dice", "hd95") else {}
        in_pixels = " (px)" if unit == "px" and quantity in DISTANCES else ""
        yield Column(
            (OVERLAPS | DISTANCES)[quantity] + suffix + in_pixels, unit, "segmentation", images, values, note, told
        )
        if quantity == "dice":
            yield _share(f"failures{suffix}", "segmentation", images, empty, "share of empty predictions")
    elif quantity in MEASURED:
        name = MEASURED[quantity]
        errors = values - np.array([[row.reference or np.nan for row in rows] for rows in tables])
        lost = np.isnan(errors)
        note = f"{int((~lost).sum())} of {lost.size} measured, over all seeds"
        yield Column(f"{name} bias", unit, "biometry", images, errors, f"measured minus reference; {note}")
        yield Column(f"{name} ADF", unit, "biometry", images, np.abs(errors), note, {"95th percentile": 95.0})
        yield _share(f"{name} failures", "biometry", images, lost, "share without a measurement")
    elif quantity == "psfhs_s":
        yield Column(
            "challenge S", "1", "segmentation", images, values, "the organisers' score, failures as they count them"
        )


def _share(name: str, protocol: Protocol, images: Images, failed: Bool[np.ndarray, "seeds n"], note: str) -> Column:
    return Column(name, "1", protocol, images, failed.astype(float), note, span=RIGHT_OR_WRONG)


def arm_scores(arm: MaskArm, config: MaskScoreConfig) -> list[Score]:
    """Mean of every column over images and training seeds, and some quantiles, each with its interval."""
    found = []
    for column in arm.columns.values():
        if np.isnan(column.values).all(axis=1).any():
            continue  # a seed that measured nothing: the failures say so
        patients, sites = column.images.patients, column.images.sites
        interval = weighted_bootstrap(
            [partial(_mean_of_known, values) for values in column.values], patients, strata=sites,
            draws=config.draws, seed=config.seed, level=config.level, span=column.span,
        )  # fmt: skip
        found.append(_score(arm, column, column.name, column.note, interval))
        for name, level in column.quantiles.items():
            interval = cluster_bootstrap(
                partial(_quantile, column.values, level), patients, strata=sites,
                draws=config.draws, seed=config.seed, level=config.level,
            )  # fmt: skip
            found.append(_score(arm, column, f"{column.name}, {name}", OVER_SEEDS, interval))
    return found


def _mean_of_known(values: Float[np.ndarray, " n"], weights: Weights) -> Values:
    known = ~np.isnan(values)
    return mean(values[known], weights[:, known])


def _quantile(values: Float[np.ndarray, "seeds n"], level: float, images: Int[np.ndarray, " m"]) -> float:
    return float(np.nanpercentile(values[:, images], level, axis=1).mean())


def _score(arm: MaskArm, column: Column, name: str, note: str, interval: Interval) -> Score:
    return Score.of(
        interval,
        name=name,
        arm=arm.name,
        unit=column.unit,
        protocol=column.protocol,
        n_seeds=len(column.values),
        note=note,
    )


def comparisons(arms: Mapping[str, MaskArm], config: MaskScoreConfig) -> list[Score]:
    """Every pair of the config in each compared column that both arms have; the declared pair first.

    p is the larger of a sign-flip test over patients and, with three training seeds or more, a paired t test over
    seeds. Of each column, the p-values of the pairs that were not declared are adjusted by Holm.
    """
    declared = [config.declared] if config.declared else []
    pairs = [pair for pair in dict.fromkeys((*declared, *config.pairs)) if set(pair) <= set(arms)]
    found = []
    for name in COMPARED:
        rows = [row for pair in pairs if (row := _difference(arms[pair[0]], arms[pair[1]], name, config)) is not None]
        tested = [row for row in rows if row.role == "exploratory" and row.p is not None]
        adjusted = dict(zip([row.arm for row in tested], holm([row.p or 0.0 for row in tested]), strict=True))
        for row in rows:
            over = f"; p adjusted by Holm over {len(tested)}" if row.arm in adjusted else ""
            update = {"p_holm": adjusted.get(row.arm), "note": row.note + over}
            found.append(row.model_copy(update=update))
    return found


def _difference(ours: MaskArm, other: MaskArm, name: str, config: MaskScoreConfig) -> Score | None:
    mine, theirs = ours.columns.get(name), other.columns.get(name)
    if mine is None or theirs is None:
        return None
    if mine.images.ids != theirs.images.ids or mine.values.shape != theirs.values.shape:
        raise ValueError(
            f"{ours.name} and {other.name} cannot be paired: they must measure the same images with as many seeds"
        )
    known = ~np.isnan(mine.values - theirs.values).any(axis=0)
    patients, sites = mine.images.patients[known], mine.images.sites[known]
    if len(np.unique(patients)) < 2:
        return None
    gains = (mine.values - theirs.values)[:, known]
    interval = weighted_bootstrap(
        [partial(mean, gain) for gain in gains], patients, strata=sites,
        draws=config.draws, seed=config.seed, level=config.level,
    )  # fmt: skip
    over_patients = sign_flip_test(
        theirs.values[:, known].mean(axis=0), mine.values[:, known].mean(axis=0), patients,
        draws=config.permutations, seed=config.seed,
    )  # fmt: skip
    over_seeds = seeds_test(gains.mean(axis=1).tolist())
    role: Role = "declared" if (ours.name, other.name) == config.declared else "exploratory"
    said = [
        f"{int(known.sum())} of {len(known)} images that all have",
        f"sign flip of patients {over_patients:.4f}",
    ]
    said += [] if over_seeds is None else [f"paired t test over seeds {over_seeds:.4f}: p is the larger"]
    made = _score(ours, mine, f"{name}, {ours.name} minus {other.name}", "; ".join(said), interval)
    p = max(over_patients, over_seeds or 0.0)
    return made.model_copy(update={"arm": f"{ours.name} - {other.name}", "role": role, "p": p})
