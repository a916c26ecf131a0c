"""The leak check: which patients and images a test set shares with the training data of the tested models."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from fulora.config import Config
from fulora.data.patient_numbers import WAYS_OUT, PatientName, SameNumberError, describe_pairs, same_numbers
from fulora.data.provenance import USE_PHRASES, Provenance, ProvenanceEntry, Use

if TYPE_CHECKING:
    from fulora.data.image import Image

SHOWN = 5
EVERY_USE: tuple[Use, ...] = ("fitted", "chosen")
WHAT_TO_DO = (
    "Leave these patients out of training (role, limit or a split_file) or out of the test, and repeat the trainings "
    "that used them."
)


class OverlapError(ValueError):
    """A test patient or image was used in training. The message lists every model or parent that used it."""


class Overlap(Config):
    """What the training data of one model, or of one of its parents, share with a test set.

    Attributes:
        trained_on: its name, and the path from it to the tested model (`Provenance.chain`).
        images, patients: numbers of training images and patients; None if they are unknown.
        shared_images: ids of test images with the pixels, or the source and id, of a training image.
        shared_patients: keys of test patients who are training patients.
    """

    trained_on: str
    images: int | None
    patients: int | None
    shared_images: tuple[str, ...] = ()
    shared_patients: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the training data are known."""
        return self.images is not None


class ImageIdentity(NamedTuple):
    """What a test image is recognised by.

    Attributes:
        image_id: its name in messages.
        pixels: digest of its pixels.
        patient_key, source_id: as `Image.patient_key` and `source/image_id`; "" if they are unknown.
    """

    image_id: str
    pixels: str
    patient_key: str = ""
    source_id: str = ""

    @classmethod
    def of(cls, row: "Image") -> Self:
        """Return the identity of a row of an image set."""
        return cls(row.image_id, row.sha256, row.patient_key, f"{row.source}/{row.image_id}")


def refuse_leaks(
    models: Iterable[Provenance],
    test: "Sequence[Image]",
    *,
    uses: Sequence[Use] = EVERY_USE,
    distinct_patients: bool = False,
) -> list[Overlap]:
    """Refuse test images that share an image or a patient with the training data of a model or of its parents.

    Args:
        uses: that are refused; `fitted` alone allows images on which a checkpoint was selected.
        distinct_patients: the test set declares equal patient numbers of two sites to be different patients.

    Returns:
        One row for each model and parent that was fitted to images, then those with unknown training data.

    Raises:
        OverlapError: if a test image or patient was used in training.
        SameNumberError: if a test patient may be a training patient under another name.
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
    """As `refuse_leaks`, for pictures of which perhaps only the pixels are known."""
    entries = [(model.chain(entry.name), entry) for model in models for entry in model.entries]
    entries = list(dict.fromkeys(entries))
    used = [(chain, entry) for chain, entry in entries if entry.known and entry.use in uses]
    overlaps = [(find_overlap(chain, entry, test), entry.use) for chain, entry in used]
    leaks = [_describe_leak(row, use) for row, use in overlaps if row.shared_images or row.shared_patients]
    if leaks:
        raise OverlapError("\n".join([*leaks, WHAT_TO_DO]))
    tested = {PatientName.of_key(one.patient_key) for one in test if one.patient_key}
    for chain, entry in used:
        if not (distinct_patients or entry.different_patients):
            refuse_same_numbers(chain, map(PatientName.of_key, entry.patients), tested)
    fitted = [row for row, use in overlaps if use == "fitted" and row.images]
    unknown = [chain for chain, entry in entries if not entry.known]
    return [*fitted, *(Overlap(trained_on=chain, images=None, patients=None) for chain in unknown)]


def find_overlap(name: str, entry: ProvenanceEntry, test: Sequence[ImageIdentity]) -> Overlap:
    """Return what training data share with test images; pictures of another size are matched by source and id."""
    patients, pixels, ids = set(entry.patients), set(entry.pixels), set(entry.ids)
    return Overlap(
        trained_on=name,
        images=entry.images,
        patients=len(patients),
        shared_images=tuple(one.image_id for one in test if one.pixels in pixels or one.source_id in ids),
        shared_patients=tuple(sorted({one.patient_key for one in test} & patients)),
    )


def describe_unknown(rows: Iterable[Overlap]) -> list[str]:
    """Return a line for each model and parent whose training data are unknown."""
    return [
        f"{row.trained_on}: its training data are unknown, and so is whether they include these pictures"
        for row in rows
        if not row.known
    ]


def patient_names(rows: "Sequence[Image]") -> set[PatientName]:
    """Return the patients of images, as their sources name them."""
    return {PatientName(row.source, row.site, row.patient) for row in rows if row.patient_key}


def refuse_same_numbers(name: str, training: Iterable[PatientName], test: Iterable[PatientName]) -> None:
    """Refuse patient numbers that training and test have under different sites or sources.

    Raises:
        SameNumberError: if there are any.
    """
    pairs = same_numbers(training, test)
    if pairs:
        raise SameNumberError("\n".join([f"{name} and the test:", *describe_pairs(pairs), f"{WAYS_OUT}."]))


def _describe_leak(row: Overlap, use: Use) -> str:
    images, patients = row.shared_images, row.shared_patients
    return (
        f"{row.trained_on}: {len(images)} images and {len(patients)} patients of the test set were {USE_PHRASES[use]}, "
        f"such as {', '.join([*images[:SHOWN], *patients[:SHOWN]])}"
    )
