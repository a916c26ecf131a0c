"""The provenance of a model that was fitted to rows of an image set."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.patient_numbers import different_patients
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.workspace import name_of


def write_model_provenance(
    out: Path,
    kind: str,
    images: ImageSet,
    rows: Iterable[Image],
    chosen_on: Sequence[Image] = (),
    *,
    parents: Sequence[Provenance] = (),
) -> None:
    """Write the book of a model that was fitted to rows of an image set.

    Args:
        kind: what it is, such as "classifier"; its name is that of the folder `out` will have.
        chosen_on: rows that a checkpoint or a threshold was chosen by.
        parents: of what it began with; that of the image set is one of them anyway.
    """
    build_model_provenance(f"{kind} {name_of(out)}", images, rows, chosen_on, parents=parents).write(out)


def build_model_provenance(
    name: str,
    images: ImageSet,
    rows: Iterable[Image],
    chosen_on: Sequence[Image] = (),
    *,
    parents: Sequence[Provenance] = (),
) -> Provenance:
    """The book of what was fitted to rows of an image set; else as `write_model_provenance`."""
    inherited = Provenance().joined(images.provenance(), *parents)
    said, roots = different_patients(images.path), inherited.roots()
    own = [ProvenanceEntry.of(name, rows, different_patients=said, parents=roots)]
    own += [ProvenanceEntry.of(name, chosen_on, "chosen", different_patients=said, parents=roots)] if chosen_on else []
    return Provenance(entries=tuple(own)).joined(inherited)
