"""The provenance of a model that was fitted to rows of an image set."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.patient_numbers import different_patients
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.workspace import artifact_name


def write_model_provenance(
    out: Path,
    kind: str,
    images: ImageSet,
    rows: Iterable[Image],
    chosen_on: Sequence[Image] = (),
    *,
    parents: Sequence[Provenance] = (),
) -> None:
    """Write the provenance of a model into its folder; arguments as for `build_model_provenance`.

    Args:
        kind: of the model, such as "classifier"; its name is that of the folder `out` will have.
    """
    build_model_provenance(f"{kind} {artifact_name(out)}", images, rows, chosen_on, parents=parents).write(out)


def build_model_provenance(
    name: str,
    images: ImageSet,
    rows: Iterable[Image],
    chosen_on: Sequence[Image] = (),
    *,
    parents: Sequence[Provenance] = (),
) -> Provenance:
    """Return the provenance of a model that was fitted to rows of an image set.

    Args:
        chosen_on: rows that a checkpoint or a threshold was selected on.
        parents: of the weights that training started from; that of the image set is always one of them.
    """
    inherited = Provenance().joined(images.provenance(), *parents)
    distinct, roots = different_patients(images.path), inherited.roots()
    entries = [ProvenanceEntry.of(name, rows, different_patients=distinct, parents=roots)]
    if chosen_on:
        entries.append(ProvenanceEntry.of(name, chosen_on, "chosen", different_patients=distinct, parents=roots))
    return Provenance(entries=tuple(entries)).joined(inherited)
