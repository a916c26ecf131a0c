"""Merge real and added images into a hybrid set that is checked for leaks."""

from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path

from fulora.data.assessed_images import Assessment
from fulora.data.hybrid import FilterName, MixConfig, PictureFilter
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.provenance import Provenance
from fulora.stage import stage


@stage(version=5)
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
    from fulora.data.hybrid import MIX_RECORD, MixRecord, Selection, added_counts, select_real
    from fulora.data.image import ImageSetError
    from fulora.data.image_set_rules import check_rows
    from fulora.data.label_set import refuse_other_classes
    from fulora.data.provenance import derive_provenance
    from fulora.data.real_copies import make_copies
    from fulora.workspace import artifact_name

    labels = real.label_set()
    if synthetic is not None:
        refuse_other_classes(labels, synthetic.label_set(), name="the real images", other_name="the synthetic images")
    every, validation = real.rows("train"), real.rows("validation")
    training = select_real(every, config)
    wanted = added_counts(every if config.real == "none" else training, config, labels)
    selection = Selection(config, _filters(config, [*every, *validation], assessment))
    added: Iterable[Picture] = ()
    parents = [real.provenance()]
    if config.arm == "hybrid":
        if synthetic is None:
            raise ImageSetError("mix.arm=hybrid adds synthetic images, and none are given")
        chosen = selection.choose(wanted, synthetic.rows(), partial(_picture, synthetic))
        parents += [synthetic.provenance(), *_choosers(config, assessment)]
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
    return ImageSet(out, "")


def _choosers(config: MixConfig, assessment: Assessment | None) -> list[Provenance]:
    """The provenance of the models whose opinion selected images."""
    from fulora.data.provenance import read_provenance

    provenance = read_provenance(assessment.path) if assessment is not None and config.assessed else None
    return [] if provenance is None else [provenance.as_chosen()]


def _filters(config: MixConfig, rows: list[Image], assessment: Assessment | None) -> dict[FilterName, PictureFilter]:
    from fulora.data.hybrid import ASSESSED, filter_by_assessment, filter_repeats, is_not_blank
    from fulora.data.image import ImageSetError

    if config.arm != "hybrid":
        return {}
    known: dict[FilterName, PictureFilter] = {
        "blank": is_not_blank,
        "duplicate": filter_repeats(row.sha256 for row in rows),
    }
    if config.assessed:
        if assessment is None:
            raise ImageSetError(f"mix.filters: {', '.join(set(config.filters) & set(ASSESSED))} need an assessment")
        fails = {row.image_id: row.fails for row in assessment.rows()}
        looked_at = assessment.filters()
        if missing := [name for name in config.filters if name in ASSESSED and name not in looked_at]:
            raise ImageSetError(
                f"mix.filters: {', '.join(missing)} was not looked at: plane needs `judge`, clip needs the encoder "
                "clip, memorised needs images that trained the generator"
            )
        known |= {name: filter_by_assessment(fails, name) for name in looked_at}
    return {name: known[name] for name in config.filters}


def _picture(images: ImageSet, row: Image) -> Picture:
    return Picture(row, images.pixels(row))
