"""Splits by patient: rules that assign every patient to one split, or select a few patients.

Rules see an image as a `Member`. Patients who share a picture (the same images under two numbers
happen in published data) are one `cluster` and stay together, whatever the rule.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from fulora.data.column_types import SPLITS, Split
from fulora.environment import derive_seed

Shares = Mapping[Split, float]
Site = Mapping[str, Counter[str]]
"""Images of each plane, by cluster of patients."""


class SplitError(ValueError):
    """Patients that cannot be split as requested."""


class Member(NamedTuple):
    """What a split needs of one image.

    Attributes:
        patient: `source/site/patient`.
        pixels: equal for images of the same picture, such as its digest; "" if unknown.
        published: its split in the source, or None.
    """

    image_id: str
    patient: str
    plane: str = ""
    site: str = ""
    pixels: str = ""
    published: Split | None = None


def clusters(members: Sequence[Member]) -> dict[str, str]:
    """Return the cluster of every patient: the least key of all patients who share pictures, directly or indirectly."""
    from scipy.cluster.hierarchy import DisjointSet  # slow to import, and configs import this module

    joined = DisjointSet(sorted({member.patient for member in members}))
    first: dict[str, str] = {}
    for member in members:
        if member.pixels:
            joined.merge(first.setdefault(member.pixels, member.patient), member.patient)
    return {patient: min(joined.subset(patient)) for patient in joined}


def by_patient(members: Sequence[Member], shares: Shares, seed: int) -> dict[str, Split]:
    """Split about the given share of each site's patients, selected by `seed`.

    A site's patients are ranked by (seed, key) alone, so that adding some moves few others. A held-out split gets at
    least one patient of a site that has enough of them.

    Args:
        shares: of the patients, adding up to 1; the first split gets what rounding leaves.

    Raises:
        SplitError: if the shares do not add up to 1.
    """
    first, *others = shares

    def split_site(site: Site) -> dict[str, Split]:
        splits: dict[str, Split] = {}
        ranked = sorted(site, key=lambda key: derive_seed("split", seed, key))
        for split in others:
            count = min(max(1, round(shares[split] * len(site))), max(0, len(ranked) - 1))
            splits |= dict.fromkeys(ranked[:count], split)
            ranked = ranked[count:]
        return splits | dict.fromkeys(ranked, first)

    return _split_by_site(members, shares, split_site)


def stratified(members: Sequence[Member], shares: Shares, seed: int) -> dict[str, Split]:
    """Split about the given share of each site's images *of every plane*, by whole patients.

    Iterative stratification (Sechidis et al., ECML PKDD 2011, algorithm 1) over whole patients: planes from the rarest
    on, each patient goes to the split that lacks most images of the plane, `seed` decides among equals. A held-out
    split gets at least one patient of a site that has enough of them.

    Raises:
        SplitError: if the shares do not add up to 1.
    """
    return _split_by_site(members, shares, lambda site: _stratified_site(site, shares, seed))


def _stratified_site(site: Site, shares: Shares, seed: int) -> dict[str, Split]:
    total = sum(site.values(), Counter[str]())
    lacks = {split: {plane: share * total[plane] for plane in total} for split, share in shares.items()}
    found: dict[str, Split] = {}
    for plane in sorted(total, key=lambda plane: (total[plane], plane)):
        those = [key for key, planes in site.items() if planes[plane] and key not in found]
        for key in sorted(those, key=lambda key: (-site[key][plane], derive_seed("split", seed, key))):
            best = max(shares, key=lambda split: (round(lacks[split][plane], 9), round(sum(lacks[split].values()), 9)))
            found[key] = best
            for shown, count in site[key].items():
                lacks[best][shown] -= count
    return _fill_empty_splits(found, shares, seed)


def _fill_empty_splits(found: dict[str, Split], shares: Shares, seed: int) -> dict[str, Split]:
    """Give each empty held-out split a patient of the largest split, if that has two."""
    for split in list(shares)[1:]:
        sizes = Counter(found.values())
        largest = max(shares, key=lambda name: sizes[name])
        if not sizes[split] and sizes[largest] > 1:
            those = [key for key, where in found.items() if where == largest]
            found[min(those, key=lambda key: derive_seed("split", seed, key))] = split
    return found


def in_blocks(members: Sequence[Member], shares: Shares, gap: int = 0) -> dict[str, Split]:
    """Split each site's patients, in the order of their numbers, into contiguous blocks: neighbours stay together.

    For frames of videos without patient numbers, where a block of frames stands in for a patient.

    Args:
        gap: how many patients beside a border between two splits are left out (they have no entry in the result).

    Raises:
        SplitError: if the shares do not add up to 1, or a patient's name is no number.
    """
    if wrong := sorted(m.patient for m in members if not m.patient.rsplit("/", 1)[-1].isdecimal()):
        raise SplitError(f"{wrong[0]}: its patient is no number, so it has no neighbours; use another split rule")

    def split_site(site: Site) -> dict[str, Split]:
        splits: dict[str, Split] = {}
        ordered, start = sorted(site, key=lambda key: int(key.rsplit("/", 1)[-1])), 0.0
        for split, share in shares.items():
            low, high = round(start * len(ordered)), round((start + share) * len(ordered))
            first, last = low + gap * (low > 0), high - gap * (high < len(ordered))
            splits |= dict.fromkeys(ordered[first:last], split)
            start += share
        return splits

    return _split_by_site(members, shares, split_site)


def without_site(members: Sequence[Member], site: str, shares: Shares, seed: int) -> dict[str, Split]:
    """Leave one site out: all its patients are the test split, the others are split by `stratified` as `shares` say.

    Raises:
        SplitError: there is no such site, it is the only one, or a patient of it shares a picture with another site.
    """
    sites = sorted({member.site for member in members})
    if site not in sites or len(sites) < 2:
        raise SplitError(f"site '{site}' cannot be left out; the sites are: {', '.join(sites) or 'none'}")
    of = clusters(members)
    left = {of[member.patient] for member in members if member.site == site}
    others = [member for member in members if member.site != site]
    both = sorted({member.patient for member in others if of[member.patient] in left})
    if both:
        raise SplitError(
            f"{', '.join(both)}: share a picture with a patient of {site}, so it cannot be left out; or say "
            "near_duplicates: leave_out"
        )
    tested: Split = "test"
    return stratified(others, shares, seed) | {m.patient: tested for m in members if m.site == site}


def as_published(members: Sequence[Member]) -> dict[str, Split]:
    """Take the split published by the source.

    Raises:
        SplitError: if an image has none, or the source puts a patient or a picture into two.
    """
    of, found = clusters(members), defaultdict(set)
    for member in members:
        if member.published is None:
            raise SplitError(f"{member.image_id}: its source names no split; use another split rule")
        found[of[member.patient]].add(member.published)
    both = sorted(patient for patient, cluster in of.items() if len(found[cluster]) > 1)
    if both:
        raise SplitError(
            f"{len(both)} patients are in two published splits, or share a picture with one who is: "
            f"{', '.join(both[:10])}; leave them out (for shared pictures near_duplicates: leave_out does), or use "
            "another split rule"
        )
    return {patient: next(iter(found[cluster])) for patient, cluster in of.items()}


def few_images(members: Sequence[Member], count: int, seed: int) -> set[str]:
    """Select `count` images of each plane, from as many patients as possible, and return their ids.

    Raises:
        SplitError: if a plane has fewer images.
    """
    chosen: set[str] = set()
    for plane, those in _planes(members).items():
        if len(those) < count:
            raise SplitError(f"{plane}: {count} images a plane are wanted and there are {len(those)}")
        turns: Counter[str] = Counter()
        ranked = []
        for member in sorted(those, key=lambda member: derive_seed("few", seed, member.image_id)):
            ranked.append((turns[member.patient], derive_seed("few", seed, plane, member.patient), member.image_id))
            turns[member.patient] += 1
        chosen |= {image_id for *_, image_id in sorted(ranked)[:count]}
    return chosen


def few_patients(members: Sequence[Member], count: int, seed: int) -> set[str]:
    """Select `count` clusters of patients of each plane, and return the ids of their images of it.

    Raises:
        SplitError: if fewer patients show a plane.
    """
    of, chosen = clusters(members), set[str]()
    for plane, those in _planes(members).items():
        patients = sorted({of[m.patient] for m in those}, key=lambda key: derive_seed("few", seed, plane, key))
        if len(patients) < count:
            raise SplitError(f"{plane}: {count} patients are wanted and {len(patients)} show it")
        kept = set(patients[:count])
        chosen |= {member.image_id for member in those if of[member.patient] in kept}
    return chosen


def folds(members: Sequence[Member], count: int) -> dict[str, int]:
    """Return the fold, from 0, of every image: clusters of patients are assigned in turn, in a fixed random order.

    Raises:
        SplitError: if there are fewer clusters than folds.
    """
    of = clusters(members)
    ranked = sorted(set(of.values()), key=lambda key: derive_seed("folds", key))
    if len(ranked) < count:
        raise SplitError(f"{count} folds are wanted and there are {len(ranked)} patients")
    fold = {key: place % count for place, key in enumerate(ranked)}
    return {member.image_id: fold[of[member.patient]] for member in members}


def _planes(members: Sequence[Member]) -> dict[str, list[Member]]:
    found: dict[str, list[Member]] = {}
    for member in sorted(members):
        found.setdefault(member.plane, []).append(member)
    return found


def _sites(members: Sequence[Member], of: Mapping[str, str]) -> dict[str, dict[str, Counter[str]]]:
    """Clusters by the site of their least patient, each with its number of images of every plane."""
    found: dict[str, dict[str, Counter[str]]] = defaultdict(dict)
    for member in sorted(members, key=lambda member: member.patient):
        cluster = of[member.patient]
        found[cluster.rsplit("/", 1)[0]].setdefault(cluster, Counter())[member.plane] += 1
    return found


def _split_by_site(
    members: Sequence[Member], shares: Shares, split_site: Callable[[Site], dict[str, Split]]
) -> dict[str, Split]:
    if abs(sum(shares.values()) - 1) > 1e-9 or not set(shares) <= set(SPLITS):
        raise SplitError(f"shares of the patients add up to {sum(shares.values()):g}, not to 1: {dict(shares)}")
    of = clusters(members)
    splits = {key: split for site in _sites(members, of).values() for key, split in split_site(site).items()}
    return {patient: splits[cluster] for patient, cluster in of.items() if cluster in splits}
