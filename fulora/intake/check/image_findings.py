"""Leaks and misleading properties of a folder of images."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from fulora.biometry.quality import field_of_view_mm
from fulora.intake import raw_image
from fulora.intake.check.duplicate_findings import find_duplicates
from fulora.intake.check.findings import Check, Finding, leak, misleading, nonempty, note
from fulora.intake.check.image_facts import ImageFacts

HC_TOLERANCE = 0.05
SHOWN = 5
"""Number of patients that are shown as examples."""
SYNTHETIC = "synthetic"
"""Where synthetic images are counted that have no site and no machine."""

SHORTCUT = 0.25
"""Least difference of a plane's share at a machine or site from its overall share that is reported."""


def check_images(
    kind: str,
    facts: Sequence[ImageFacts],
    messages: Sequence[str],
    more: Sequence[Finding] = (),
    *,
    mixed: bool = False,
) -> Check:
    """Return all findings about images, leaks first.

    Synthetic images have no patient, site or machine: they are compared with all others, and have pixels and masks.

    Args:
        mixed: the set may hold copies of its images that were added on purpose.
        messages: of the reader, about rows and files that it skipped.
    """
    usable = [one for one in facts if not one.error]
    real = [one for one in usable if not one.image.synthetic]
    findings = [
        *find_duplicates(usable, mixed=mixed),
        *_check_patients(real),
        *_check_masks(usable),
        *_check_measures(real),
        *_check_pixels(usable),
        *_check_sizes(real),
        *_check_messages(facts, messages),
        *more,
    ]
    patients = {one.patient: one.image.patient for one in facts if not one.image.synthetic}
    examples = tuple(islice(patients.values(), SHOWN))
    return Check(kind, _count(facts), len(facts), len(patients), nonempty(findings), examples)


def _count(facts: Sequence[ImageFacts]) -> dict[str, dict[str, int]]:
    by: dict[str, Callable[[ImageFacts], str]] = {
        "plane": lambda one: one.image.plane,
        "site": lambda one: SYNTHETIC if one.image.synthetic else one.image.site,
        "machine": lambda one: SYNTHETIC if one.image.synthetic else one.image.machine or "not said",
        "published split": lambda one: one.image.published or "not said",
        "size": lambda one: f"{one.width} x {one.height}" if one.width else "not read",
        "mode": lambda one: one.mode or "not read",
        "mask": lambda one: "with" if one.mask else "without",
        "pixel size": lambda one: "known" if one.image.pixel_size_mm else "unknown",
    }
    return {name: dict(Counter(map(key, facts)).most_common()) for name, key in by.items()}


def _check_patients(facts: Sequence[ImageFacts]) -> list[Finding]:
    images, splits = defaultdict(list), defaultdict(set)
    for one in facts:
        images[one.patient].append(one.image.name)
        splits[one.patient].add(one.image.published)
    several = [f"{patient}: {', '.join(names)}" for patient, names in images.items() if len(names) > 1]
    two = {patient: names for patient, names in splits.items() if len(names) > 1}
    both = [f"{patient}: {' and '.join(sorted(name or '?' for name in names))}" for patient, names in two.items()]
    text = "patients (or exams) have several images: split by patient, never by image"
    return [
        leak("patients in two splits", "patients are in two published splits", both),
        note("patients with several images", text, several),
        *_check_shortcuts(facts, "machine", [one.image.machine for one in facts]),
        *_check_shortcuts(facts, "site", [one.image.site for one in facts]),
    ]


def _check_shortcuts(facts: Sequence[ImageFacts], what: str, values: Sequence[str]) -> list[Finding]:
    """Find machines or sites with one plane far more often than overall, and those without a plane."""
    overall = Counter[str](one.image.plane for one in facts)
    by: dict[str, Counter[str]] = defaultdict(Counter)
    for value, one in zip(values, facts, strict=True):
        by[value][one.image.plane] += 1
    shortcuts, missing = [], []
    for value, planes in by.items():
        plane, count = planes.most_common(1)[0]
        share, usual = count / planes.total(), overall[plane] / len(facts)
        if value and planes.total() >= 30 and share - usual >= SHORTCUT:
            shortcuts.append(f"{value}: {plane} is {share:.0%} of its {planes.total()} images, {usual:.0%} of all")
        if value and set(overall) - set(planes):
            missing.append(f"{value}: no {', '.join(sorted(set(overall) - set(planes)))}")
    return [
        note(f"{what} tells the plane", f"a network may learn the {what} instead of the anatomy", shortcuts),
        note(f"planes missing at a {what}", "means over planes are not comparable there", missing),
    ]


