"""Splits by patient: who trains, who validates, who is tested on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from fulora.data.labels import Split
from fulora.environment import derive_seed


def split_patients(keys: Sequence[str], shares: Mapping[Split, float], seed: int) -> dict[str, Split]:
    """The split of every patient: about the given share of each site's patients, chosen by `seed`.

    A site's patients are ranked by (seed, key) alone, so that adding some moves few others. A held-out split gets at
    least one patient of a site that has enough of them.

    Args:
        keys: patient keys `source/site/patient`; repeats count once.
        shares: of the patients, adding up to 1; the first split gets what rounding leaves.

    Raises:
        ValueError: the shares do not add up to 1.
    """
    if abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"shares of the patients add up to {sum(shares.values()):g}, not to 1: {dict(shares)}")
    sites = defaultdict(set)
    for key in keys:
        sites[key.rsplit("/", 1)[0]].add(key)
    first, *others = shares
    found: dict[str, Split] = {}
    for members in sites.values():
        ranked = sorted(members, key=lambda key: derive_seed("split", seed, key))
        for split in others:
            count = min(max(1, round(shares[split] * len(members))), max(0, len(ranked) - 1))
            found |= dict.fromkeys(ranked[:count], split)
            ranked = ranked[count:]
        found |= dict.fromkeys(ranked, first)
    return found
