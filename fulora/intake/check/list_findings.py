"""Checks of lists without images: counts, duplicates and contradictions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from fulora.intake.check.findings import Check, Finding, leak, misleading, nonempty, note
from fulora.intake.raw_image import OnSkip
from fulora.intake.sources.fetal_planes import LISTS as PUBLISHED
from fulora.intake.sources.fu_lora_lists import LISTS, ListedImage, missing_images, read_list

Lists = Mapping[str, Sequence[ListedImage]]


def find_lists(folder: Path) -> list[Path]:
    """Return the lists of FETAL_PLANES_DB (one of its two formats) and of FU-LoRA in a folder."""
    published = [folder / name for name in PUBLISHED if (folder / name).is_file()][:1]
    return published + [folder / name for name in LISTS.values() if (folder / name).is_file()]


def check_lists(paths: Iterable[Path]) -> Check:
    """Count rows by list, plane and half; find images with two planes, patients in two halves, and shared images."""
    messages: list[str] = []
    lists = {path.name: read_list(path, messages.append) for path in paths}
    rows = [row for listed in lists.values() for row in listed]
    counts = {
        "list": {name: len(listed) for name, listed in lists.items()},
        "patients": {name: len({row.patient for row in listed} - {""}) for name, listed in lists.items()},
    }
    for name, listed in lists.items():
        counts[f"planes of {name}"] = dict(Counter(row.plane for row in listed).most_common())
        counts[f"halves of {name}"] = dict(Counter(row.half or "not said" for row in listed).most_common())
    findings = [*_contradictions(lists), misleading("rows left out", "rows cannot be used", messages), _overlaps(lists)]
    return Check("lists", counts, len(rows), len({row.patient for row in rows} - {""}), nonempty(findings))


def _contradictions(lists: Lists) -> list[Finding]:
    planes, halves = defaultdict(set), defaultdict(set)
    for row in (row for listed in lists.values() for row in listed):
        planes[row.name].add(row.plane)
        if row.patient and row.half:
            halves[row.patient].add(row.half)
    two = [f"{name}: {' and '.join(sorted(names))}" for name, names in planes.items() if len(names) > 1]
    both = [patient for patient, names in halves.items() if len(names) > 1]
    return [
        leak("patients in two splits", "patients are in both published halves", both),
        misleading("labels disagree", "images are listed as different planes", two),
    ]


def _overlaps(lists: Lists) -> Finding:
    shared = []
    for (one, first), (two, second) in combinations(lists.items(), 2):
        images = {row.name for row in first} & {row.name for row in second}
        patients = ({row.patient for row in first} & {row.patient for row in second}) - {""}
        if patients:
            shared.append(f"{one} and {two}: {len(images)} images, {len(patients)} patients")
    text = "pairs of lists share images or patients: do not train on one and test on the other"
    return note("lists share patients", text, shared)


def listed_without_images(path: Path, folder: Path, on_skip: OnSkip) -> Finding:
    """Find the rows of a list whose image is not in a folder; unusable rows are passed to `on_skip`."""
    missing = missing_images(read_list(path, on_skip), folder)
    names = [f"{row.name} ({row.plane})" for row in missing]
    return misleading("rows without files", f"rows of {path.name} have no image", names)
