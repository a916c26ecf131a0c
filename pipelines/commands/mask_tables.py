"""The tables of `fulora score segmentation` on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


def print_masks(facts: dict[str, Any]) -> None:
    """Print the scores of each prediction with failures, and the rankings if there are several."""
    from fulora.terminal import PlainConsole

    console = PlainConsole()
    drawn = f"{facts['patients']} patients" if facts["patients_known"] else "cases, taken as independent"
    console.print(f"{facts['reference']}: {facts['cases']} cases, protocol {facts['protocol']}", soft_wrap=True)
    console.print(f"intervals: 95%, {facts['draws']} bootstrap draws of {drawn}", soft_wrap=True)
    for name, found in facts["predictions"].items():
        score = f", S = {found['S']:.4f}" if "S" in found else ""
        console.print(
            f"\n{name}: {found['failed_cases']} of {facts['cases']} cases with a failure{score}", style="bold"
        )
        console.print(_scores(found["metrics"]))
        if "agreement" in found:
            console.print(_agreement(found["agreement"]), soft_wrap=True)
        for kind, count in found["failures"].items():
            console.print(f"failure {kind}: {count}")
        if "invented" in found:
            classes = ", ".join(f"{number} in {count}" for number, count in found["invented"]["classes"].items())
            console.print(
                f"{found['invented']['masks']} predictions hold classes that no reference has, which are not scored: "
                f"class {classes}",
                soft_wrap=True,
            )
        if found["not_scored"]:
            console.print(f"{found['not_scored']} predictions have no reference and were not scored", soft_wrap=True)
    for scheme, found in facts.get("rankings", {}).items():
        console.print(
            f"\nRanks, {scheme.replace('_', ' ')} (95% of draws; share of draws in which first)", style="bold"
        )
        console.print(_ranks(found, list(facts["predictions"])))
    if "rankings" in facts:
        console.print("tau: mean of Kendall's tau between the ranking of a draw and that of all cases", soft_wrap=True)


def _scores(metrics: dict[str, dict[str, Any]]) -> "Table":
    table = _table(["score", "mean", "95% interval", "median", "worst 5%", "unit"])
    for name, row in metrics.items():
        bounds = "none" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"
        mean, median, worst = (f"{row[key]:.4f}" for key in ("mean", "median", "worst_5"))
        table.add_row(name, mean, bounds, median, worst, row["unit"])
    return table


def _agreement(found: dict[str, Any]) -> str:
    return (
        f"{found['of']}, measured minus reference: bias {found['bias']:+.2f} (limits {found['low']:+.2f} to "
        f"{found['high']:+.2f}), ADF {found['adf']:.2f} +- {found['adf_sd']:.2f} of those measured; "
        f"{found['failures']} of {found['n']} failed"
    )


def _ranks(found: dict[str, Any], names: Sequence[str]) -> "Table":
    table = _table(["score", *names, "tau"])
    for metric, row in found["metrics"].items():
        cells = [
            f"{rank:g} ({low:g} to {high:g}; {first:.0%})"
            for rank, low, high, first in zip(row["ranks"], row["low"], row["high"], row["first"], strict=True)
        ]
        table.add_row(metric, *cells, "none" if row["kendall_tau"] is None else f"{row['kendall_tau']:.2f}")
    pairs = zip(found["overall_ranks"], found["mean_ranks"], strict=True)
    table.add_row("mean of ranks", *[f"{rank:g} ({mean:.2f})" for rank, mean in pairs], "")
    return table


def _table(columns: Sequence[str]) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
