"""The split of every image; near duplicates of two patients are kept in one split, or left out."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fulora.data.column_types import Split
from fulora.data.split_file import SplitFile
from fulora.data.splits import Member, SplitError, clusters
from fulora.intake.config import AnySource, CurateConfig
from fulora.intake.curate.cross_split_duplicates import describe_pair, images_to_leave_out
from fulora.intake.curate.duplicate_pairs import DuplicatePair, group_duplicates
from fulora.intake.curate.message_lines import shorten_lines
from fulora.intake.curate.patient_splits import split_patients, split_rule
from fulora.intake.raw_image import RawImage
from fulora.intake.read_sources import Rows
from fulora.intake.source_config import SplitRule


@dataclass(frozen=True)
class NearDuplicates:
    """Duplicate images of two patients, and how they were treated.

    Attributes:
        pairs: one line each: both images, their patients, the correlation.
        joined: groups of patients that were kept in one split.
        left_out: images that were left out, with the reason.
        crossing: number of pairs that are still in two splits.
    """

    rule: str = "together"
    pairs: tuple[str, ...] = ()
    joined: tuple[tuple[str, ...], ...] = ()
    left_out: tuple[str, ...] = ()
    crossing: int = 0

    def lines(self) -> list[str]:
        """Return the lines of a summary; empty if there are no pairs."""
        if not self.pairs:
            return []
        summary = [f"near duplicates: {len(self.pairs)} pairs of images of two patients are (nearly) identical"]
        if self.joined:
            sizes = [len(group) for group in self.joined]
            summary.append(
                f"{sum(sizes)} patients were kept together in {len(sizes)} groups of up to {max(sizes)} patients"
            )
        if self.left_out:
            summary.append(
                f"{len(self.left_out)} images were left out: their duplicates are in a split nearer to the test"
            )
        if self.crossing:
            summary.append(f"{self.crossing} pairs are in two splits: scores on the test split are too high")
        return summary

    def write(self, folder: Path) -> None:
        """Write `near_duplicates.json` into a folder, if there are pairs."""
        if self.pairs:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
            (folder / "near_duplicates.json").write_text(text + "\n", encoding="utf-8")


def assign_splits(
    config: CurateConfig, rows: Rows, saved: Sequence[SplitFile | None], pairs: Sequence[DuplicatePair]
) -> tuple[list[SplitFile], NearDuplicates]:
    """Return the split of every source; patients with duplicates stay together, or are left out, by the config.

    With `blocks`, whose patients are sequences of frames, near duplicates join no patients, since that would join all
    sequences of a video. Images near a border with a duplicate beyond it are left out of the training side instead.

    Raises:
        SplitError: if patients cannot be divided by the rules, or duplicates are in two splits.
    """
    splits, joined = [], list[tuple[str, ...]]()
    identical, near = group_duplicates([pair for pair in pairs if pair.identical]), group_duplicates(pairs)
    for source, images, split in zip(config.sources, rows, saved, strict=True):
        rule = split_rule(source, (image.published for image in images))
        labels = _group_labels(config, source, rule, identical, near)
        members = [
            Member(one.image_id, one.patient_key, one.plane, one.site, labels.get(one.image_id, ""), one.published)
            for one in images
        ]
        splits.append(split_patients(members, source, config.split_seed) if split is None else split)
        joined += _larger_clusters(clusters(members)) if labels else []
    where = _split_by_image(rows, splits)
    apart = [pair for pair in pairs if len({where.get(image.image_id) for image in pair[:2]} - {None}) > 1]
    dropped = images_to_leave_out(config, rows, apart, where)
    if dropped:
        splits = [_without(split, images, dropped) for split, images in zip(splits, rows, strict=True)]
        _refuse_empty_splits(where, dropped)
    done = NearDuplicates(
        rule=config.near_duplicates,
        pairs=tuple(describe_pair(pair, where) for pair in pairs),
        joined=tuple(joined),
        left_out=tuple(dropped.values()),
        crossing=len(apart) if config.near_duplicates == "ignore" else 0,
    )
    return splits, done


def _group_labels(
    config: CurateConfig, source: AnySource, rule: SplitRule, identical: Mapping[str, str], near: Mapping[str, str]
) -> Mapping[str, str]:
    """Return the group of duplicates of each image of a source, by id, to divide its patients by."""
    if config.near_duplicates == "together" and rule != "blocks":
        return near
    fixed = rule == "published" or source.left_out_site
    return {} if config.near_duplicates == "leave_out" and fixed else identical


def _larger_clusters(cluster_of: Mapping[str, str]) -> list[tuple[str, ...]]:
    members = defaultdict(list)
    for patient, cluster in sorted(cluster_of.items()):
        members[cluster].append(patient)
    return [tuple(patients) for patients in members.values() if len(patients) > 1]


def _split_by_image(rows: Rows, splits: Sequence[SplitFile]) -> dict[str, Split]:
    """Return the split of every image that has one, by id; refuse patients who are in two splits."""
    split_of: dict[str, Split] = {}
    patients: dict[str, set[Split]] = defaultdict(set)
    for images, split in zip(rows, splits, strict=True):
        for image in images:
            where = split.split_of(image.image_id, image.patient_key)
            if where is not None:
                split_of[image.image_id] = where
                patients[image.patient_key].add(where)
    both = [f"{key} ({' and '.join(sorted(those))})" for key, those in patients.items() if len(those) > 1]
    if both:
        raise SplitError(
            f"{len(both)} patients are in two splits by two sources, such as {', '.join(shorten_lines(both))}; a "
            "patient belongs to one: make one source of the folders, or remove the images from one of them"
        )
    return split_of


def _without(split: SplitFile, images: Sequence[RawImage], dropped: Collection[str]) -> SplitFile:
    used = [image for image in images if split.split_of(image.image_id, image.patient_key) is not None]
    kept = [image for image in used if image.image_id not in dropped]
    if len(kept) == len(used):
        return split
    gone = {image.patient_key for image in used} - {image.patient_key for image in kept}
    patients = {patient: where for patient, where in split.patients.items() if patient not in gone}
    keep_all = split.images is None and not {image.patient_key for image in used if image.image_id in dropped} - gone
    return replace(
        split,
        rule=f"{split.rule}, less near duplicates",
        patients=patients,
        left_out=split.left_out | gone,
        images=None if keep_all else frozenset(image.image_id for image in kept),
    )


def _refuse_empty_splits(where: Mapping[str, Split], dropped: Collection[str]) -> None:
    empty = set(where.values()) - {split for name, split in where.items() if name not in dropped}
    if empty:
        raise SplitError(
            f"no patient remains in {' or '.join(sorted(empty))} without the near duplicates of other splits; "
            "give more patients, other shares, or near_duplicates: together"
        )
