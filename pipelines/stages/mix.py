"""Merge real and added images into a hybrid set that is checked for leaks."""

from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

from fulora.data.assessed_images import Assessment
from fulora.data.hybrid import MixConfig
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.provenance import Provenance
from fulora.stage import stage

VERSION = 5
"""Of both stages, which write the same training and validation images."""


@stage(version=VERSION)
def mix(
    out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet | None, assessment: Assessment | None = None
) -> ImageSet:
    """Write the real training and validation images, and the images that the config's arm adds to the training split.

    The real set's test split is checked for leaks but not copied: models are tested on the real set itself. `mix.json`
    says how many images of each plane were added, what the filters rejected, and the schedule for training.

    Args:
        synthetic: the images that `mix.arm=hybrid` adds; other arms need none.
        assessment: of `synthetic`, if a filter needs it.

    Raises:
        ImageSetError: if there are no synthetic images to add, too few pass, or the assessment lacks a filter.
        LabelSetError: if the synthetic images have other classes than the real ones, or the config names unknown ones.
    """
    _write(out, config, real, synthetic, assessment)
    return ImageSet(out, "")


@stage(version=VERSION)
def mix_with_test(
    out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet | None, assessment: Assessment | None = None
) -> ImageSet:
    """As `mix`, with the images of the real test split: one set for training and testing.

    Raises:
        ImageSetError, LabelSetError: as `mix`; also if an added image has the pixels of a test image.
    """
    from fulora.data.image_set_rules import check_rows

    provenance, tested = _write(out, config, real, synthetic, assessment), real.rows("test")
    check_rows([*ImageSet(out, "").rows(), *tested], provenance)
    if tested:
        ImageSet.write(out, map(partial(_picture, real), tested), labels=real.label_set(), provenance=provenance)
    return ImageSet(out, "")


def _write(
    out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet | None, assessment: Assessment | None
) -> Provenance:
    """Write the set without a test split and its record, and return its provenance."""
    from fulora.data.hybrid import MIX_RECORD, MixRecord, Selection, added_counts, select_real
    from fulora.data.image import ImageSetError
    from fulora.data.image_set_rules import check_rows
    from fulora.data.label_set import refuse_other_classes
    from fulora.data.mix_filters import choosers, filters_of
    from fulora.data.provenance import derive_provenance
    from fulora.data.real_copies import make_copies
    from fulora.workspace import artifact_name

    labels = real.label_set()
    if synthetic is not None:
        refuse_other_classes(labels, synthetic.label_set(), name="the real images", other_name="the synthetic images")
    every, validation = real.rows("train"), real.rows("validation")
    training = select_real(every, config)
    wanted = added_counts(every if config.real == "none" else training, config, labels)
    selection = Selection(config, filters_of(config, [*every, *validation], assessment))
    added: Iterable[Picture] = ()
    parents = [real.provenance()]
    if config.arm == "hybrid":
        if synthetic is None:
            raise ImageSetError("mix.arm=hybrid adds synthetic images, and none are given")
        chosen = selection.choose(wanted, synthetic.rows(), partial(_picture, synthetic))
        parents += [synthetic.provenance(), *choosers(config, assessment)]
        check_rows([*real.rows(), *chosen], Provenance().joined(*parents))
        added = map(partial(_picture, synthetic), chosen)
    elif config.arm != "none":
        added = make_copies(training, wanted, partial(_picture, real), config)
    pictures = chain(map(partial(_picture, real), [*training, *validation]), added)
    provenance = derive_provenance(f"{config.arm} images {artifact_name(out)}", parents)
    ImageSet.write(out, pictures, labels=labels, provenance=provenance)
    record = MixRecord(
        arm=config.arm,
        schedule=config.schedule,
        added=wanted,
        rejected=selection.rejected,
        repeated=selection.repeated,
    )
    (out / MIX_RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    return provenance


def _picture(images: ImageSet, row: Image) -> Picture:
    return Picture(row, images.pixels(row))
