"""The review of text removal in a curated image set, as `audit/review.json` records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fulora.intake.deidentify.confirmation import confirmation_state
from fulora.intake.deidentify.review import REVIEW
from fulora.json_files import read_json


@dataclass(frozen=True)
class TextReview:
    """How text was removed from an image set, and whether a person has confirmed it.

    Attributes:
        state: as `fulora.intake.deidentify.confirmation.confirmation_state` returns it.
        searched: where text was removed, and by which detector.
    """

    state: str
    folder: Path
    searched: str
    counts: Mapping[str, int]
    pages: int


def read_text_review(images: Path) -> TextReview | None:
    """Return the review of an image set's text removal; None if no text was searched for."""
    known, folder = confirmation_state(images), images / "audit"
    if known is None:
        return None
    review = read_json(folder / REVIEW, dict[str, Any])
    return TextReview(known, folder, review["text removed"], review["counts"], len(review["sheets"]))
