"""Segmentation and head-circumference scores with patient-clustered intervals; failures are counted, never dropped."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.results import Measurement, Measurements, Protocol, Score, ScoreConfig, Scores, write_table
from fulora.stage import stage

OVERLAPS = ("dice", "iou", "hd95")


@stage(version=1)
def score_heads(out: Path, config: ScoreConfig, measurements: Measurements) -> Scores:
    """Dice, IoU, HD95; and of head circumference: mean error (bias), mean absolute error, share of failures.

    Distances of images without a pixel size are in pixels and have a row of their own.
    """
    rows = measurements.rows()
    kinds = sorted({(row.quantity, row.unit) for row in rows if row.quantity in OVERLAPS}, key=_order)
    table = [_overlap([row for row in rows if (row.quantity, row.unit) == kind], config) for kind in kinds]
    heads = [row for row in rows if row.quantity == "hc"]
    write_table(out, [*table, *(_circumference(heads, config) if heads else [])])
    return Scores(out, "")


def _order(kind: tuple[str, str]) -> tuple[int, str]:
    return OVERLAPS.index(kind[0]), kind[1]


def _overlap(rows: Sequence[Measurement], config: ScoreConfig) -> Score:
    values = [row.value for row in rows if row.value is not None]
    failed = sum(bool(row.failure) for row in rows)
    note = f"mean over images; {failed} empty predictions count as the worst value"
    return _score(rows[0].quantity, rows, values, config, "segmentation", note)


def _circumference(rows: Sequence[Measurement], config: ScoreConfig) -> list[Score]:
    measured = [row for row in rows if row.value is not None and row.reference is not None]
    errors = [float(row.value or 0) - float(row.reference or 0) for row in measured]
    note = f"{len(measured)} of {len(rows)} heads measured"
    failures = [float(row.value is None) for row in rows]
    scores = [_score("HC failures", rows, failures, config, "biometry", "share of heads without a measurement")]
    if measured:
        scores.append(_score("HC bias", measured, errors, config, "biometry", f"measured minus reference; {note}"))
        absolute = [abs(error) for error in errors]
        scores.append(_score("HC mean absolute error", measured, absolute, config, "biometry", note))
    return scores


def _score(
    name: str, rows: Sequence[Measurement], values: list[float], config: ScoreConfig, protocol: Protocol, note: str
) -> Score:
    import numpy as np

    from fulora.metrics.statistics import cluster_bootstrap

    column = np.array(values)
    interval = cluster_bootstrap(
        lambda images: float(column[images].mean()),
        np.array([row.patient_key for row in rows]),
        strata=np.array([row.site for row in rows]),
        draws=config.draws,
        seed=config.seed,
        level=config.level,
    )
    unit = "1" if name == "HC failures" else rows[0].unit
    return Score.of(interval, note=note, name=name, arm="U-Net", unit=unit, protocol=protocol)
