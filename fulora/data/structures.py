"""The structures in the masks of a label set, by class number; refuses masks and networks with other structures.

A network has one output for a single structure, numbered 1; else one for each class number up to the largest, 0 being
the background. So one number means one structure in all classes of a label set that one network learns.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.data.label_class import LabelClass, Measured
from fulora.data.label_set import FILE, LabelSet, LabelSetError, read_label_set


class StructureError(LabelSetError):
    """Masks, networks or label sets that do not agree on the structures that masks hold."""


def with_masks(labels: LabelSet) -> LabelSet:
    """Return the label set of the classes that have structures.

    Raises:
        StructureError: if no class has any.
    """
    found = [one.name for one in labels.classes if one.structures]
    if not found:
        raise StructureError(
            f"label set {labels.name}: none of its classes ({', '.join(labels.names)}) says what its masks hold; add "
            "structures to a class, such as structures: {head: {number: 1, measured: ellipse}}"
        )
    return labels.only(found)


def structures_of(labels: LabelSet) -> dict[int, str]:
    """Return the structure of each class number, over all classes, ordered by number.

    Raises:
        StructureError: if no class has structures, or a number stands for two.
    """
    found: dict[int, str] = {}
    for one in with_masks(labels).classes:
        for name, structure in one.structures.items():
            if found.setdefault(structure.number, name) != name:
                raise StructureError(
                    f"label set {labels.name}: class number {structure.number} is {found[structure.number]} in one "
                    f"class and {name} in {one.name}; one network cannot learn both: give them numbers of their own, "
                    "or learn the classes by themselves (label_set: one of the two)"
                )
    return dict(sorted(found.items()))


def refuse_missing_structures(masks: Iterable[UInt8[np.ndarray, "h w"]], labels: LabelSet, *, whose: str) -> None:
    """Refuse masks if a structure of the label set is in none of them: a network could not learn it.

    Args:
        whose: the masks, for the message.

    Raises:
        StructureError: if there is such a structure.
    """
    present = {int(number) for mask in masks for number in np.unique(mask)} - {0}
    absent = [f"{number} ({name})" for number, name in structures_of(labels).items() if number not in present]
    if absent:
        raise StructureError(
            f"{whose}: no mask holds class number {', '.join(absent)}, which the label set {labels.name} names; they "
            f"hold {', '.join(map(str, sorted(present))) or 'background alone'}. Take it out of structures, or look "
            "which number stands for which structure"
        )


def units_of(shows: LabelClass) -> frozenset[str]:
    """Return the units of the measurements of a class."""
    return frozenset(one.unit for one in shows.structures.values())


def outputs_of(labels: LabelSet) -> int:
    """Return the number of outputs of a network: 1 for a single structure 1, else one for each class number and 0.

    Raises:
        StructureError: as `structures_of`.
    """
    largest = max(structures_of(labels))
    return 1 if largest == 1 else largest + 1


def numbers_measured(folder: Path, measured: Measured) -> list[int]:
    """Return the class numbers, in order, that a folder's label set measures in this way; none without a label set.

    Raises:
        DamagedFileError: if the file is no label set.
    """
    classes = read_label_set(folder).classes if (folder / FILE).is_file() else ()
    return sorted({one.number for each in classes for one in each.structures.values() if one.measured == measured})


def describe_structures(labels: LabelSet) -> str:
    """Return the structures in words: `1 symphysis, 2 head (label set birth)`."""
    shown = ", ".join(f"{number} {name}" for number, name in structures_of(labels).items())
    return f"{shown} (label set {labels.name})"


def refuse_other_structures(labels: LabelSet, others: LabelSet, *, name: str, other_name: str) -> None:
    """Refuse masks and networks that give the class numbers other structures.

    What is measured of them, and in which unit, may differ.

    Args:
        name, other_name: what they belong to, for the message.

    Raises:
        StructureError: if they differ.
    """
    if structures_of(labels) != structures_of(others):
        raise StructureError(
            f"{name} and {other_name} have different structures:\n"
            f"  {name}: {describe_structures(labels)}\n  {other_name}: {describe_structures(others)}\n"
            "Train on, and test, masks of the same structures under the same class numbers"
        )


def check_numbers(mask: UInt8[np.ndarray, "h w"], shows: LabelClass, where: str) -> None:
    """Refuse a mask with a class number that its class does not name.

    Args:
        where: the mask's file or image, for the message.

    Raises:
        StructureError: if the class has no structures, or not this one.
    """
    known = {structure.number: name for name, structure in shows.structures.items()}
    strange = sorted(set(np.flatnonzero(np.bincount(mask.ravel())).tolist()) - {0, *known})
    if not strange:
        return
    allowed = ", ".join(f"{number} {name}" for number, name in sorted(known.items())) or "none"
    numbers = ", ".join(map(str, strange[:6])) + (", ..." if len(strange) > 6 else "")
    raise StructureError(
        f"{where}: the mask holds class number {numbers}, which {shows.name} does not name in its label set; it names "
        f"{allowed}, and 0 is background. Add it to the structures of {shows.name}, or correct the mask"
    )
