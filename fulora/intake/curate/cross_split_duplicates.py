"""Duplicate images of two patients in two splits: an error, or left out of the split nearer to training."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from fulora.data.column_types import SPLITS, Split
from fulora.data.splits import SplitError
from fulora.intake.config import CurateConfig
from fulora.intake.curate.duplicate_pairs import DuplicatePair
from fulora.intake.curate.message_lines import shorten_lines
from fulora.intake.raw_image import RawImage
from fulora.intake.read_sources import Rows


def images_to_leave_out(
    config: CurateConfig, rows: Rows, apart: Sequence[DuplicatePair], where: Mapping[str, Split]
) -> dict[str, str]:
    """Return the ids of images to leave out, each with the reason.

    Of a pair in train and test the patient in train is left out, of one in validation and test the one in validation;
    with `blocks`, whose patients are sequences of frames, only the image.

    Args:
        apart: pairs whose images are in different splits.

    Raises:
        SplitError: if there are pairs that may neither be in two splits nor be left out.
    """
    blocks = _block_sources(config, rows)
    wrong = [link for link in apart if not _is_allowed(config, link, blocks)]
    if wrong:
        raise SplitError(_refusal(config, wrong, where))
    if config.near_duplicates == "ignore":
        return {}
    by_patient = defaultdict(list)
    for image in (image for images in rows for image in images if image.image_id in where):
        by_patient[image.patient_key].append(image)
    dropped: dict[str, str] = {}
    for link in sorted(apart, key=lambda link: -max(_rank(image, where) for image in link[:2])):
        less, more = sorted(link[:2], key=lambda image: _rank(image, where))
        if less.image_id in dropped or more.image_id in dropped:
            continue
        for image in [less] if less.image_id in blocks else by_patient[less.patient_key]:
            reason = f"left out of {where[less.image_id]}: {describe_pair(link, where)}"
            dropped[image.image_id] = f"{image.image_id}: {reason}"
    return dropped


def describe_pair(link: DuplicatePair, where: Mapping[str, Split]) -> str:
    """Describe a pair: both images with patient and split, and their similarity."""
    one, other = (
        f"{image.image_id} ({image.patient_key}, {where.get(image.image_id, 'not used')})"
        for image in (link.first, link.second)
    )
    return f"{one} = {other}" if link.identical else f"{one} ~ {other}, correlation {link.correlation:.3f}"


def _rank(image: RawImage, where: Mapping[str, Split]) -> int:
    return SPLITS.index(where[image.image_id])


def _block_sources(config: CurateConfig, rows: Rows) -> dict[str, int]:
    """Return, by id, the number of the source of every image whose patients are sequences of frames."""
    return {
        image.image_id: number
        for number, (source, images) in enumerate(zip(config.sources, rows, strict=True))
        if source.split == "blocks"
        for image in images
    }


def _is_allowed(config: CurateConfig, link: DuplicatePair, blocks: Mapping[str, int]) -> bool:
    """Return whether the config allows a pair in two splits, or leaves out one of its images."""
    match config.near_duplicates:
        case "leave_out":
            return True
        case "ignore":
            return not link.identical
        case "together":
            return blocks.get(link.first.image_id, -1) == blocks.get(link.second.image_id, -2)


def _refusal(config: CurateConfig, wrong: Sequence[DuplicatePair], where: Mapping[str, Split]) -> str:
    if config.near_duplicates == "ignore":
        what, advice = "are identical and", "Identical images cannot be ignored; set near_duplicates: leave_out"
    else:
        what = "are identical or near duplicates and"
        advice = (
            "Their splits are fixed by roles, a saved or a published split, so that they cannot be kept together. Set "
            "near_duplicates: leave_out (patients nearer to training are left out, test patients stay) or "
            "near_duplicates: ignore; or divide one source of both by its role"
        )
    title = f"{len(wrong)} pairs of images of two patients {what} are in two splits:"
    return "\n".join([title, *shorten_lines([describe_pair(link, where) for link in wrong]), f"{advice}."])
