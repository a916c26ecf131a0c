"""The section on adapted CLIPs: what tuning gave and took, on the way from the old to the tuned weights."""

from collections.abc import Mapping, Sequence

from fulora.data.results import AlphaScore
from fulora.report.curves import plot_sweep
from fulora.report.numbers import format_number
from fulora.report.page import Figure, Section, file_stems
from fulora.report.tables import Table

LABEL = "share of the tuned weights"
TEXT = (
    "Accuracy by prompts of weights between the CLIP as it was (0) and as it was tuned (1), first seed (WiSE-FT, "
    "Wortsman et al. 2022). The arm's share was set before the run: one chosen here would be chosen on the test."
)


def forgetting_sections(arms: Mapping[str, Sequence[AlphaScore]]) -> list[Section]:
    """One section with a table, and a curve of each adapted CLIP; none without any."""
    if not arms:
        return []
    return [
        Section(
            "What adapting CLIP gave and took",
            (TEXT,),
            (_table(arms),),
            tuple(_figure(arm, word, arms[arm]) for arm, word in file_stems(arms).items()),
        )
    ]


def _figure(arm: str, word: str, rows: Sequence[AlphaScore]) -> Figure:
    curves = {
        population: [(row.alpha, row.value, row.low, row.high) for row in rows if row.population == population]
        for population in dict.fromkeys(row.population for row in rows)
    }
    return Figure(f"forgetting-{word}", plot_sweep(curves, LABEL, "accuracy"), f"{arm}: accuracy over the {LABEL}.")


def _table(arms: Mapping[str, Sequence[AlphaScore]]) -> Table:
    lines = tuple(
        (
            *(arm, row.population, f"{row.alpha:g}"),
            " ".join(filter(None, format_number(row.value, row.low, row.high))),
            *(str(row.n_images), str(row.n_patients)),
        )
        for arm, rows in arms.items()
        for row in rows
    )
    header = ("Arm", "Population", "Share tuned", "Accuracy", "Images", "Patients")
    return Table("Before, between and after", "Brackets hold 95 % intervals by patients.", header, lines)
