"""What guessing would score: the level that a figure of scores is read against."""

from collections.abc import Sequence

from fulora.data.score import Score


def chance_level(score: Score) -> float | None:
    """Return the score of guesses that ignore the image, on average; None where it is not known.

    A uniform guess among k classes is right in 1/k of the images; an AUC of guesses is 0.5, a kappa 0.
    """
    if score.quantity in ("accuracy", "balanced accuracy"):
        return None if score.choices is None else 1 / score.choices
    return {"macro one-vs-rest AUC": 0.5, "Cohen's kappa": 0.0}.get(score.quantity)


def common_chance(scores: Sequence[Score]) -> float | None:
    """Return the level that all scores share; None if they share none, or are differences."""
    levels = {None if score.baseline else chance_level(score) for score in scores}
    return levels.pop() if len(levels) == 1 else None


def describe_chance(scores: Sequence[Score]) -> str:
    """Return a sentence on the dashed line of a figure, with a blank before it; "" without one."""
    level = common_chance(scores)
    if level is None:
        return ""
    among = f"a uniform guess among {scores[0].choices} classes" if scores[0].choices else "guessing"
    return f" Dashed line: chance, {level:.3f} ({among})."
