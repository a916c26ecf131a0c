"""The leak gate: who and what a test shares with everything that the tested models learned from."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from fulora.config import Config
from fulora.data.patient_numbers import WAYS_OUT, PatientName, SameNumberError, describe_pairs, same_numbers
from fulora.data.provenance import Provenance, ProvenanceEntry, Use

if TYPE_CHECKING:
    from fulora.data.image import Image

SHOWN = 5
EVERY_USE: tuple[Use, ...] = ("fitted", "chosen")
WHAT_TO_DO = (
    "Leave these patients out of training (role, limit or a split_file) or out of the test, and run again what learned "
    "from them."
)
USE_PHRASES: Mapping[Use, str] = {"fitted": "trained on", "chosen": "used for choosing"}


class OverlapError(ValueError):
    """Somebody or something that a test holds was learned from. The message lists every model or parent that did."""


class Overlap(Config):
    """What one model, or one of its parents, shares with a test set.

    Attributes:
        trained_on: its name, and through what the tested model has it.
        images, patients: how many it learned from; None where that is not known.
        shared_images: ids of test images whose very pixels, or whose id at the same source, it learned from.
        shared_patients: keys of test patients whom it learned from.
    """

    trained_on: str
    images: int | None
    patients: int | None
    shared_images: tuple[str, ...] = ()
    shared_patients: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether it is known whom it learned from."""
        return self.images is not None


class ImageIdentity(NamedTuple):
    """A picture that is tested on.

    Attributes:
        image_id: what a message calls it.
        pixels: their digest.
        patient_key, source_id: as `Image.patient_key` and `source/image_id`; "" where they are not known.
    """

    image_id: str
    pixels: str
    patient_key: str = ""
    source_id: str = ""

    @classmethod
    def of(cls, row: "Image") -> Self:
        """The picture of a row of an image set."""
        return cls(row.image_id, row.sha256, row.patient_key, f"{row.source}/{row.image_id}")


def refuse_leaks(
    models: Iterable[Provenance],
    test: "Sequence[Image]",
    *,
    uses: Sequence[Use] = EVERY_USE,
    distinct_patients: bool = False,
) -> list[Overlap]:
    """Refuse test images of which a model, or a parent of it, has the picture or the patient.

    Args:
        uses: what may not have been done with them; `fitted` alone lets images pass that chose a checkpoint.
        distinct_patients: it is said of the test images that equal patient numbers of two sites are different patients.

    Returns:
        One row for each model and parent that was fitted to images, then those of which nothing is known.

    Raises:
        OverlapError: a test image or patient was learned from.
        SameNumberError: a test patient may have been learned from under another name.
    """
    return refuse_leaked_identities(
        models, [ImageIdentity.of(row) for row in test], uses=uses, distinct_patients=distinct_patients
    )


def refuse_leaked_identities(
    models: Iterable[Provenance],
    test: Sequence[ImageIdentity],
    *,
    uses: Sequence[Use] = EVERY_USE,
    distinct_patients: bool = False,
) -> list[Overlap]:
    """As `refuse_leaks`, of pictures of which perhaps nothing but the pixels is known."""
    entries = [(model.chain(entry.name), entry) for model in models for entry in model.entries]
    entries = list(dict.fromkeys(entries))
    used = [(chain, entry) for chain, entry in entries if entry.known and entry.use in uses]
    found = [(find_overlap(chain, entry, test), entry.use) for chain, entry in used]
    wrong = [_line(row, use) for row, use in found if row.shared_images or row.shared_patients]
    if wrong:
        raise OverlapError("\n".join([*wrong, WHAT_TO_DO]))
    for chain, entry in used:
        if not (distinct_patients or entry.different_patients):
            refuse_same_numbers(chain, map(PatientName.of_key, entry.patients), _names(test))
    shown = [row for row, use in found if use == "fitted" and row.images]
    return [*shown, *(unknown_overlap(chain) for chain, entry in entries if not entry.known)]


def find_overlap(name: str, learned: ProvenanceEntry, test: Sequence[ImageIdentity]) -> Overlap:
    """What was learned from and is tested on; pictures of another size are told by source and id."""
    patients, pixels, ids = set(learned.patients), set(learned.pixels), set(learned.ids)
    return Overlap(
        trained_on=name,
        images=learned.images,
        patients=len(patients),
        shared_images=tuple(one.image_id for one in test if one.pixels in pixels or one.source_id in ids),
        shared_patients=tuple(sorted({one.patient_key for one in test} & patients)),
    )


def unknown_overlap(name: str) -> Overlap:
    """Weights from elsewhere: whom they learned from is not known."""
    return Overlap(trained_on=name, images=None, patients=None)


def describe_unknown(rows: Iterable[Overlap]) -> list[str]:
    """What a command says of models and parents of which nothing is known, a line each."""
    return [
        f"{row.trained_on}: nothing tells whom it learned from, so it is unknown whether it knows these pictures"
        for row in rows
        if not row.known
    ]


def patient_names(rows: "Sequence[Image]") -> set[PatientName]:
    """Everybody who is shown in images, as a source names them."""
    return {PatientName(row.source, row.site, row.patient) for row in rows if row.patient_key}


def _names(test: Sequence[ImageIdentity]) -> set[PatientName]:
    return {PatientName.of_key(one.patient_key) for one in test if one.patient_key}


def refuse_same_numbers(name: str, training: Iterable[PatientName], test: Iterable[PatientName]) -> None:
    """Refuse patient numbers of a training input that are in the test under another site or source.

    Raises:
        SameNumberError: there are some.
    """
    pairs = same_numbers(training, test)
    if pairs:
        raise SameNumberError("\n".join([f"{name} and the test:", *describe_pairs(pairs), f"{WAYS_OUT}."]))


def _line(row: Overlap, use: Use) -> str:
    images, patients = row.shared_images, row.shared_patients
    return (
        f"{row.trained_on}: {len(images)} images and {len(patients)} patients of the test set were {USE_PHRASES[use]}, "
        f"such as {', '.join([*images[:SHOWN], *patients[:SHOWN]])}"
    )
