"""Text made from the fields of a score: names, groups, rules, tests and verdicts. Imports no plotting library."""

from collections.abc import Sequence

from fulora.data.score import Protocol, Score, Statistic
from fulora.metrics.image_groups import Better, ImageGroup, RuleKind
from fulora.report.number_format import MISSING, format_number
from fulora.words import counted

LEVEL = 0.05
"""Below which a p-value counts as evidence."""
MOST_NAMED = 12
"""Longer lists of classes are counted instead."""
STATISTICS: dict[Statistic, str] = {
    "mean": "",
    "median": ", median",
    "percentile 5": ", 5th percentile",
    "percentile 95": ", 95th percentile",
}
PROTOCOLS: dict[Protocol, str] = {"prompt": "prompt zero-shot", "fewshot": "few-shot"}
"""Protocols whose name in a table is not their name in a score."""

_ACRONYMS = ("F1", "AUC", "HC", "BPD", "OFD", "AoP", "IoU", "HD95", "ASSD", "FID", "KID", "SSIM", "DINOv2", "CLIP")
_CAPITALS = {word.lower(): word for word in _ACRONYMS}


def display_name(name: str) -> str:
    """Return a metric's name as readers see it: `macro F1` becomes `Macro F1`, `hc bias` `HC bias`."""
    text = " ".join(_CAPITALS.get(word, word) for word in name.replace("_", " ").split())
    return text[:1].upper() + text[1:]


def describe_quantity(score: Score, *, rule: bool = True, structure: bool = False) -> str:
    """Return the quantity and statistic, the rule if it is not the model's own, and the structure if requested."""
    text = score.quantity + STATISTICS[score.statistic]
    if structure and score.structure:
        text += f" ({score.structure})"
    if rule and score.rule in ("among the labels", "prior-adjusted"):
        text += f", {describe_rule(score.rule, score.choices)}"
    return text


def describe_arm(score: Score) -> str:
    """The arm, or of a comparison both arms."""
    return f"{score.arm} minus {score.baseline}" if score.baseline else score.arm


def describe_rule(rule: RuleKind | str, choices: int | None) -> str:
    """A decision rule: `5-way, own decision`."""
    if rule == "probabilities":
        return "probabilities as given"
    return rule if choices is None or rule == "prior-adjusted" else f"{choices}-way, {rule}"


def describe_group(group: ImageGroup) -> str:
    """A group of images: `all`, `site GHA`."""
    return f"{group.kind} {group.name}" if group.name else group.kind


def describe_labels(labels: Sequence[str]) -> str:
    """Classes by name, or their number where there are many."""
    return ", ".join(labels) if len(labels) <= MOST_NAMED else f"{len(labels)} classes"


def describe_note(score: Score) -> str:
    """Return the note below a table about a score: rule, classes, failures and tests."""
    parts = [describe_rule(score.rule, score.choices)] if score.rule else []
    if score.labels and score.group.kind != "class":
        parts.append(f"over {describe_labels(score.labels)}")
    return "; ".join(filter(None, (*parts, *_failed(score), *_tests(score), score.note)))


def describe_comparison(score: Score) -> str:
    """Return how a comparison was made and tested."""
    role = "declared before the run" if score.role == "declared" else score.role
    return "; ".join(filter(None, (role, *_failed(score), *_tests(score), score.note)))


def _failed(score: Score) -> list[str]:
    if score.n_failed is None:
        return []
    if score.baseline:
        return [f"{score.n_images} of {counted(score.n_images + score.n_failed, 'image')}, those that all have"]
    if score.protocol == "biometry":
        every = score.n_images * score.n_seeds
        return [f"{every - score.n_failed} of {every} measured, over all seeds"]
    verb = "counts" if score.n_failed == 1 else "count"
    return [f"{counted(score.n_failed, 'empty prediction')} over all seeds {verb} as the worst value"]


def _tests(score: Score) -> list[str]:
    parts = []
    if score.p_holm is not None:
        over = "sites" if score.group.kind == "site" else "comparison" if score.n_holm == 1 else "comparisons"
        parts.append(f"p adjusted by Holm over {score.n_holm} {over}")
    if score.p_mcnemar is not None:
        parts.append(f"clustered McNemar p = {format_p(score.p_mcnemar)}")
    if score.detectable is not None:
        parts.append(f"the least true difference found with 80 % power is {score.detectable:.3f}")
    if score.p_patients is not None:
        patients = f"{score.test} of patients"
        parts.append(
            f"p of {patients}, training seeds as given"
            if score.p_seeds is None
            else f"p is the larger of that over patients ({patients}: {format_p(score.p_patients)}) and that over "
            f"training seeds (paired t test: {format_p(score.p_seeds)})"
        )
    return parts


def format_p(value: float | None) -> str:
    """A p-value with four decimals."""
    return MISSING if value is None else f"{value:.4f}"


def format_value(score: Score) -> str:
    """A value with its interval: `0.812 [0.790, 0.834]`."""
    return " ".join(filter(None, format_number(score.value, score.low, score.high, unit=score.unit)))


def format_unit(score: Score) -> str:
    """The unit in brackets, with a blank before it; "" for a number without one."""
    return "" if score.unit == "1" else f" ({score.unit})"


def sign(score: Score) -> int:
    """On which side of 0 the whole interval of a comparison lies: 1, -1, or 0 where it holds 0 or there is none."""
    low, high = score.low or 0.0, score.high or 0.0
    return 1 if low > 0 else -1 if high < 0 else 0


def disagreement(score: Score) -> str:
    """Return in words that the test over patients and that over training seeds disagree; "" where they do not.

    `patients say yes (p = 0.0100), training seeds say no (p = 0.3000)`.
    """
    if score.p_patients is None or score.p_seeds is None:
        return ""
    over = {"patients": score.p_patients, "training seeds": score.p_seeds}
    yes = [f"{name} say yes (p = {format_p(p)})" for name, p in over.items() if p < LEVEL]
    no = [f"{name} say no (p = {format_p(p)})" for name, p in over.items() if p >= LEVEL]
    return ", ".join((*yes, *no)) if yes and no else ""


def describe_verdict(score: Score) -> str:
    """Return the verdict that the interval and the test of a comparison allow together."""
    p = score.p if score.p_holm is None else score.p_holm
    if not sign(score) or p is None or p >= LEVEL:
        apart = disagreement(score)
        return f"not settled: {apart}" if apart else "no evidence of a difference"
    which: Better = "higher" if score.value > 0 else "lower"
    return which if not score.better else "better" if which == score.better else "worse"


def summarize_comparison(score: Score) -> str:
    """Return a comparison as a sentence that claims no more than its interval and its p-value do."""
    p = score.p if score.p_holm is None else score.p_holm
    by = "" if p is None else f", {'p' if score.p_holm is None else 'p by Holm'} = {format_p(p)}"
    unit = "" if score.unit == "1" else f" {score.unit}"
    what = f"{display_name(describe_quantity(score))} of {describe_arm(score)} ({score.role})"
    return f"{what}: {format_value(score)}{unit}{by}; {describe_verdict(score)}."
