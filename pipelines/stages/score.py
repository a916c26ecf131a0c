"""Classification scores with patient-clustered intervals: by arm, plane, site and machine, and of arms compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.results import Predictions, ScoreConfig, Scores, write_table
from fulora.stage import stage


@stage(version=3)
def score(out: Path, config: ScoreConfig, predictions: Mapping[str, Sequence[Predictions]]) -> Scores:
    """All scores of each arm, and arms against the contrast's baseline.

    What cannot be resampled (a site with one patient) has no interval, and its note says so; AUC needs two planes.

    Args:
        predictions: by arm, one a training seed. All arms predict the same images in the same order.
    """
    from fulora.classification.scores import arm_scores, contrasts, read_arm

    arms = {name: read_arm(name, seeds) for name, seeds in predictions.items()}
    rows = [row for arm in arms.values() for row in arm_scores(arm, config)]
    write_table(out, [*rows, *contrasts(arms, config)])
    return Scores(out, "")
