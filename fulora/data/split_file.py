"""A split as a small file that can be committed: the split of each patient, and a digest that reveals changes."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fulora.config import digest
from fulora.data.column_types import SPLITS, Split
from fulora.data.splits import SplitError
from fulora.data.tables.cells import is_missing
from fulora.json_files import parse_json


@dataclass(frozen=True)
class SplitFile:
    """The split of every patient.

    Attributes:
        rule: how it was made, in words.
        patients: patient key to split.
        left_out: patients deliberately in no split.
        images: ids of the only images to be used, where the rule chose some; None uses all images of the patients.
    """

    rule: str
    patients: Mapping[str, Split]
    left_out: frozenset[str] = frozenset()
    images: frozenset[str] | None = None

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of the assignment of patients; the words of the rule do not count."""
        chosen = None if self.images is None else sorted(self.images)
        return digest({"patients": dict(self.patients), "left_out": sorted(self.left_out), "images": chosen})[:16]

    def split_of(self, image_id: str, patient: str) -> Split | None:
        """Return the split of an image; None if it is left out.

        Raises:
            SplitError: if the split does not know the patient.
        """
        if patient not in self.patients and patient not in self.left_out:
            raise SplitError(
                f"{patient}: is not in the split ({self.rule}, {self.digest}); make it again for this data"
            )
        chosen = self.images is None or image_id in self.images
        return self.patients.get(patient) if chosen else None

    def save(self, path: Path) -> None:
        """Write it as JSON with one patient a line, the same bytes for the same split."""
        splits = {
            split: sorted(patient for patient, where in self.patients.items() if where == split) for split in SPLITS
        }
        content = {
            "rule": self.rule,
            "digest": self.digest,
            "counts": {split: len(found) for split, found in splits.items() if found},
            "patients": {split: found for split, found in splits.items() if found},
            "left_out": sorted(self.left_out),
            "images": None if self.images is None else sorted(self.images),
        }
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "SplitFile":
        """Read a split file.

        Raises:
            SplitError: if it is not a split file, a patient is unnamed or in two splits, or the digest does not match.
        """
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
            listed = [(_name(p), split) for split in SPLITS for p in content["patients"].get(split, [])]
            images = None if content["images"] is None else frozenset(map(str, content["images"]))
            rule, known, left_out = str(content["rule"]), content["digest"], frozenset(map(_name, content["left_out"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SplitError(
                f"{path}: not a split file ({error}); `fulora data curate` writes one as splits.json"
            ) from error
        everyone = Counter([patient for patient, _ in listed] + list(left_out))
        twice = sorted(patient for patient, count in everyone.items() if count > 1)
        if twice:
            raise SplitError(f"{path}: {', '.join(twice[:5])} are in two splits; a patient belongs to one")
        found = cls(rule, dict(listed), left_out, images)
        if found.digest != known:
            raise SplitError(
                f"{path}: its digest says {known}, its content {found.digest}: it was changed by hand. Make it again, "
                "or write the new digest into it if the change is meant"
            )
        return found


def _name(patient: object) -> str:
    if not isinstance(patient, str) or is_missing(patient.rsplit("/", 1)[-1]):
        raise ValueError(f"{patient!r} names no patient; a patient is written as a text, source/site/patient")
    return patient
