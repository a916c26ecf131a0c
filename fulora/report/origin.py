"""What the generator of a synthetic set saw, from the provenance of the set."""

from dataclasses import dataclass

from fulora.data.image_set import ImageSet
from fulora.words import counted

EMBEDDED = "embedded in fulora"
"""The end of the name of weights that come with fulora."""


@dataclass(frozen=True)
class Origin:
    """How a generator and some training images belong together.

    Attributes:
        role: what the images did for it, as the end of "100 images of 10 patients ...".
        note: a sentence about weights that it started from, with a blank before it; or "".
    """

    role: str
    note: str = ""
    is_untrained: bool = False


TRAINED = Origin("trained the generator")


def find_origin(made: ImageSet, trained_on: ImageSet) -> Origin:
    """Return whether a generator was fitted to, or started from, patients of the training split of `trained_on`."""
    provenance = made.provenance()
    patients = {row.patient_key for row in trained_on.iter_rows("train") if row.origin == "real"}
    if patients & set(provenance.patients()):
        return TRAINED
    if unknown := provenance.unknowns():
        note = f" What {', '.join(unknown)} was trained on is not known."
        return Origin("trained the LoRAs, and no weight of this generator was fitted to them here", note, True)
    parents = [entry for entry in provenance.entries if entry.known and entry.images]
    note = "".join(
        f" The images come from the {describe_weights(entry.name)} as it is, which was trained on "
        f"{counted(entry.images, 'image')} of {counted(len(entry.patients), 'patient')}."
        for entry in parents
    )
    return Origin("trained the LoRAs, and not this generator", note, True)


def describe_weights(name: str) -> str:
    """Return the name of weights; of those that come with fulora with what they saw, which is phantoms alone."""
    return f"{name} (phantoms alone)" if name.endswith(EMBEDDED) else name
