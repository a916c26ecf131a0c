"""What guessing would score: the level that a figure of scores is read against."""

from collections.abc import Sequence

from fulora.data.score import Score
from fulora.metrics.classification_metrics import METRICS


def chance_level(score: Score) -> float | None:
    """Return the score of guesses that ignore the image, on average; None where it is not known, or of a difference."""
    metric = next((metric for metric in METRICS if metric.name == score.quantity), None)
    classes = score.choices or len(score.labels)
    if score.baseline or metric is None or metric.chance is None or not classes:
        return None
    return metric.chance(classes)


def common_chance(scores: Sequence[Score]) -> float | None:
    """Return the level that all scores share; None if they share none."""
    levels = {chance_level(score) for score in scores}
    return levels.pop() if len(levels) == 1 else None


def describe_chance(scores: Sequence[Score]) -> str:
    """Return a sentence on the dashed line of a figure, with a blank before it; "" without one."""
    level, choices = common_chance(scores), {score.choices for score in scores}
    if level is None:
        return ""
    among = next(iter(choices)) if len(choices) == 1 else None
    return f" Dashed line: chance, {level:.3f}" + (f" (a uniform guess among {among} classes)." if among else ".")
