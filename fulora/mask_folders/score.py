"""Scores of folders of predicted masks against a folder of references, and rankings of several predictions."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fulora.biometry.agreement import agreement
from fulora.intake.masks.files import find_masks, resolve_label
from fulora.intake.masks.value_mapping import MaskValues, find_mask_values
from fulora.intake.patient_pattern import patient_finder
from fulora.intake.pixel_sizes import read_pixel_sizes
from fulora.mask_folders.pixel_size_notes import note_pixel_sizes, note_unused_spacing
from fulora.mask_folders.scored_cases import CaseScorer
from fulora.metrics.psfhs_challenge import score_of
from fulora.metrics.scorecard import Sampling
from fulora.metrics.segmentation import summarise
from fulora.metrics.statistics import weighted_bootstrap
from fulora.metrics.weighted_scores import mean
from fulora.progress import note
from fulora.segmentation.challenge_protocols import CaseScores, ScoreKind, score_kinds
from fulora.segmentation.challenge_ranking import Rankings, rank_predictions, ranking_facts
from fulora.segmentation.protocols import MEASURED, Protocol

EXAM = r"^(\d+)_"
"""Of HC18: images of one exam share the number at the beginning of their names."""

REFERENCE = "reference"


@dataclass(frozen=True)
class SegmentationScores:
    """The scores of one or several predictions.

    Attributes:
        facts: all figures, ready for JSON: of each prediction the mean of each score with its interval, the failures
            and the agreement of the measured quantity, and the rankings if there are several predictions.
        cases: the scores of each case, by prediction.
        rankings: None of a single prediction.
    """

    protocol: Protocol
    facts: dict[str, Any]
    cases: Mapping[str, Sequence[CaseScores]]
    rankings: Rankings | None

    def to_json(self) -> dict[str, Any]:
        """Return all figures, with those of each case."""
        return self.facts | {"per_case": {name: [asdict(case) for case in cases] for name, cases in self.cases.items()}}

    def measured_pairs(self) -> tuple[list[float], list[float]]:
        """Return what was measured on the first prediction and on its references, without failures."""
        pairs = [(value, true) for value, true in _pairs(next(iter(self.cases.values()))) if value is not None]
        return [value for value, _ in pairs], [true for _, true in pairs]


def score_masks(
    reference: Path,
    predictions: Sequence[Path],
    protocol: Protocol,
    *,
    pixel_sizes: Path | None = None,
    label: int | None = None,
    patient_pattern: str = "",
    values: Mapping[int, int] | None = None,
    draws: int = 1000,
    seed: int = 0,
    workers: int = 2,
) -> SegmentationScores:
    """Score folders of predicted masks; every reference counts, and one without a prediction counts as the worst.

    Args:
        reference: folder of reference masks.
        predictions: folders of masks with the same names.
        pixel_sizes: CSV list, required by `hc18`; it gives `plain` distances in mm.
        label: for `hc18`, the class number of the head if masks contain several classes.
        patient_pattern: a regular expression with one group, the patient in a file name. Without it `hc18` takes the
            exam number of HC18's names, and else each case is a patient.
        values: the class of each value of the masks; inferred if None.
        draws: bootstrap draws of patients.
        workers: threads.

    Raises:
        ValueError: if options contradict each other, or masks cannot be read or scored.
    """
    _check_options(protocol, pixel_sizes, label)
    references = find_masks(reference)
    sizes = None if pixel_sizes is None else read_pixel_sizes(pixel_sizes)
    folders = dict(zip(_names(predictions), map(find_masks, predictions), strict=True))
    mapping = _find_values(references, folders, values, workers)
    classes = sorted(mapping.held[REFERENCE] - {0})
    kinds = score_kinds(protocol, classes)
    label = resolve_label(mapping, label) if protocol == "hc18" else label
    scorer = CaseScorer(protocol, mapping, classes, sizes, label)
    cases = {name: scorer.score_folder(name, references, files, workers) for name, files in folders.items()}
    patients, patients_known = _patients(list(references), patient_pattern, protocol)
    length = "px" if sizes is None else "mm"
    facts: dict[str, Any] = {
        "protocol": protocol,
        "unit": length,
        "reference": str(reference),
        "cases": len(references),
        "patients": len(set(patients)),
        "patients_known": patients_known,
        "draws": draws,
        "seed": seed,
        "mask_values": mapping.to_json(),
        "predictions": {
            name: _summary(scores, protocol, kinds, length, patients, Sampling(draws, seed))
            | {"not_scored": len(folders[name].keys() - references)}
            | _invented(scores)
            for name, scores in cases.items()
        },
    }
    facts |= note_pixel_sizes(list(cases.values()))
    if sizes is None:
        note_unused_spacing([references, *folders.values()])
    rankings = None
    if len(folders) > 1:
        rankings = rank_predictions(cases, kinds, patients, draws=draws, seed=seed)
        facts["rankings"] = ranking_facts(rankings)
    return SegmentationScores(protocol, facts, cases, rankings)


def _check_options(protocol: Protocol, pixel_sizes: Path | None, label: int | None) -> None:
    if label is not None and protocol != "hc18":
        raise ValueError(f"--label belongs to --protocol hc18; {protocol} scores every class")
    if protocol == "psfhs" and pixel_sizes is not None:
        raise ValueError("--pixel-sizes: the challenge's distances are pixels; leave it out, or use plain or hc18")
    if protocol == "hc18" and pixel_sizes is None:
        raise ValueError("--protocol hc18 needs --pixel-sizes: a CSV with filename and pixel size(mm)")


def _names(folders: Sequence[Path]) -> list[str]:
    """Short names of the predictions: their folders', or whole paths if those are equal."""
    short = [folder.resolve().name for folder in folders]
    names = short if len(set(short)) == len(short) else [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"--prediction: {', '.join(names)}: the same folder twice; give each once")
    return names


