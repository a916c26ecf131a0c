"""Images, patients and patient numbers that data sets of one folder share."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fulora.data.patient_numbers import PatientName, describe_pairs, same_numbers
from fulora.data.pictures.near_duplicates import near_pairs
from fulora.intake.check.duplicate_findings import describe_image
from fulora.intake.check.findings import Check, Finding, leak, misleading, nonempty, note
from fulora.intake.check.image_facts import ImageFacts
from fulora.intake.check.patient_number_findings import ADVICE, KIND, file_by_patient, splits_by_patient


class CheckedSet(NamedTuple):
    """A data set with its check.

    Attributes:
        facts: of its images; empty for a list without images.
        numbered: whether its patient numbers may coincide with those of another set.
    """

    name: str
    check: Check
    facts: Sequence[ImageFacts]
    numbered: bool


def check_across(sets: Sequence[CheckedSet], others: Sequence[Path], strays: Sequence[str] = ()) -> Check:
    """Return the checks of several sets, and what the sets share."""
    usable = [(one.name, facts) for one in sets for facts in one.facts if not facts.error]
    unknown = "folders have no known layout, or are links: not checked"
    findings = [
        *_shared_images(usable),
        _shared_patients(usable),
        _shared_numbers(sets),
        *_other_classes(sets),
        note("folders without a set", unknown, list(map(str, others))),
        note("files beside the sets", "files belong to no set: not checked", strays),
    ]
    counts = {"set": {f"{one.name} ({one.check.kind})": one.check.n_images for one in sets}}
    n_images, n_patients = sum(one.check.n_images for one in sets), len({facts.patient for _, facts in usable} - {""})
    checks = {one.name: one.check for one in sets}
    return Check(f"{len(sets)} data sets", counts, n_images, n_patients, nonempty(findings), sets=checks)


def _shared_images(usable: Sequence[tuple[str, ImageFacts]]) -> list[Finding]:
    by_digest: dict[str, dict[str, ImageFacts]] = defaultdict(dict)
    for name, facts in usable:
        by_digest[facts.digest].setdefault(name, facts)
    groups = [group for group in by_digest.values() if len(group) > 1]
    identical = [" = ".join(f"{name}/{describe_image(facts)}" for name, facts in group.items()) for group in groups]
    near = []
    for a, b, alike in near_pairs([facts.likeness for _, facts in usable]):
        (name, facts), (other_name, other) = usable[a], usable[b]
        if name != other_name and facts.digest != other.digest:
            pair = f"{name}/{describe_image(facts)} ~ {other_name}/{describe_image(other)}"
            near.append(f"{pair}, correlation {alike:.3f}")
    text = "identical images are in two sets: do not train on one and test on the other"
    return [
        leak("identical across sets", text, identical),
        leak("near duplicates across sets", "pairs in two sets are near duplicates", near),
    ]


def _shared_patients(usable: Sequence[tuple[str, ImageFacts]]) -> Finding:
    sets = defaultdict(set)
    for name, facts in usable:
        if facts.patient:
            sets[facts.patient].add(name)
    shared = [f"{patient}: {' and '.join(sorted(names))}" for patient, names in sets.items() if len(names) > 1]
    text = "patients are in two sets: do not train on one and test on the other"
    return leak("patients in two sets", text, shared)


def _shared_numbers(sets: Sequence[CheckedSet]) -> Finding:
    names = [splits_by_patient(one.facts) if one.numbered else {} for one in sets]
    pairs: set[tuple[PatientName, PatientName]] = set()
    files = {name: path for one in sets for name, path in file_by_patient(one.facts).items()}
    for place, later in enumerate(names):
        for earlier in names[:place]:
            pairs |= set(same_numbers(earlier, later))
    return misleading(KIND, ADVICE, describe_pairs(sorted(pairs), files=files))


def _other_classes(sets: Sequence[CheckedSet]) -> list[Finding]:
    by_set = {one.name: sorted({facts.image.plane for facts in one.facts}) for one in sets if one.facts}
    if len({tuple(names) for names in by_set.values()}) < 2:
        return []
    text = "sets have other classes: set one label set for all (label_set=...), and rename classes by classes={...}"
    return [note("other classes", text, [f"{name}: {', '.join(names)}" for name, names in by_set.items()])]
