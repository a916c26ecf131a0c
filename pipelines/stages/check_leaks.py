"""The leak gate of a study: refuse a test set that shares images or patients with anything that was trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.manifest import ImageSet
from fulora.data.results import LeakTable
from fulora.stage import stage


@stage(version=1)
def check_leaks(
    out: Path, tested_on: ImageSet, trained_on: Mapping[str, ImageSet], foundations: Sequence[str]
) -> LeakTable:
    """One row for every training input: how much it holds, and what it shares with the test split (nothing).

    Args:
        trained_on: the sets whose training splits, or the pictures made from them, some model was fitted to.
        foundations: weights from outside, of which nobody here knows what they have seen.
    """
    from fulora.data.overlap import overlaps
    from fulora.data.patient_numbers import different_patients
    from fulora.data.results import write_table

    inputs = {name: images.rows("train") for name, images in trained_on.items()}
    told_apart = [
        name
        for name, images in trained_on.items()
        if different_patients(images.path) or different_patients(tested_on.path)
    ]
    write_table(out, overlaps(inputs, foundations, tested_on.rows("test"), told_apart))
    return LeakTable(out, "")