def _find_values(
    references: Mapping[str, Path],
    folders: Mapping[str, Mapping[str, Path]],
    values: Mapping[int, int] | None,
    workers: int,
) -> MaskValues:
    scored = {
        f"prediction {name}": [files[case] for case in files if case in references] for name, files in folders.items()
    }
    mapping = find_mask_values({REFERENCE: references.values(), **scored}, values, workers)
    note(mapping.describe())
    return mapping


def _patients(cases: Sequence[str], pattern: str, protocol: Protocol) -> tuple[list[str], bool]:
    """The patient of each case, and whether it is known: by the pattern, or by HC18's names if all match."""
    if not pattern and protocol == "hc18" and all(re.match(EXAM, case) for case in cases):
        pattern = EXAM
    if not pattern:
        return list(cases), False
    finder = patient_finder(pattern, False)
    return [finder(case) for case in cases], True


def _summary(
    cases: Sequence[CaseScores],
    protocol: Protocol,
    kinds: Mapping[str, ScoreKind],
    length: str,
    patients: Sequence[str],
    sampling: Sampling,
) -> dict[str, Any]:
    metrics = {
        name: _metric(cases, name, kind, patients, sampling) | {"unit": kind.in_unit(length)}
        for name, kind in kinds.items()
    }
    summary: dict[str, Any] = {
        "metrics": metrics,
        "failed_cases": sum(bool(case.failures) for case in cases),
        "failures": dict(Counter(failure for case in cases for failure in case.failures)),
    }
    agreed = agreement(_pairs(cases))
    if agreed is not None:
        summary["agreement"] = asdict(agreed) | {"of": MEASURED[protocol].name}
    if protocol == "psfhs":
        summary["S"] = score_of({name: row["mean"] for name, row in metrics.items()})
    return summary


def _metric(
    cases: Sequence[CaseScores], name: str, kind: ScoreKind, patients: Sequence[str], sampling: Sampling
) -> dict[str, Any]:
    values = np.array([case.values[name] for case in cases])
    failed = np.array([bool(case.failures) for case in cases])
    draws, seed = sampling.draws, sampling.seed
    interval = weighted_bootstrap([partial(mean, values)], np.array(patients), draws=draws, seed=seed)
    summary = summarise(values, failed, higher_is_better=kind.higher_is_better)
    return asdict(summary) | {"low": interval.low, "high": interval.high}


def _pairs(cases: Sequence[CaseScores]) -> list[tuple[float | None, float]]:
    return [(case.measured, case.measured_reference) for case in cases if case.measured_reference is not None]


def _invented(cases: Sequence[CaseScores]) -> dict[str, Any]:
    """How many predictions contain a class that no reference contains, and how many each; empty if none does."""
    classes = Counter(number for case in cases for number in case.invented)
    if not classes:
        return {}
    masks = sum(bool(case.invented) for case in cases)
    return {"invented": {"masks": masks, "classes": {str(number): classes[number] for number in sorted(classes)}}}
