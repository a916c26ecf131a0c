"""The leak gate: who and what a test set shares with everything that a study's models were trained on."""

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path

from fulora.config import Config
from fulora.data.manifest import Image
from fulora.data.patient_numbers import WAYS_OUT, Name, SameNumberError, lines, same_numbers
from fulora.json_files import read_json

SHOWN = 5
TRAINED_ON = "trained_on.json"


class OverlapError(ValueError):
    """Something that a test set holds was trained on. The message lists every training input that shares with it."""


class Overlap(Config):
    """What one training input shares with a test set.

    Attributes:
        images, patients: of the training input; None for weights from outside, whose data are not known.
        shared_images: ids of test images whose very pixels, or whose id at the same source, were trained on.
        shared_patients: keys of test patients who were trained on.
    """

    trained_on: str
    images: int | None
    patients: int | None
    shared_images: tuple[str, ...] = ()
    shared_patients: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether it is known what was trained on."""
        return self.images is not None


def overlap(name: str, training: Sequence[Image], test: Sequence[Image]) -> Overlap:
    """What a training input shares with the test images; pictures of another size are told by source and id."""
    patients = {row.patient_key for row in training if row.patient_key}
    pixels, ids = {row.sha256 for row in training}, {(row.source, row.image_id) for row in training}
    return Overlap(
        trained_on=name,
        images=len(training),
        patients=len(patients),
        shared_images=tuple(row.image_id for row in test if row.sha256 in pixels or (row.source, row.image_id) in ids),
        shared_patients=tuple(sorted({row.patient_key for row in test} & patients)),
    )


def unknown(name: str) -> Overlap:
    """Weights from outside: what they were trained on is not known."""
    return Overlap(trained_on=name, images=None, patients=None)


def overlaps(
    trained_on: Mapping[str, Sequence[Image]],
    foundations: Iterable[str],
    test: Sequence[Image],
    told_apart: Container[str] = (),
) -> list[Overlap]:
    """One row a training input, those that are not known last.

    Args:
        told_apart: the training inputs of which it is said that a patient number that is also in the test, at another
            site or source, is of another patient.

    Raises:
        OverlapError: a test image or patient was trained on.
        SameNumberError: a test patient may have been trained on under another name.
    """
    rows = [overlap(name, training, test) for name, training in trained_on.items()]
    wrong = [row for row in rows if row.shared_images or row.shared_patients]
    if wrong:
        what = "Leave these patients out of training (role, limit or a split_file), or out of the test."
        raise OverlapError("\n".join([*map(_line, wrong), what]))
    for name, training in trained_on.items():
        if name not in told_apart:
            refuse_same_numbers(name, names(training), names(test))
    return [*rows, *map(unknown, foundations)]


def names(rows: Sequence[Image]) -> set[Name]:
    """Everybody who is shown in images, as a source names them."""
    return {Name(row.source, row.site, row.patient) for row in rows if row.patient_key}


def refuse_same_numbers(name: str, training: Iterable[Name], test: Iterable[Name]) -> None:
    """Refuse patient numbers of a training input that are in the test under another site or source.

    Raises:
        SameNumberError: there are some.
    """
    pairs = same_numbers(training, test)
    if pairs:
        raise SameNumberError("\n".join([f"{name} and the test:", *lines(pairs), f"{WAYS_OUT}."]))


def _line(row: Overlap) -> str:
    images, patients = row.shared_images, row.shared_patients
    return (
        f"{row.trained_on}: {len(images)} images and {len(patients)} patients of the test set were trained on, such as "
        f"{', '.join([*images[:SHOWN], *patients[:SHOWN]])}"
    )


def write_trained_on(folder: Path, rows: Sequence[Image], tainted_by: Iterable[str] = ()) -> None:
    """Write beside weights whom and what they were fitted to: `trained_on.json`.

    Args:
        tainted_by: patients whose pictures a generator of the synthetic rows was fitted to.
    """
    patients = sorted({row.patient_key for row in rows if row.patient_key} | set(tainted_by))
    record = {"patients": patients, "pixels": sorted({row.sha256 for row in rows})}
    (folder / TRAINED_ON).write_text(json.dumps(record, indent=1), encoding="utf-8")


class _TrainedOn(Config):
    patients: list[str]
    pixels: list[str]


def refuse_trained_on(folder: Path, test: Sequence[Image], *, told_apart: bool = False) -> None:
    """Refuse test images that weights were fitted to, as far as their folder tells; others are not known.

    Args:
        told_apart: as in `overlaps`.

    Raises:
        OverlapError: a test image or patient was trained on.
        SameNumberError: a test patient may have been trained on under another name.
    """
    if not (folder / TRAINED_ON).is_file():
        return
    record = read_json(folder / TRAINED_ON, _TrainedOn)
    patients, pixels = set(record.patients), set(record.pixels)
    row = Overlap(
        trained_on=f"{folder.name}/{TRAINED_ON}",
        images=len(pixels),
        patients=len(patients),
        shared_images=tuple(row.image_id for row in test if row.sha256 in pixels),
        shared_patients=tuple(sorted({row.patient_key for row in test} & patients)),
    )
    if row.shared_images or row.shared_patients:
        raise OverlapError(_line(row))
    if not told_apart:
        refuse_same_numbers(row.trained_on, map(Name.of_key, patients), names(test))
