"""Classification scores with patient-clustered intervals: by arm, by site, and the contrast the study is about."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.results import Predictions, ScoreConfig, Scores, write_table
from fulora.stage import stage


@stage(version=2)
def score(out: Path, config: ScoreConfig, predictions: Mapping[str, Sequence[Predictions]]) -> Scores:
    """Accuracy, macro-F1 and AUC of each arm, accuracy of each site, and arms against the contrast's baseline.

    What cannot be resampled (a site with one patient) has no interval, and its note says so; AUC needs two planes.

    Args:
        predictions: by arm, one a training seed. All arms predict the same images in the same order.
    """
    from fulora.classification.scores import Arm, arm_scores, contrasts

    arms = {name: Arm(name, [item.rows() for item in seeds]) for name, seeds in predictions.items()}
    rows = [row for arm in arms.values() for row in arm_scores(arm, config)]
    write_table(out, [*rows, *contrasts(arms, config)])
    return Scores(out, "")
