"""Classification scores with patient-clustered intervals: by arm, plane, site and machine, and of arms compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fulora.data.results import Predictions, Scores, write_table
from fulora.data.score import ScoreConfig
from fulora.stage import stage


@stage(version=4)
def score(out: Path, config: ScoreConfig, predictions: Mapping[str, Sequence[Predictions]]) -> Scores:
    """Write all scores of each arm, and the comparisons of arms that the config names.

    A group that cannot be resampled (a site with one patient) has no interval, and a note; AUC needs two classes.

    Args:
        predictions: by arm, one a training seed. All arms predict the same images in the same order.
    """
    from fulora.classification.scores import arm_scores, comparisons, read_arms

    arms = read_arms(predictions)
    rows = [row for arm in arms.values() for row in arm_scores(arm, config)]
    write_table(out, [*rows, *comparisons(arms, config)])
    return Scores(out, "")
