"""The tables of `fulora score segmentation` on a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fulora.terminal import PlainConsole
from pipelines.commands.output import build_table

if TYPE_CHECKING:
    from rich.table import Table


def print_masks(facts: dict[str, Any]) -> None:
    """Print the scores of each prediction with failures, and the rankings if there are several."""
    console = PlainConsole()
    resampled = f"{facts['patients']} patients" if facts["patients_known"] else "cases, taken as independent"
    console.print(f"{facts['reference']}: {facts['cases']} cases, protocol {facts['protocol']}", soft_wrap=True)
    console.print(f"intervals: 95%, {facts['draws']} bootstrap draws of {resampled}", soft_wrap=True)
    for name, prediction in facts["predictions"].items():
        _print_prediction(console, name, prediction, facts["cases"])
    for scheme, ranks in facts.get("rankings", {}).items():
        title = f"\nRanks, {scheme.replace('_', ' ')} (95% of draws; share of draws in which first)"
        console.print(title, style="bold")
        console.print(_ranks(ranks, list(facts["predictions"])))
    if "rankings" in facts:
        console.print("tau: mean of Kendall's tau between the ranking of a draw and that of all cases", soft_wrap=True)


def _print_prediction(console: PlainConsole, name: str, prediction: dict[str, Any], cases: int) -> None:
    score = f", S = {prediction['S']:.4f}" if "S" in prediction else ""
    console.print(f"\n{name}: {prediction['failed_cases']} of {cases} cases with a failure{score}", style="bold")
    console.print(_scores(prediction["metrics"]))
    lines = [_agreement(prediction["agreement"])] if "agreement" in prediction else []
    lines += [f"failure {kind}: {count}" for kind, count in prediction["failures"].items()]
    if "invented" in prediction:
        invented = prediction["invented"]
        classes = ", ".join(f"{number} in {count}" for number, count in invented["classes"].items())
        lines.append(
            f"{invented['masks']} predictions hold classes that no reference has, which are not scored: class {classes}"
        )
    if prediction["not_scored"]:
        lines.append(f"{prediction['not_scored']} predictions have no reference and were not scored")
    for line in lines:
        console.print(line, soft_wrap=True)


def _scores(metrics: dict[str, dict[str, Any]]) -> "Table":
    table = build_table(["score", "mean", "95% interval", "median", "worst 5%", "unit"])
    for name, row in metrics.items():
        bounds = "none" if row["low"] is None else f"{row['low']:.4f} to {row['high']:.4f}"
        table.add_row(name, f"{row['mean']:.4f}", bounds, f"{row['median']:.4f}", f"{row['worst_5']:.4f}", row["unit"])
    return table


def _agreement(agreed: dict[str, Any]) -> str:
    return (
        f"{agreed['of']}, measured minus reference: bias {agreed['bias']:+.2f} (limits {agreed['low']:+.2f} to "
        f"{agreed['high']:+.2f}), ADF {agreed['adf']:.2f} +- {agreed['adf_sd']:.2f} of those measured; "
        f"{agreed['failures']} of {agreed['n']} failed"
    )


def _ranks(ranks: dict[str, Any], names: Sequence[str]) -> "Table":
    table = build_table(["score", *names, "tau"])
    for metric, row in ranks["metrics"].items():
        cells = [
            f"{rank:g} ({low:g} to {high:g}; {first:.0%})"
            for rank, low, high, first in zip(row["ranks"], row["low"], row["high"], row["first"], strict=True)
        ]
        table.add_row(metric, *cells, "none" if row["kendall_tau"] is None else f"{row['kendall_tau']:.2f}")
    pairs = zip(ranks["overall_ranks"], ranks["mean_ranks"], strict=True)
    table.add_row("mean of ranks", *[f"{rank:g} ({mean:.2f})" for rank, mean in pairs], "")
    return table
