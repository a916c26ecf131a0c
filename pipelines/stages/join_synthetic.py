"""The synthetic images of several sets as one."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fulora.data.image_set import ImageSet, Picture
from fulora.stage import stage


@stage(version=1)
def join_synthetic(out: Path, sets: Mapping[str, ImageSet]) -> ImageSet:
    """Write the synthetic images of all sets; ids begin with the name of their set if there are several.

    Args:
        sets: by name; real images in them are left out.

    Raises:
        LabelSetError: if they have different classes.
    """
    from fulora.data.label_set import refuse_other_classes
    from fulora.data.provenance import derive_provenance
    from fulora.workspace import artifact_name

    (first, one), *others = sets.items()
    labels = one.label_set()
    for name, other in others:
        refuse_other_classes(labels, other.label_set(), name=first, other_name=name)
    provenance = derive_provenance(
        f"synthetic images {artifact_name(out)}", [images.provenance() for images in sets.values()]
    )
    ImageSet.write(out, _pictures(sets), labels=labels, provenance=provenance)
    return ImageSet(out, "")


def _pictures(sets: Mapping[str, ImageSet]) -> Iterator[Picture]:
    for name, images in sets.items():
        for row in images.iter_rows("train"):
            if row.origin == "synthetic":
                image_id = f"{name}_{row.image_id}" if len(sets) > 1 else row.image_id
                yield Picture(row.changed(image_id=image_id), images.pixels(row))