def _check_masks(facts: Sequence[ImageFacts]) -> list[Finding]:
    masked = [(one.image.name, one.mask) for one in facts if one.mask is not None]
    usual = Counter(mask.classes for _, mask in masked).most_common(1)
    empty = [name for name, mask in masked if not mask.classes]
    odd = [f"{name}: classes {mask.classes}" for name, mask in masked if mask.classes not in ((), usual[0][0])]
    parts = [f"{name}: {max(mask.parts)} parts" for name, mask in masked if max(mask.parts, default=1) > 1]
    missing = [one.image.name for one in facts if one.mask is None] if masked else []
    return [
        misleading("empty masks", "masks are empty", empty),
        misleading("odd mask classes", f"masks have other classes than the usual {usual and usual[0][0]}", odd),
        misleading("masks in several parts", "masks have specks beside the structure", parts),
        note("images without a mask", "images have no mask while others do", missing),
    ]


def _check_measures(facts: Sequence[ImageFacts]) -> list[Finding]:
    sizes = {one.image.name: one.image.pixel_size_mm for one in facts}
    known = [size for size in sizes.values() if size]
    median = float(np.median(known)) if known else 0.0
    odd = [f"{name}: {size:g} mm" for name, size in sizes.items() if size and not median / 10 <= size <= median * 10]
    views = [
        f"{one.image.name}: {view}"
        for one in facts
        if one.image.pixel_size_mm
        and (view := field_of_view_mm(float(one.width), float(one.height), one.image.pixel_size_mm))
    ]
    unknown = [name for name, size in sizes.items() if size is None] if known else []
    differ = [
        f"{one.image.name}: {one.image.hc_mm:.1f} mm listed, {one.mask.hc_mm:.1f} mm on its mask"
        for one in facts
        if one.mask
        and one.mask.hc_mm
        and one.image.hc_mm
        and abs(one.mask.hc_mm - one.image.hc_mm) > HC_TOLERANCE * one.image.hc_mm
    ]
    odd_view = "images show less or more than any fetal scan: the pixel size is wrong, or is not that of these pixels"
    odd_hc = "the listed HC and the mask's differ by more than 5 %: the pixel size, the reference or the mask is wrong"
    return [
        misleading("odd pixel sizes", f"pixel sizes differ by a factor of ten from the median of {median:.3g} mm", odd),
        misleading("odd fields of view", odd_view, views),
        misleading("circumferences that do not fit", odd_hc, differ),
        note("unknown pixel sizes", "images have no pixel size while others do: no mm for them", unknown),
    ]


def _check_pixels(facts: Sequence[ImageFacts]) -> list[Finding]:
    constant = [f"{one.image.name}: all {one.lowest}" for one in facts if one.lowest == one.highest]
    return [misleading("constant images", "images are blank", constant)]


def _check_sizes(facts: Sequence[ImageFacts]) -> list[Finding]:
    sizes = defaultdict(set)
    for one in facts:
        sizes[one.image.site].add((one.width, one.height))
    fixed = {site: next(iter(pairs)) for site, pairs in sizes.items() if len(pairs) == 1}
    reveals = len(fixed) > 1 and len(fixed) == len(sizes) and len(set(fixed.values())) == len(fixed)
    shapes = [f"{site}: {width} x {height}" for site, (width, height) in fixed.items()] if reveals else []
    text = "every site has its own image size: a resize that distorts makes sites distinguishable"
    return [note("size tells the site", text, shapes)]


def _check_messages(facts: Sequence[ImageFacts], messages: Sequence[str]) -> list[Finding]:
    unreadable = [one.error for one in facts if one.error]
    missing = [message for message in messages if raw_image.FILE_NOT_FOUND in message]
    unlisted = [message for message in messages if raw_image.NOT_LISTED in message]
    synthetic = [message for message in messages if raw_image.MARKED_SYNTHETIC in message]
    passed = [message for message in messages if isinstance(message, raw_image.PassedOver)]
    sizes = [message for message in messages if isinstance(message, raw_image.NoPixelSize)]
    doubts = [message for message in messages if isinstance(message, raw_image.PatientDoubt)]
    notes = [one for one in messages if isinstance(one, raw_image.FileNote) and one not in {*passed, *sizes, *doubts}]
    rest = [
        one
        for one in messages
        if not isinstance(one, raw_image.FileNote) and one not in {*missing, *unlisted, *synthetic}
    ]
    return [
        misleading("unreadable images", "images cannot be used", unreadable),
        misleading("rows without files", "rows of the list have no image", missing),
        misleading("files without rows", "image files are on no list, so their class is unknown", unlisted),
        misleading("rows or files left out", "rows or files cannot be used", rest),
        misleading("contradictory pixel sizes", "images are kept without a pixel size: no mm for them", sizes),
        misleading("doubtful patients", "doubts about the identity: correct PatientID, or remove files", doubts),
        note("synthetic images", "rows are marked as synthetic, and were not checked", synthetic),
        note("files passed over", "files hold no image for this source", passed),
        note("attributes that are not followed", "files are read by their pixels, against their attributes", notes),
    ]
