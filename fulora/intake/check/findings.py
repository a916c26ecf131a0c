"""What a check found, for people and for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from fulora.config import Json

Severity = Literal["leak", "misleading", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        severity: a `leak` lets a test see what was trained on; something `misleading` makes numbers wrong; a `note` is
            worth knowing.
        count: how many images, rows, groups or pairs, as `text` says.
        examples: all of them, a line each.
    """

    severity: Severity
    kind: str
    count: int
    text: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """Everything a check has to say of a folder.

    Attributes:
        patients: the first few, so that a pattern that finds something else is seen.
        sets: the checks of the data sets in the folder, by name, where it holds several; the findings are then of what
            they share.
    """

    kind: str
    counts: dict[str, dict[str, int]]
    n_images: int
    n_patients: int
    findings: tuple[Finding, ...]
    patients: tuple[str, ...] = ()
    sets: Mapping[str, "Check"] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing would leak or mislead, in it and in all of its sets."""
        here = all(found.severity == "note" for found in self.findings)
        return here and all(check.clean for check in self.sets.values())

    def to_json(self) -> dict[str, Json]:
        """The same facts for programs."""
        return {
            "kind": self.kind,
            "n_images": self.n_images,
            "n_patients": self.n_patients,
            "patients": list(self.patients),
            "clean": self.clean,
            "counts": self.counts,
            "findings": [asdict(found) for found in self.findings],
            **({"sets": {name: check.to_json() for name, check in self.sets.items()}} if self.sets else {}),
        }


def finding(severity: Severity, kind: str, text: str, examples: Sequence[str]) -> list[Finding]:
    """A finding with a line for each example, or nothing where there are none."""
    return [Finding(severity, kind, len(examples), text, tuple(examples))] if examples else []
