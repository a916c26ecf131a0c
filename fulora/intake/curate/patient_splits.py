"""The division of a source's patients into splits."""

from collections.abc import Iterable, Sequence

from fulora.data import splits as rules
from fulora.data.column_types import Split
from fulora.data.split_file import SplitFile
from fulora.data.splits import Member, SplitError
from fulora.intake.source_config import SourceConfig, SplitRule


def split_patients(members: Sequence[Member], source: SourceConfig, seed: int) -> SplitFile:
    """Divide the patients of a source by the rule of its config.

    Raises:
        SplitError: if the patients cannot be divided by this rule, or a split is empty.
    """
    splits, rule = _divide(members, source, seed)
    empty = sorted(set(source.split_shares()) - set(splits.values()))
    if empty:
        n_patients = len({member.patient for member in members})
        raise SplitError(
            f"role={source.role} by {rule}: none of {n_patients} patients is in {' or '.join(empty)}; give more "
            "patients, other shares, another rule (split, gap), or another role"
        )
    left_out = frozenset(member.patient for member in members) - set(splits)
    return SplitFile(rule, splits, left_out, _few_shot_images(members, splits, source, seed))


def split_rule(source: SourceConfig, published: Iterable[Split | None]) -> SplitRule:
    """Return the rule by which a source is divided; `published` are the splits that it assigns itself."""
    if source.split != "as_listed":
        return source.split
    return "published" if any(published) else "stratified"


def _divide(members: Sequence[Member], source: SourceConfig, seed: int) -> tuple[dict[str, Split], str]:
    shares = source.split_shares()
    if source.left_out_site:
        site, left = source.left_out_site, 1 - shares["test"]
        rest: dict[Split, float] = {split: share / left for split, share in shares.items() if split != "test"}
        return rules.without_site(members, site, rest, seed), f"{site} left out, seed {seed}"
    match split_rule(source, [member.published for member in members]):
        case "stratified" | "as_listed":
            return rules.stratified(members, shares, seed), f"stratified by plane and site, seed {seed}"
        case "patients":
            return rules.by_patient(members, shares, seed), f"by patient, seed {seed}"
        case "blocks":
            return rules.in_blocks(members, shares, source.gap), f"contiguous blocks, gap {source.gap}"
        case "published":
            return _published(members, source, seed), f"published, validation by seed {seed}"


def _published(members: Sequence[Member], source: SourceConfig, seed: int) -> dict[str, Split]:
    """Return the published splits of the role; without a published validation split it is taken from training."""
    shares, published = source.split_shares(), rules.as_published(members)
    if "validation" in shares and "validation" not in published.values():
        training = [member for member in members if published[member.patient] == "train"]
        share = source.validation_share
        published |= rules.stratified(training, {"train": 1 - share, "validation": share}, seed)
    return {patient: split for patient, split in published.items() if split in shares}


def _few_shot_images(
    members: Sequence[Member], splits: dict[str, Split], source: SourceConfig, seed: int
) -> frozenset[str] | None:
    """Return the ids of images to use if only a few are kept for training; None for all."""
    if source.images_per_plane is None and source.patients_per_plane is None:
        return None
    training = [member for member in members if splits.get(member.patient) == "train"]
    if source.images_per_plane is not None:
        kept = rules.few_images(training, source.images_per_plane, seed)
    else:
        kept = rules.few_patients(training, source.patients_per_plane or 0, seed)
    return frozenset(kept).union(one.image_id for one in members if splits.get(one.patient) not in (None, "train"))
