"""The tables of `fulora score classification` on a terminal."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fulora.terminal import PlainConsole
from pipelines.commands.output import build_table

if TYPE_CHECKING:
    from rich.table import Table

    from fulora.metrics.comparison import ComparisonRow
    from fulora.metrics.image_groups import GroupKind
    from fulora.metrics.scorecard import ScoreRow
    from fulora.metrics.statistics import Interval

WIDTH = 8
"""The least width of a column of texts."""
TITLES: dict["GroupKind", str] = {
    "all": "All images",
    "class": "By class",
    "site": "By site",
    "machine": "By machine",
    "without duplicates": "Without images that are also listed under another patient",
}


def print_scores(facts: Mapping[str, Any], rows: Sequence["ScoreRow"]) -> None:
    """Print what was read, the scores by group, and the confusion matrix."""
    from fulora.report.score_text import describe_group

    console = PlainConsole()
    for line in _heading(facts):
        console.print(line, soft_wrap=True)
    for kind, title in TITLES.items():
        if some := [row for row in rows if row.group.kind == kind]:
            console.print(f"\n{title}", style="bold")
            console.print(_score_table(some, facts["level"]))
    console.print(f"\nConfusion matrix, {facts['decision']}: rows true, columns decided", style="bold")
    console.print(_confusion_table(facts["confusion"]))
    _print_reasons(
        [(f"{row.quantity}, {describe_group(row.group)}", row.interval.reason) for row in rows], console.print
    )


def print_comparisons(facts: Mapping[str, Any], rows: Sequence["ComparisonRow"]) -> None:
    """Print the paired comparison: differences with interval, tests, and the difference that could be found."""
    from fulora.report.score_text import describe_group

    if not rows:
        return
    console = PlainConsole()
    console.print(f"\nDifference to {facts['against']}: this file minus that one, on the same images", style="bold")
    console.print(_difference_table(rows, facts["level"]))
    console.print("p: permutation of patients, two-sided; Holm p: over the sites", soft_wrap=True)
    if tested := [row for row in rows if row.mcnemar is not None]:
        console.print("\nThe same accuracies by clustered McNemar tests, and what could have been found", style="bold")
        console.print(_mcnemar_table(tested))
        console.print(
            "found at 80 %: the smallest true difference detected with 80 % power, if models differ as much as these",
            soft_wrap=True,
        )
    console.print("what was not declared before the run is exploratory", soft_wrap=True)
    _print_reasons(
        [(f"{row.quantity}, {describe_group(row.group)}", row.difference.reason) for row in rows], console.print
    )


def _heading(facts: Mapping[str, Any]) -> list[str]:
    shared = facts["shared_pictures"]
    merged = facts["patients"] - facts["clusters"]
    unread = facts["columns_not_read"]
    lines = [
        f"{facts['file']}: {facts['images']} images of {facts['patients']} patients at {facts['sites']} sites",
        f"labels: {', '.join(facts['labels'])}; classes: {', '.join(facts['classes'])}",
        f"own decision: {facts['decision']}",
        f"intervals: {facts['level']:.0%}, {facts['draws']} bootstrap draws of patients within sites",
    ]
    if facts["left_out"]:
        lines.append(f"left out: {facts['left_out']} images whose true class is none of the labels")
    if shared:
        lines.append(f"{shared} images are duplicates listed under another patient: {merged} clusters fewer")
    if unread:
        lines.append(f"columns not read: {', '.join(unread)}")
    return [*lines, *facts["notes"]]


def _score_table(rows: Sequence["ScoreRow"], level: float) -> "Table":
    from fulora.report.score_text import describe_labels, describe_rule

    single = len({row.group for row in rows}) == 1
    texts = ["score", *([] if single else ["of"]), "rule", "over"]
    table = build_table(texts, ("value", f"{level:.0%} interval", "images", "patients"), WIDTH)
    for row in rows:
        of = [] if single else [row.group.name]
        interval = row.interval
        numbers = (f"{interval.value:.4f}", _bounds(interval), str(interval.n), str(interval.clusters))
        table.add_row(row.quantity, *of, describe_rule(row.rule, row.choices), describe_labels(row.labels), *numbers)
    return table


def _difference_table(rows: Sequence["ComparisonRow"], level: float) -> "Table":
    from fulora.report.score_text import describe_group, describe_labels, describe_rule

    numbers = ("difference", f"{level:.0%} interval", "p", "Holm p", "images", "patients")
    table = build_table(("score", "of", "rule", "over"), numbers, WIDTH)
    for row in rows:
        difference = row.difference
        names = (
            row.quantity,
            describe_group(row.group),
            describe_rule(row.rule, row.choices),
            describe_labels(row.labels),
        )
        values = (f"{difference.value:+.4f}", _bounds(difference, signed=True), _p(row.p), _p(row.p_holm))
        table.add_row(*names, *values, str(difference.n), str(difference.clusters))
    return table


def _mcnemar_table(rows: Sequence["ComparisonRow"]) -> "Table":
    from fulora.report.score_text import describe_group, describe_rule

    numbers = ("Durkalski p", "Obuchowski p", "Yang p", "found at 80 %", "patients")
    table = build_table(("of", "rule"), numbers, WIDTH)
    for row in rows:
        if test := row.mcnemar:
            tests = (_p(p) for p in (test.p_durkalski, test.p_obuchowski, test.p_yang))
            names = (describe_group(row.group), describe_rule(row.rule, row.choices))
            table.add_row(*names, *tests, f"{row.detectable:.3f}", str(test.clusters))
    return table


def _confusion_table(confusion: dict[str, Any]) -> "Table":
    table = build_table(("true",), (*confusion["decided"], "images"), WIDTH)
    for name, counts in zip(confusion["true"], confusion["counts"], strict=True):
        table.add_row(name, *map(str, counts), str(sum(counts)))
    return table


def _print_reasons(reasons: Sequence[tuple[str, str]], write: Callable[..., None]) -> None:
    """Print each reason why an interval is missing, or not the bootstrap's, once with the scores it applies to."""
    scores_by_reason: dict[str, list[str]] = {}
    for score, reason in reasons:
        if reason and score not in scores_by_reason.get(reason, []):
            scores_by_reason.setdefault(reason, []).append(score)
    for reason, scores in scores_by_reason.items():
        more = f" and {len(scores) - 4} more" if len(scores) > 4 else ""
        write(f"{reason}: {'; '.join(scores[:4])}{more}", soft_wrap=True)


def _bounds(interval: "Interval", signed: bool = False) -> str:
    if interval.low is None or interval.high is None:
        return "none"
    form = "+.3f" if signed else ".3f"
    return f"{interval.low:{form}} to {interval.high:{form}}{' *' if interval.reason else ''}"


def _p(p: float | None) -> str:
    return "" if p is None else "<.0001" if p < 1e-4 else f"{p:.4f}"
