"""Scores of segmentation arms: overlap, distances, head circumference, angle of progression; and arms compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.results import Measurements, Scores, write_table
from fulora.segmentation.scores import MaskScoreConfig
from fulora.stage import stage


@stage(version=3)
def score_masks(out: Path, config: MaskScoreConfig, measurements: Mapping[str, Sequence[Measurements]]) -> Scores:
    """Write all scores of each arm, and the comparisons of arms that the config names.

    Args:
        measurements: by arm, one a training seed. All arms measure the same images in the same order.
    """
    from fulora.segmentation.scores import arm_scores, comparisons, read_arm

    arms = {name: read_arm(name, [item.rows() for item in seeds], config) for name, seeds in measurements.items()}
    rows = [row for arm in arms.values() for row in arm_scores(arm, config)]
    write_table(out, [*rows, *comparisons(arms, config)])
    return Scores(out, "")
