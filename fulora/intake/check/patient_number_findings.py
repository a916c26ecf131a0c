"""Patients with equal numbers and different names, who may be one patient in two splits."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fulora.data.column_types import Split
from fulora.data.patient_numbers import WAYS_OUT, PatientName, describe_pairs, same_numbers
from fulora.intake.check.findings import Finding, misleading
from fulora.intake.check.image_facts import ImageFacts

KIND = "one number under two names"
ADVICE = f"pairs of names share patient numbers. {WAYS_OUT}"


def splits_by_patient(facts: Sequence[ImageFacts]) -> dict[PatientName, set[Split | None]]:
    """Return every patient with the published splits of their images."""
    splits: dict[PatientName, set[Split | None]] = defaultdict(set)
    for image in (one.image for one in facts if not one.image.synthetic):
        splits[image.patient_name].add(image.published)
    return splits


def file_by_patient(facts: Sequence[ImageFacts]) -> dict[PatientName, Path | None]:
    """Return one file of every patient."""
    return {one.image.patient_name: one.image.path for one in reversed(facts) if not one.image.synthetic}


def check_numbers(facts: Sequence[ImageFacts]) -> Finding:
    """Find patients with equal numbers and different names, unless their images are in one published split."""
    splits = splits_by_patient(facts)
    pairs = [
        (one, other)
        for one, other in same_numbers(splits, splits)
        if len(splits[one] | splits[other]) > 1 or None in splits[one]
    ]
    return misleading(KIND, ADVICE, describe_pairs(pairs, files=file_by_patient(facts)))
