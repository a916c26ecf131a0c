"""Make the test split of what is to be predicted on, under the classes of what predicts."""

from pathlib import Path
from typing import Literal

from fulora.config import Config
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.labels import Split
from fulora.stage import stage

SplitChoice = Split | Literal["all"]


class TakeTestedConfig(Config):
    """Which images are tested on, and their classes.

    Attributes:
        classes: the label set of the new image set; every image shows one of them, or is unlabelled.
        split: the split whose images become the test split, `all`, or `each`: every image keeps its split.
        leave_out: classes of the images whose images are left out.
    """

    classes: LabelSet
    split: SplitChoice | Literal["each"] = "test"
    leave_out: tuple[str, ...] = ()


@stage(version=1)
def take_tested(out: Path, config: TakeTestedConfig, images: ImageSet) -> ImageSet:
    """Write the chosen images of a set, their files as they are, as the test split of a new one.

    Raises:
        ImageSetError: if an image shows another class, or a generator or model behind the images was trained on them.
    """
    from functools import partial

    from fulora.data.patient_numbers import different_patients, note_different_patients
    from fulora.engine import threaded

    rows = images.rows(None if config.split == "all" or config.split == "each" else config.split)
    moved = {} if config.split == "each" else {"split": "test"}
    chosen = [(row, row.changed(**moved)) for row in rows if row.plane not in config.leave_out]
    copied = threaded(partial(_copy_files, images.path, out), chosen)
    ImageSet.write_rows(out, copied, labels=config.classes, provenance=images.provenance())
    if different_patients(images.path):
        note_different_patients(out)
    return ImageSet(out, "")


def _copy_files(source: Path, out: Path, rows: tuple[Image, Image]) -> Image:
    """Copy the picture and the mask of a row to the place of its new row, which is returned."""
    import shutil

    old, new = rows
    for name in filter(None, (old.file_name, old.mask_file)):
        target = out / new.split / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / old.split / name, target)
    return new
