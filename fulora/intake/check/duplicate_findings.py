"""Identical and near-duplicate images: across splits first, then across patients."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from fulora.data.pictures.near_duplicates import near_pairs
from fulora.intake.check.findings import Finding, leak, misleading, note
from fulora.intake.check.image_facts import ImageFacts

COPY = re.compile(r"_copy\d+$")
"""End of the name of an added copy."""

Pair = tuple[ImageFacts, ImageFacts, float]
MakeFinding = Callable[[str, str, Sequence[str]], Finding]


def find_duplicates(facts: Sequence[ImageFacts], *, mixed: bool = False) -> list[Finding]:
    """Return findings about identical and nearly identical images.

    Duplicates of two patients are a leak, since a split by patient may separate them; in a set that is already split,
    by its publisher or by curation, only if they are in two splits. So is a synthetic image that is like a real one of
    another split; others that are like it are informative.

    Args:
        mixed: the set may hold copies of its images that were added on purpose.
    """
    is_split = _n_splits(facts) > 1 or (bool(facts) and all(one.image.curated for one in facts))
    across_patients: MakeFinding = note if is_split else leak
    return [*_identical(facts, across_patients, mixed), *_near(facts, across_patients)]


def _identical(facts: Sequence[ImageFacts], across_patients: MakeFinding, mixed: bool) -> list[Finding]:
    groups = defaultdict(list)
    for one in facts:
        groups[one.digest].append(one)
    same = [group for group in groups.values() if len(group) > 1]
    splits = [group for group in same if _n_splits(group) > 1]
    labels = [group for group in same if len({one.image.plane for one in group}) > 1]
    added = [group for group in same if mixed and _are_added_copies(group)]
    others = [group for group in same if not (mixed and _are_added_copies(group))]
    synthetic = [group for group in others if _n_synthetic(group) and _n_splits(group) <= 1]
    real = [group for group in others if not _n_synthetic(group)]
    patients = [group for group in real if _n_patients(group) > 1 and _n_splits(group) <= 1]
    within = [group for group in real if _n_patients(group) == 1]
    text = "images are identical for several patients: such patients must stay in one split"
    made = "synthetic images are copies of a real image or of one another"
    return [
        leak("identical across splits", "identical images are in two splits", _describe_groups(splits)),
        across_patients("identical across patients", text, _describe_groups(patients)),
        misleading("labels disagree", "identical images have different labels", _describe_groups(labels)),
        misleading("identical within a patient", "images of a patient are duplicates", _describe_groups(within)),
        misleading("identical synthetic images", made, _describe_groups(synthetic)),
        note("added copies", "images have copies that were added on purpose (mix.json)", _describe_groups(added)),
    ]


def _near(facts: Sequence[ImageFacts], across_patients: MakeFinding) -> list[Finding]:
    pairs = [
        (facts[a], facts[b], alike)
        for a, b, alike in near_pairs([one.likeness for one in facts])
        if facts[a].digest != facts[b].digest
    ]
    splits = [pair for pair in pairs if _n_splits(pair[:2]) > 1]
    others = [pair for pair in pairs if _n_splits(pair[:2]) <= 1]
    synthetic = [pair for pair in others if _n_synthetic(pair[:2])]
    real = [pair for pair in others if not _n_synthetic(pair[:2])]
    patients = [pair for pair in real if _n_patients(pair[:2]) > 1]
    within = [pair for pair in pairs if not _n_synthetic(pair[:2]) and _n_patients(pair[:2]) == 1]
    text = "pairs of two patients are near duplicates: keep them in one split"
    made = "pairs with a synthetic image are near duplicates; `fulora assess` measures whether it copies"
    return [
        leak("near duplicates across splits", "pairs in two splits are near duplicates", _describe_pairs(splits)),
        across_patients("near duplicates across patients", text, _describe_pairs(patients)),
        note("near duplicates within a patient", "pairs of one patient are near duplicates", _describe_pairs(within)),
        note("near duplicates of synthetic images", made, _describe_pairs(synthetic)),
    ]


def _are_added_copies(group: Sequence[ImageFacts]) -> bool:
    """Return whether images of one split are copies of one by their names, as a mix writes them."""
    return _n_splits(group) <= 1 and len({COPY.sub("", one.image.name) for one in group}) == 1


def _n_synthetic(group: Sequence[ImageFacts]) -> int:
    return sum(one.image.synthetic for one in group)


def _n_splits(group: Sequence[ImageFacts]) -> int:
    return len({one.image.published for one in group} - {None})


def _n_patients(group: Sequence[ImageFacts]) -> int:
    return len({one.patient for one in group})


def _describe_groups(groups: Sequence[Sequence[ImageFacts]]) -> list[str]:
    return [" = ".join(map(describe_image, group)) for group in groups]


def _describe_pairs(pairs: Sequence[Pair]) -> list[str]:
    return [f"{describe_image(one)} ~ {describe_image(two)}, correlation {alike:.3f}" for one, two, alike in pairs]


def describe_image(facts: ImageFacts) -> str:
    """Describe an image: its name with site, patient, plane and published split."""
    details = (facts.image.site, facts.image.patient, facts.image.plane, facts.image.published or "")
    return f"{facts.image.name} ({' '.join(filter(None, details))})"
