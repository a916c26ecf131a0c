"""Synthetic images of another tool as an image set, whose generator's training data are unknown."""

from pathlib import Path

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.stage import Source, stage


@stage(version=1)
def import_synthetic(out: Path, generator: str, labels: LabelSet, folder: Source) -> ImageSet:
    """Write pictures in class folders as synthetic training images.

    Args:
        generator: its name, as the user says it; whom it was trained on is unknown, and the provenance says so.

    Raises:
        SourceError: if a picture is in no folder that names a class.
        ImageSetError: if two pictures have one name, whatever its case.
    """
    from fulora.data.provenance import Provenance
    from fulora.intake.synthetic_folder import read_synthetic

    pictures = read_synthetic(folder.path, labels, generator)
    ImageSet.write(out, pictures, labels=labels, provenance=Provenance.unknown(f"the generator {generator}"))
    return ImageSet(out, "")
