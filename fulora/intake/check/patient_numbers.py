"""One patient number under two names in a folder: one woman may be in two splits without anybody noticing."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fulora.data.labels import Split
from fulora.data.patient_numbers import WAYS_OUT, Name, lines, same_numbers
from fulora.intake.check.findings import Finding, finding
from fulora.intake.check.image_facts import ImageFacts

KIND = "one number under two names"
ADVICE = f"pairs of names share patient numbers. {WAYS_OUT}"


def splits_by_patient(facts: Sequence[ImageFacts]) -> dict[Name, set[Split | None]]:
    """Everybody who is shown, with the splits that their images are published in."""
    found: dict[Name, set[Split | None]] = defaultdict(set)
    for image in (one.image for one in facts):
        found[image.patient_name].add(image.published)
    return found


def file_by_patient(facts: Sequence[ImageFacts]) -> dict[Name, Path | None]:
    """A file of everybody who is shown."""
    return {one.image.patient_name: one.image.path for one in reversed(facts)}


def number_findings(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Equal numbers under two names, unless all of their images are in one published split."""
    known = splits_by_patient(facts)
    pairs = [
        (one, other)
        for one, other in same_numbers(known, known)
        if len(known[one] | known[other]) > 1 or None in known[one]
    ]
    return finding("misleading", KIND, ADVICE, lines(pairs, files=file_by_patient(facts)))
