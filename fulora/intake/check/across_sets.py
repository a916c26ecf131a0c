"""What the data sets of one folder share: pictures, patients, and patient numbers under other names."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fulora.data.patient_numbers import Name, lines, same_numbers
from fulora.data.pictures.near_duplicates import near_pairs
from fulora.intake.check.duplicates import describe_image
from fulora.intake.check.findings import Check, Finding, finding
from fulora.intake.check.image_facts import ImageFacts
from fulora.intake.check.patient_numbers import ADVICE, KIND, file_by_patient, splits_by_patient


class CheckedSet(NamedTuple):
    """A set with what was found in it.

    Attributes:
        facts: of its images; nothing for a list without images.
        numbered: whether its patients are told by numbers that may be those of another set.
    """

    name: str
    check: Check
    facts: Sequence[ImageFacts]
    numbered: bool


def check_across(sets: Sequence[CheckedSet], others: Sequence[Path], strays: Sequence[str] = ()) -> Check:
    """The checks of several sets, and what the sets share.

    Args:
        others: folders in which no set was found.
        strays: files that lie beside the sets.
    """
    good = [(one.name, found) for one in sets for found in one.facts if not found.error]
    findings = (
        *_pictures(good),
        *_patients(good),
        *_numbers(sets),
        *_classes(sets),
        *finding(
            "note",
            "folders without a set",
            "folders have no layout that is known here, or are links: not looked at",
            list(map(str, others)),
        ),
        *finding("note", "files beside the sets", "files belong to no set: not looked at", strays),
    )
    counts = {"set": {f"{one.name} ({one.check.kind})": one.check.n_images for one in sets}}
    return Check(
        f"{len(sets)} data sets",
        counts,
        sum(one.check.n_images for one in sets),
        len({found.patient for _, found in good}),
        findings,
        sets={one.name: one.check for one in sets},
    )


def _pictures(good: Sequence[tuple[str, ImageFacts]]) -> list[Finding]:
    by_digest: dict[str, dict[str, ImageFacts]] = defaultdict(dict)
    for name, found in good:
        by_digest[found.digest].setdefault(name, found)
    same = [
        " = ".join(f"{name}/{describe_image(found)}" for name, found in those.items())
        for those in by_digest.values()
        if len(those) > 1
    ]
    near = []
    for one, other, alike in near_pairs([found.likeness for _, found in good]):
        (name, found), (other_name, other_found) = good[one], good[other]
        if name != other_name and found.digest != other_found.digest:
            near.append(
                f"{name}/{describe_image(found)} ~ {other_name}/{describe_image(other_found)}, correlation {alike:.3f}"
            )
    return [
        *finding(
            "leak",
            "identical across sets",
            "pictures are in two sets, pixel for pixel: do not train on one and test on the other",
            same,
        ),
        *finding("leak", "near duplicates across sets", "pairs in two sets show nearly the same picture", near),
    ]


def _patients(good: Sequence[tuple[str, ImageFacts]]) -> list[Finding]:
    sets = defaultdict(set)
    for name, found in good:
        sets[found.patient].add(name)
    shared = [f"{patient}: {' and '.join(sorted(names))}" for patient, names in sets.items() if len(names) > 1]
    text = "patients are in two sets: do not train on one and test on the other"
    return finding("leak", "patients in two sets", text, shared)


def _numbers(sets: Sequence[CheckedSet]) -> list[Finding]:
    names = [splits_by_patient(one.facts) if one.numbered else {} for one in sets]
    pairs: set[tuple[Name, Name]] = set()
    files = {name: path for one in sets for name, path in file_by_patient(one.facts).items()}
    for place, later in enumerate(names):
        for earlier in names[:place]:
            pairs |= set(same_numbers(earlier, later))
    return finding("misleading", KIND, ADVICE, lines(sorted(pairs), files=files))


def _classes(sets: Sequence[CheckedSet]) -> list[Finding]:
    """The classes of each set, where they are not those of all."""
    by_set = {one.name: sorted({found.image.plane for found in one.facts}) for one in sets if one.facts}
    if len({tuple(names) for names in by_set.values()}) < 2:
        return []
    told = [f"{name}: {', '.join(names)}" for name, names in by_set.items()]
    text = "sets show other classes than the others: name one label set for all (label_set=...), and what is called "
    return finding("note", "other classes", text + "otherwise there by classes={...}", told)
