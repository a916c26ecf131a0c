"""How far synthetic images are from held-out patients of the study's population."""

from collections.abc import Mapping
from pathlib import Path

from fulora.assessment.config import ClosenessConfig
from fulora.data.image_set import ImageSet
from fulora.data.results import Scores, write_table
from fulora.stage import stage


@stage(version=2)
def score_generation(out: Path, config: ClosenessConfig, real: ImageSet, synthetic: Mapping[str, ImageSet]) -> Scores:
    """Scores of each synthetic set, and of the real training images, against the validation split of the real ones.

    Raises:
        OverlapError, SameNumberError: a generator, or a parent of it, was fitted to a validation image or patient.
    """
    from fulora.assessment.closeness import closeness
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients

    generators = [images.provenance() for images in synthetic.values()]
    distinct_patients = different_patients(real.path)
    refuse_leaks(generators, real.rows("validation"), uses=("fitted",), distinct_patients=distinct_patients)
    write_table(out, closeness(real, synthetic, config))
    return Scores(out, "")
