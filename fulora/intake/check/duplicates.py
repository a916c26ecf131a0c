"""The same picture twice, pixel for pixel or nearly: across splits first, then across patients."""

from collections import defaultdict
from collections.abc import Sequence

from fulora.data.pictures.near_duplicates import near_pairs
from fulora.intake.check.findings import Finding, Severity, finding
from fulora.intake.check.image_facts import ImageFacts

Pair = tuple[ImageFacts, ImageFacts, float]


def find_duplicates(facts: Sequence[ImageFacts]) -> list[Finding]:
    """Findings on identical and nearly identical pictures.

    Under two patients they are a leak, for any split by patient may put them apart; in a set that is split already,
    by its publisher or by curation, only where they do stand apart.
    """
    split = _splits(facts) > 1 or (bool(facts) and all(found.image.curated for found in facts))
    harm: Severity = "note" if split else "leak"
    return [*_identical(facts, harm), *_near(facts, harm)]


def _identical(facts: Sequence[ImageFacts], harm: Severity) -> list[Finding]:
    groups = defaultdict(list)
    for found in facts:
        groups[found.digest].append(found)
    same = [group for group in groups.values() if len(group) > 1]
    apart = [group for group in same if _splits(group) > 1]
    people = [group for group in same if len({found.patient for found in group}) > 1 and group not in apart]
    labels = [group for group in same if len({found.image.plane for found in group}) > 1]
    within = [group for group in same if len({found.patient for found in group}) == 1]
    return [
        *finding("leak", "identical across splits", "pictures stand pixel for pixel in two splits", _lines(apart)),
        *finding(
            harm,
            "identical across patients",
            "pictures stand under several patients, pixel for pixel: such patients must stay in one split",
            _lines(people),
        ),
        *finding("misleading", "labels disagree", "identical pictures have different labels", _lines(labels)),
        *finding(
            "misleading",
            "identical within a patient",
            "a patient's pictures stand twice and count double",
            _lines(within),
        ),
    ]


def _near(facts: Sequence[ImageFacts], harm: Severity) -> list[Finding]:
    pairs = [
        (facts[a], facts[b], alike)
        for a, b, alike in near_pairs([found.likeness for found in facts])
        if facts[a].digest != facts[b].digest
    ]
    apart = [pair for pair in pairs if _splits(pair[:2]) > 1]
    people = [pair for pair in pairs if pair[0].patient != pair[1].patient and _splits(pair[:2]) <= 1]
    within = [pair for pair in pairs if pair[0].patient == pair[1].patient]
    return [
        *finding(
            "leak",
            "near duplicates across splits",
            "pairs in two splits show nearly the same picture",
            [_pair(pair) for pair in apart],
        ),
        *finding(
            harm,
            "near duplicates across patients",
            "pairs of two patients show nearly the same picture: keep them in one split",
            [_pair(pair) for pair in people],
        ),
        *finding(
            "note",
            "near duplicates within a patient",
            "pairs of one patient show nearly the same picture",
            [_pair(pair) for pair in within],
        ),
    ]


def _splits(group: Sequence[ImageFacts]) -> int:
    return len({found.image.published for found in group} - {None})


def _lines(groups: Sequence[Sequence[ImageFacts]]) -> list[str]:
    return [" = ".join(map(describe_image, group)) for group in groups]


def _pair(pair: Pair) -> str:
    return f"{describe_image(pair[0])} ~ {describe_image(pair[1])}, correlation {pair[2]:.3f}"


def describe_image(found: ImageFacts) -> str:
    """An image in words: its name with site, patient, plane and published split."""
    said = (found.image.site, found.image.patient, found.image.plane, found.image.published or "")
    return f"{found.image.name} ({' '.join(filter(None, said))})"
