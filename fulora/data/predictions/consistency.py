"""Checks of a valid table of predictions for likely mistakes: spellings of patients, and decisions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from fulora.data.patient_numbers import SHOWN, PatientName
from fulora.data.predictions.rows import PredictionFileError

TIE = 1e-9
"""Probabilities that differ by less are equal."""


def check_spellings(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse patients of one site whose numbers differ only in case or leading zeros.

    Resampled as different patients they would make every interval too narrow.

    Raises:
        PredictionFileError: if there are any.
    """
    found: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in rows:
        name = _name(row)
        if name.number:
            found[row["site"], name.source, name.site, name.number].add(row["patient"])
    several = {key: sorted(names) for key, names in found.items() if len(names) > 1}
    if several:
        shown = [f"{' = '.join(names)} (site {key[0]!r})" for key, names in several.items()]
        raise PredictionFileError(
            f"{path}: {len(several)} patients are spelled in two ways, which differ in case or leading zeros only: "
            f"{', '.join(shown[:SHOWN])}{' and more' if len(shown) > SHOWN else ''}. Intervals count patients: "
            "spell each one alike, or, if they are different patients, give them numbers that differ otherwise"
        )


def note_shared_numbers(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return a note on patient numbers that occur at more than one site, if there are any."""
    found: dict[str, set[str]] = defaultdict(set)
    written: dict[str, str] = {}
    for row in rows:
        name = _name(row)
        if name.number:
            found[name.number].add(row["site"])
            written.setdefault(name.number, name.patient)
    several = [f"{written[number]} ({', '.join(sorted(at))})" for number, at in found.items() if len(at) > 1]
    if not several:
        return ()
    return (
        f"{len(several)} patient numbers occur at two or more sites, and count as a patient at each: "
        f"{', '.join(several[:SHOWN])}{' and more' if len(several) > SHOWN else ''}",
    )


def note_improbable_decisions(
    decided: Int[np.ndarray, " n"], probabilities: Float[np.ndarray, "n classes"] | None
) -> tuple[str, ...]:
    """Return a note on rows whose `predicted` is not their most probable class, if there are any."""
    if probabilities is None:
        return ()
    own = probabilities[np.arange(len(decided)), decided]
    count = int((own < probabilities.max(axis=1) - TIE).sum())
    if not count:
        return ()
    return (
        f"predicted is not the most probable class in {count} of {len(decided)} rows: decisions are scored by "
        "predicted, probabilities as they are; are both of one model?",
    )


def _name(row: Mapping[str, Any]) -> PatientName:
    """Return the patient of a row, whose number may be a whole key, `source/site/patient`."""
    patient = row["patient"]
    return PatientName.of_key(patient) if patient.count("/") >= 2 else PatientName("", row["site"], patient)
