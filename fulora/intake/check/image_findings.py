"""What would leak or mislead in a folder of images, found before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, islice

import numpy as np

from fulora.biometry.quality import field_of_view_mm
from fulora.intake.check.duplicates import find_duplicates
from fulora.intake.check.findings import SEVERITIES, Check, Finding, finding
from fulora.intake.check.image_facts import ImageFacts
from fulora.intake.raw_image import (
    FILE_NOT_FOUND,
    MARKED_SYNTHETIC,
    NOT_LISTED,
    FileNote,
    NoPixelSize,
    PassedOver,
    PatientDoubt,
)

HC_TOLERANCE = 0.05
SHOWN = 5
"""Patients who are named as examples."""
SHORTCUT = 0.25
"""How much more often than overall a machine or site must show one plane before it is told."""


def check_images(kind: str, facts: Sequence[ImageFacts], told: Sequence[str], more: Sequence[Finding] = ()) -> Check:
    """All findings, leaks first.

    Args:
        kind: the layout the folder was read as.
        told: what the reader said of rows and files that it left out.
        more: what else was found.
    """
    good = [found for found in facts if not found.error]
    findings = [
        *chain.from_iterable(find(good) for find in (find_duplicates, _patients, _masks, _measures, _looks)),
        *_unusable(facts, told),
        *more,
    ]
    findings.sort(key=lambda found: SEVERITIES.index(found.severity))
    patients = {found.patient: found.image.patient for found in facts}
    shown = tuple(islice(patients.values(), SHOWN))
    return Check(kind, _counts(facts), len(facts), len(patients), tuple(findings), shown)


def _counts(facts: Sequence[ImageFacts]) -> dict[str, dict[str, int]]:
    by: dict[str, Callable[[ImageFacts], str]] = {
        "plane": lambda found: found.image.plane,
        "site": lambda found: found.image.site,
        "machine": lambda found: found.image.machine or "not said",
        "published split": lambda found: found.image.published or "not said",
        "size": lambda found: f"{found.width} x {found.height}" if found.width else "not read",
        "mode": lambda found: found.mode or "not read",
        "mask": lambda found: "with" if found.mask else "without",
        "pixel size": lambda found: "known" if found.image.pixel_size_mm else "unknown",
    }
    return {name: dict(Counter(map(of, facts)).most_common()) for name, of in by.items()}


def _patients(facts: Sequence[ImageFacts]) -> list[Finding]:
    images, halves = defaultdict(list), defaultdict(set)
    for found in facts:
        images[found.patient].append(found.image.name)
        halves[found.patient].add(found.image.published)
    several = [f"{patient}: {', '.join(names)}" for patient, names in images.items() if len(names) > 1]
    both = [
        f"{patient}: {' and '.join(sorted(s or '?' for s in found))}"
        for patient, found in halves.items()
        if len(found) > 1
    ]
    return [
        *finding("leak", "patients in two splits", "patients stand in two published splits", both),
        *finding(
            "note",
            "patients with several images",
            "patients (or exams) have several images: split by patient, never by image",
            several,
        ),
        *_shortcuts(facts, "machine", [found.image.machine for found in facts]),
        *_shortcuts(facts, "site", [found.image.site for found in facts]),
    ]


def _shortcuts(facts: Sequence[ImageFacts], what: str, values: Sequence[str]) -> list[Finding]:
    """Machines or sites that show one plane far more often than the others do."""
    overall = Counter[str](found.image.plane for found in facts)
    by: dict[str, Counter[str]] = defaultdict(Counter)
    for value, found in zip(values, facts, strict=True):
        by[value][found.image.plane] += 1
    told = []
    for value, planes in by.items():
        plane, count = planes.most_common(1)[0]
        share, usual = count / planes.total(), overall[plane] / len(facts)
        if value and planes.total() >= 30 and share - usual >= SHORTCUT:
            told.append(f"{value}: {plane} is {share:.0%} of its {planes.total()} images, {usual:.0%} of all")
    missing = [
        f"{value}: no {', '.join(sorted(set(overall) - set(planes)))}"
        for value, planes in by.items()
        if value and set(overall) - set(planes)
    ]
    return [
        *finding("note", f"{what} tells the plane", f"a network may read the {what} instead of the anatomy", told),
        *finding("note", f"planes missing at a {what}", "means over planes do not compare there", missing),
    ]


def _masks(facts: Sequence[ImageFacts]) -> list[Finding]:
    masked = [(found.image.name, found.mask) for found in facts if found.mask is not None]
    usual = Counter(mask.classes for _, mask in masked).most_common(1)
    empty = [name for name, mask in masked if not mask.classes]
    odd = [f"{name}: classes {mask.classes}" for name, mask in masked if mask.classes not in ((), usual[0][0])]
    parts = [f"{name}: {max(mask.parts)} parts" for name, mask in masked if max(mask.parts, default=1) > 1]
    missing = [found.image.name for found in facts if found.mask is None] if masked else []
    return [
        *finding("misleading", "empty masks", "masks mark nothing", empty),
        *finding(
            "misleading", "odd mask classes", f"masks have other classes than the usual {usual and usual[0][0]}", odd
        ),
        *finding("misleading", "masks in several parts", "masks have specks beside the structure", parts),
        *finding("note", "images without a mask", "images have no mask while others do", missing),
    ]


def _measures(facts: Sequence[ImageFacts]) -> list[Finding]:
    sizes = {found.image.name: found.image.pixel_size_mm for found in facts}
    known = [size for size in sizes.values() if size]
    middle = float(np.median(known)) if known else 0.0
    odd = [f"{name}: {size:g} mm" for name, size in sizes.items() if size and not middle / 10 <= size <= middle * 10]
    views = [
        f"{found.image.name}: {view}"
        for found in facts
        if found.image.pixel_size_mm
        and (view := field_of_view_mm(float(found.width), float(found.height), found.image.pixel_size_mm))
    ]
    unknown = [name for name, size in sizes.items() if size is None] if known else []
    apart = [
        f"{found.image.name}: {found.image.hc_mm:.1f} mm listed, {found.mask.hc_mm:.1f} mm on its mask"
        for found in facts
        if found.mask
        and found.mask.hc_mm
        and found.image.hc_mm
        and abs(found.mask.hc_mm - found.image.hc_mm) > HC_TOLERANCE * found.image.hc_mm
    ]
    return [
        *finding("misleading", "odd pixel sizes", f"pixel sizes are ten times off the median of {middle:.3g} mm", odd),
        *finding(
            "misleading",
            "odd fields of view",
            "pictures show less or more than any fetal scan: the pixel size is wrong, or is not that of these pixels",
            views,
        ),
        *finding(
            "misleading",
            "circumferences that do not fit",
            "the listed HC and the mask's differ by more than 5 %: the pixel size, the reference or the mask is wrong",
            apart,
        ),
        *finding("note", "unknown pixel sizes", "images have no pixel size while others do: no mm for them", unknown),
    ]


def _looks(facts: Sequence[ImageFacts]) -> list[Finding]:
    constant = [f"{found.image.name}: all {found.lowest}" for found in facts if found.lowest == found.highest]
    sizes = defaultdict(set)
    for found in facts:
        sizes[found.image.site].add((found.width, found.height))
    fixed = {site: next(iter(found)) for site, found in sizes.items() if len(found) == 1}
    tell = len(fixed) > 1 and len(fixed) == len(sizes) and len(set(fixed.values())) == len(fixed)
    shown = [f"{site}: {width} x {height}" for site, (width, height) in fixed.items()] if tell else []
    return [
        *finding("misleading", "constant images", "pictures show nothing", constant),
        *finding(
            "note",
            "size tells the site",
            "every site has its own picture size: a resize that distorts tells sites apart",
            shown,
        ),
    ]


def _unusable(facts: Sequence[ImageFacts], told: Sequence[str]) -> list[Finding]:
    broken = [found.error for found in facts if found.error]
    gone = [message for message in told if FILE_NOT_FOUND in message]
    strays = [message for message in told if NOT_LISTED in message]
    made = [message for message in told if MARKED_SYNTHETIC in message]
    passed = [message for message in told if isinstance(message, PassedOver)]
    sizes = [message for message in told if isinstance(message, NoPixelSize)]
    doubts = [message for message in told if isinstance(message, PatientDoubt)]
    noted = [message for message in told if isinstance(message, FileNote) and message not in {*passed, *sizes, *doubts}]
    rest = [message for message in told if not isinstance(message, FileNote) and message not in {*gone, *strays, *made}]
    return [
        *finding("misleading", "unreadable images", "images cannot be used", broken),
        *finding("misleading", "rows without files", "rows of the list have no image", gone),
        *finding(
            "misleading", "files without rows", "picture files are on no list: nobody knows what they show", strays
        ),
        *finding("misleading", "rows or files left out", "the reader could not use them", rest),
        *finding(
            "misleading", "contradictory pixel sizes", "images are kept without a pixel size: no mm for them", sizes
        ),
        *finding(
            "misleading", "doubtful patients", "doubts who a patient is: correct PatientID, or leave files out", doubts
        ),
        *finding("note", "synthetic images", "rows say that they are synthetic, and were not looked at", made),
        *finding("note", "files passed over", "files hold no image for this source", passed),
        *finding("note", "attributes that are not followed", "files are read as their pixels say", noted),
    ]
