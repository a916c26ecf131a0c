"""Which split every image gets, before any picture is written: near duplicates of two patients in one, or left out."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fulora.data.labels import Split
from fulora.data.split_file import SplitFile
from fulora.data.splits import Member, SplitError, clusters
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.cross_split_duplicates import describe_pair, images_to_leave_out
from fulora.intake.curate.duplicate_links import DuplicatePair, group_duplicates
from fulora.intake.curate.patient_splits import split_patients, split_rule
from fulora.intake.raw_image import RawImage
from fulora.intake.read_sources import Rows
from fulora.intake.source_config import SplitRule

SHOWN = 10


@dataclass(frozen=True)
class NearDuplicates:
    """Which images of two patients show the same, and what was done about them.

    Attributes:
        rule: `near_duplicates` of the config.
        pairs: a line each: both images, their patients, the correlation.
        joined: groups of patients that were kept in one split.
        left_out: images that were left out, with the reason.
        crossing: how many pairs still are in two splits.
    """

    rule: str = "together"
    pairs: tuple[str, ...] = ()
    joined: tuple[tuple[str, ...], ...] = ()
    left_out: tuple[str, ...] = ()
    crossing: int = 0

    def lines(self) -> list[str]:
        """What a reader should know, a line each; nothing where there are no pairs."""
        if not self.pairs:
            return []
        found = [f"near duplicates: {len(self.pairs)} pairs of images of two patients show the same picture, or nearly"]
        if self.joined:
            sizes = [len(group) for group in self.joined]
            found.append(
                f"{sum(sizes)} patients were kept together in {len(sizes)} groups, the largest of {max(sizes)} patients"
            )
        if self.left_out:
            found.append(f"{len(self.left_out)} images were left out: their like is in a split nearer to the test")
        if self.crossing:
            found.append(f"{self.crossing} pairs are in two splits: scores on the test split come out too high")
        return found

    def write(self, folder: Path) -> None:
        """Write `near_duplicates.json` with all of it into a folder, where there are pairs."""
        if self.pairs:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
            (folder / "near_duplicates.json").write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True)
class SplitAssignment:
    """The split of every source, and what was done about near duplicates."""

    splits: list[SplitFile]
    near_duplicates: NearDuplicates


def assign_splits(
    config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None], found: Sequence[DuplicatePair]
) -> SplitAssignment:
    """Divide the patients of every source; those who show the same stay together, or are left out, as the config says.

    With `blocks`, whose patients are stretches of frames, near duplicates join nobody: all stretches of a video would
    be one. Images near a border that show the same as one beyond it are left out of the training side instead.

    Args:
        found: images of two patients that show the same, of all sources.

    Raises:
        SplitError: patients that cannot be split as asked, or who show the same and are in two splits.
    """
    splits, joined = [], list[tuple[str, ...]]()
    identical, near = group_duplicates([link for link in found if link.identical]), group_duplicates(found)
    for source, images, split in zip(config.sources, rows, saved, strict=True):
        labels = _labels(config, source, split_rule(source, (image.published for image in images)), identical, near)
        members = [split_member(image, labels.get(image.image_id, "")) for image in images]
        splits.append(split_patients(members, source, config.split_seed) if split is None else split)
        joined += _several(clusters(members)) if labels else []
    where = _places(rows, splits)
    apart = [link for link in found if len({where.get(image.image_id) for image in link[:2]} - {None}) > 1]
    dropped = images_to_leave_out(config, rows, apart, where)
    if dropped:
        splits = [_without(split, images, dropped) for split, images in zip(splits, rows, strict=True)]
        _nobody_lost(where, dropped)
    done = NearDuplicates(
        rule=config.near_duplicates,
        pairs=tuple(describe_pair(link, where) for link in found),
        joined=tuple(joined),
        left_out=tuple(dropped.values()),
        crossing=len(apart) if config.near_duplicates == "ignore" else 0,
    )
    return SplitAssignment(splits, done)


def _labels(
    config: CurateConfig, source: AnySource, rule: SplitRule, identical: Mapping[str, str], near: Mapping[str, str]
) -> Mapping[str, str]:
    """What joins the images of a source, by id, before its patients are divided."""
    if config.near_duplicates == "together" and rule != "blocks":
        return near
    fixed = rule == "published" or source.left_out_site
    return {} if config.near_duplicates == "leave_out" and fixed else identical


def split_member(image: RawImage, label: str) -> Member:
    """What a split needs to know of a raw image; images of one label stay together."""
    return Member(image.image_id, image.patient_key, image.plane, image.site, label, image.published)


def _several(of: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Clusters of more than one patient."""
    found = defaultdict(list)
    for patient, cluster in sorted(of.items()):
        found[cluster].append(patient)
    return [tuple(patients) for patients in found.values() if len(patients) > 1]


def _places(rows: Rows, splits: Sequence[SplitFile]) -> dict[str, Split]:
    """The split of every image that has one, by id.

    Raises:
        SplitError: a patient in two splits, of two sources.
    """
    found: dict[str, Split] = {}
    patients: dict[str, set[Split]] = defaultdict(set)
    for images, split in zip(rows, splits, strict=True):
        for image in images:
            where = split.split_of(image.image_id, image.patient_key)
            if where is not None:
                found[image.image_id] = where
                patients[image.patient_key].add(where)
    both = [f"{key} ({' and '.join(sorted(those))})" for key, those in patients.items() if len(those) > 1]
    if both:
        raise SplitError(
            f"{len(both)} patients are in two splits by two sources, such as {', '.join(both[:SHOWN])}; a patient "
            "belongs to one: make one source of the folders, or take the images out of one of them"
        )
    return found


def _without(split: SplitFile, images: Sequence[RawImage], dropped: Collection[str]) -> SplitFile:
    """A split less some images, and less the patients who have no others."""
    used = [image for image in images if split.split_of(image.image_id, image.patient_key) is not None]
    kept = [image for image in used if image.image_id not in dropped]
    if len(kept) == len(used):
        return split
    gone = {image.patient_key for image in used} - {image.patient_key for image in kept}
    patients = {patient: where for patient, where in split.patients.items() if patient not in gone}
    whole = split.images is None and not {image.patient_key for image in used if image.image_id in dropped} - gone
    return replace(
        split,
        rule=f"{split.rule}, less near duplicates",
        patients=patients,
        left_out=split.left_out | gone,
        images=None if whole else frozenset(image.image_id for image in kept),
    )


def _nobody_lost(where: Mapping[str, Split], dropped: Collection[str]) -> None:
    lost = set(where.values()) - {split for name, split in where.items() if name not in dropped}
    if lost:
        raise SplitError(
            f"nobody is left in {' or '.join(sorted(lost))} once the near duplicates of images in other splits are "
            "left out; give more patients, other shares, or near_duplicates: together"
        )
