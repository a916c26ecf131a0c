"""The section on adapted CLIPs: accuracy of weights between the original and the tuned ones."""

from collections.abc import Mapping, Sequence

from fulora.data.results import AlphaScore
from fulora.report.curves import describe_curves, plot_sweep
from fulora.report.number_format import format_number
from fulora.report.page import Figure, Section, file_stems
from fulora.report.parts import ForgettingPart
from fulora.report.tables import Table

LABEL = "share of the tuned weights"
TEXT = (
    "Accuracy by prompts of weights between the CLIP as it was (0) and as it was tuned (1), first seed (WiSE-FT, "
    "Wortsman et al. 2022). The arm's share was set before the run: one chosen here would be chosen on the test."
)


def forgetting_section(part: ForgettingPart) -> Section:
    """Return a table, and a curve of each adapted CLIP."""
    arms = {arm: item.rows() for arm, item in part.arms.items()}
    figures = tuple(_figure(arm, stem, arms[arm]) for arm, stem in file_stems(arms).items())
    numbers = Section("Accuracy at each share of the tuned weights", (), (_table(arms),), folded=True)
    return Section("What adapting CLIP gained and lost", (TEXT,), (), figures, (numbers,))


def _figure(arm: str, stem: str, rows: Sequence[AlphaScore]) -> Figure:
    curves = {
        population: [(row.alpha, row.value, row.low, row.high) for row in rows if row.population == population]
        for population in dict.fromkeys(row.population for row in rows)
    }
    caption = f"{arm}: accuracy over the {LABEL}."
    alt = f"{caption} {describe_curves(curves)}"
    return Figure(f"forgetting-{stem}", plot_sweep(curves, LABEL, "accuracy"), caption, alt)


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
    title = "Accuracy between the original and the tuned weights"
    return Table(title, "Brackets hold 95 % intervals by patients.", header, lines)
