"""How far synthetic images are from people of the study's population who trained nothing."""

from collections.abc import Mapping
from pathlib import Path

from fulora.assessment.config import ClosenessConfig
from fulora.data.manifest import ImageSet
from fulora.data.results import Scores, write_table
from fulora.stage import stage


@stage(version=2)
def score_generation(out: Path, config: ClosenessConfig, real: ImageSet, synthetic: Mapping[str, ImageSet]) -> Scores:
    """Scores of each synthetic set, and of the real training images, against the validation split of the real ones."""
    from fulora.assessment.closeness import closeness

    write_table(out, closeness(real, synthetic, config))
    return Scores(out, "")
