"""Findings of a check."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

from fulora.config import Json

Severity = Literal["leak", "misleading", "note"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Finding:
    """One kind of problem.

    Attributes:
        severity: a `leak` makes test data known in training; something `misleading` makes scores wrong; a `note` is
            informative.
        count: number of images, rows, groups or pairs, as `text` says.
    """

    severity: Severity
    kind: str
    count: int
    text: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """The result of checking a folder.

    Attributes:
        patients: the first few, to show what a patient pattern matches.
        sets: the checks of the data sets in the folder, by name, if it holds several; `findings` are then what they
            share.
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
        """Whether there are no leaks and nothing misleading, in it and in all of its sets."""
        only_notes = all(finding.severity == "note" for finding in self.findings)
        return only_notes and all(check.clean for check in self.sets.values())

    def to_json(self) -> dict[str, Json]:
        """Return the same as JSON."""
        return {
            "kind": self.kind,
            "n_images": self.n_images,
            "n_patients": self.n_patients,
            "patients": list(self.patients),
            "clean": self.clean,
            "counts": self.counts,
            "findings": [asdict(finding) for finding in self.findings],
            **({"sets": {name: check.to_json() for name, check in self.sets.items()}} if self.sets else {}),
        }


def leak(kind: str, text: str, examples: Sequence[str]) -> Finding:
    """Return a finding of a leak, with one line per example."""
    return Finding("leak", kind, len(examples), text, tuple(examples))


def misleading(kind: str, text: str, examples: Sequence[str]) -> Finding:
    """Return a finding of something misleading, with one line per example."""
    return Finding("misleading", kind, len(examples), text, tuple(examples))


def note(kind: str, text: str, examples: Sequence[str]) -> Finding:
    """Return a note, with one line per example."""
    return Finding("note", kind, len(examples), text, tuple(examples))


def nonempty(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that have examples, leaks first."""
    return tuple(sorted((one for one in findings if one.count), key=lambda one: SEVERITIES.index(one.severity)))
