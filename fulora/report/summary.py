"""The top of a report: its main findings in sentences and a figure, its key numbers, and its warnings."""

from collections.abc import Sequence

from fulora.data.class_counts import missing_classes
from fulora.data.score import Score
from fulora.metrics.image_groups import ALL_IMAGES
from fulora.report import parts as report_parts
from fulora.report.assessment import verdict_sentences
from fulora.report.chance import describe_chance
from fulora.report.comparisons import describe_plot, plot_arms, summarize_comparisons
from fulora.report.number_format import format_number
from fulora.report.page import Card, Figure
from fulora.report.score_text import (
    LEVEL,
    describe_arm,
    describe_quantity,
    disagreement,
    display_name,
    format_unit,
    format_value,
    sign,
)
from fulora.report.training import overfitting_sentences
from fulora.words import counted

MOST_NAMED = 3
"""Most comparisons that the summary names; more are counted."""


def read_scores(parts: Sequence[report_parts.ReportPart]) -> list[Score]:
    """Read the scores of all parts."""
    scored = [part for part in parts if isinstance(part, report_parts.ScoredPart)]
    return [score for part in scored for score in part.scores.rows()]


def warnings_of(parts: Sequence[report_parts.ReportPart]) -> list[str]:
    """Return a sentence for each class that only training or only test images have."""
    classified = [part for part in parts if isinstance(part, report_parts.ClassificationPart)]
    return [line for part in classified for line in missing_classes(part.training, part.images, part.few)]


def summarize(parts: Sequence[report_parts.ReportPart]) -> list[str]:
    """Return the main findings: of a study of classifiers by all its scores, of others by their first part."""
    if any(isinstance(part, report_parts.ClassificationPart) for part in parts):
        return headline(read_scores(parts))
    for part in parts:
        match part:
            case report_parts.SegmentationPart():
                return summarize_comparisons([score for score in part.scores.rows() if score.role == "declared"])
            case report_parts.AssessmentPart():
                return verdict_sentences(part)
            case report_parts.TrainingPart():
                return overfitting_sentences(part)
    return []


def key_numbers(scores: Sequence[Score]) -> list[Card]:
    """Return the declared comparison, the scores of its arms, distances of generated sets, and of a lone network."""
    return [_card(score, scores) for score in scores if _is_key(score, scores)]


def _card(score: Score, scores: Sequence[Score]) -> Card:
    several = len({other.structure for other in scores if other.quantity == score.quantity}) > 1
    what = describe_quantity(score, structure=several)
    value, interval = format_number(score.value, score.low, score.high, unit=score.unit)
    label = f"{display_name(what)}, {describe_arm(score)}{format_unit(score)}"
    return Card(label, value, interval, f"{counted(score.n_images, 'image')}, {counted(score.n_patients, 'patient')}")


def _is_key(score: Score, scores: Sequence[Score]) -> bool:
    if score.baseline:
        return score.role == "declared" or score.protocol == "generation"
    if score.group != ALL_IMAGES or score.statistic != "mean" or not score.rank:
        return False
    declared = [other for other in scores if other.role == "declared" and other.structure == score.structure]
    kind = score.quantity, score.unit, score.rule
    of_declared = any(
        score.arm in (other.arm, other.baseline) and (other.quantity, other.unit, other.rule) == kind
        for other in declared
    )
    return of_declared or _is_of_lone_network(score, scores)


def _is_of_lone_network(score: Score, scores: Sequence[Score]) -> bool:
    same = [other for other in scores if other.protocol == score.protocol and not other.baseline and other.rank]
    is_alone = {other.arm for other in same} == {score.arm}
    structure = "all" if any(other.structure == "all" for other in same) else score.structure
    is_first = score.rank == min(other.rank for other in same)
    return score.protocol in ("segmentation", "biometry") and is_alone and is_first and score.structure == structure


def headline(scores: Sequence[Score]) -> list[str]:
    """Return a sentence for each declared comparison, on those that disagree, and on comparisons of generated sets."""
    declared = [score for score in scores if score.role == "declared"]
    generated = [score for score in scores if score.baseline and score.protocol == "generation"]
    return [
        *map(_summarize_declared, declared),
        *_summarize_disagreements([score for score in scores if score.role == "exploratory"]),
        *map(_summarize_closeness, generated),
    ]


def _summarize_disagreements(compared: Sequence[Score]) -> list[str]:
    """Name the exploratory comparisons of the first metric in which patients and training seeds disagree."""
    first = [score for score in compared if score.rank == 1 and score.group == ALL_IMAGES]
    apart = [score for score in first if disagreement(score)]
    if not apart:
        return []
    named = "; ".join(f"{describe_arm(score)}: {disagreement(score)}" for score in apart[:MOST_NAMED])
    more = f"; and {len(apart) - MOST_NAMED} more" if len(apart) > MOST_NAMED else ""
    of = counted(len(first), "further comparison")
    return [f"Patients and training seeds disagree in {len(apart)} of {of}: {named}{more}."]


def primary_figure(scores: Sequence[Score]) -> list[Figure]:
    """Return a figure of the two arms of the first declared comparison, with the level of guessing; or none."""
    declared = next((score for score in scores if score.role == "declared" and score.group == ALL_IMAGES), None)
    if declared is None:
        return []
    kind = declared.quantity, declared.statistic, declared.structure, declared.unit, declared.rule
    arms = [
        score
        for arm in (declared.baseline, declared.arm)
        for score in scores
        if not score.baseline
        and score.arm == arm
        and score.group == ALL_IMAGES
        and (score.quantity, score.statistic, score.structure, score.unit, score.rule) == kind
    ]
    if len(arms) != 2:
        return []
    quantity = display_name(describe_quantity(declared, structure=True))
    seeds = counted(declared.n_seeds, "training seed")
    tested = f"{counted(declared.n_images, 'test image')} of {counted(declared.n_patients, 'patient')}, {seeds}"
    caption = f"{quantity} of the two arms of the declared comparison, with 95 % intervals: {tested}."
    return [Figure("primary", plot_arms(arms), f"{caption}{describe_chance(arms)}", describe_plot(arms))]


def _summarize_declared(score: Score) -> str:
    arm, baseline = score.arm, score.baseline
    side = sign(score) if score.better == "higher" else -sign(score)
    change = f"{describe_quantity(score)} changed by {format_value(score)}{format_unit(score)}"
    if apart := disagreement(score):
        return f"Not settled whether {arm} and {baseline} differ on unseen patients: {apart}; {change}."
    finding = {
        1: f"{arm} did better than {baseline}",
        -1: f"{arm} did worse than {baseline}",
        0: f"No evidence that {arm} and {baseline} differ",
    }[side if score.better and (score.p is None or score.p < LEVEL) else 0]
    return f"{finding} on unseen patients: {change}."


def _summarize_closeness(score: Score) -> str:
    arm, baseline = score.arm, score.baseline
    finding = {
        1: f"Images of {baseline} are closer to the study population than those of {arm}",
        -1: f"Images of {baseline} are further from the study population than those of {arm}",
        0: f"No evidence that images of {baseline} are closer to the study population than those of {arm}",
    }[sign(score)]
    return f"{finding}: {score.quantity} of {arm} minus that of {baseline} is {format_value(score)}."
