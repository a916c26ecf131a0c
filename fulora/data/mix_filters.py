"""The filters of a hybrid set: of pixels, and of an assessment."""

from collections.abc import Iterable

from fulora.data.assessed_images import Assessment
from fulora.data.hybrid import (
    ASSESSED,
    FilterName,
    MixConfig,
    PictureFilter,
    filter_by_assessment,
    filter_repeats,
    is_not_blank,
)
from fulora.data.image import Image, ImageSetError
from fulora.data.provenance import Provenance, read_provenance


def filters_of(
    config: MixConfig, real: Iterable[Image], assessment: Assessment | None
) -> dict[FilterName, PictureFilter]:
    """Return the filters that a config names, in their order; none for arms that add no synthetic images.

    Args:
        real: images of which no copy is added.
        assessment: of the synthetic images, if a filter needs it.

    Raises:
        ImageSetError: if a filter needs an assessment and there is none, or the assessment lacks the filter.
    """
    if config.arm != "hybrid":
        return {}
    known: dict[FilterName, PictureFilter] = {
        "blank": is_not_blank,
        "duplicate": filter_repeats(row.sha256 for row in real),
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


def choosers(config: MixConfig, assessment: Assessment | None) -> list[Provenance]:
    """Return the provenance of the models whose opinion selected images."""
    provenance = read_provenance(assessment.path) if assessment is not None and config.assessed else None
    return [] if provenance is None else [provenance.as_chosen()]
