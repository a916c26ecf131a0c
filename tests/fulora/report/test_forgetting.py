"""The section on adapted CLIPs."""

from fulora.data.results import AlphaScore
from fulora.report.forgetting import forgetting_sections


def row(alpha: float, population: str, value: float) -> AlphaScore:
    return AlphaScore(
        alpha=alpha, population=population, value=value, low=value - 0.1, high=value + 0.1, n_images=9, n_patients=3
    )


def test_a_curve_and_a_table_an_arm() -> None:
    rows = [row(alpha, population, 0.5 + alpha / 4) for alpha in (0.0, 1.0) for population in ("own", "unseen")]
    (section,) = forgetting_sections({"CLIP (CE)": rows})
    assert [figure.name for figure in section.figures] == ["forgetting-clip-ce"]
    assert section.tables[0].title == "Before, between and after"
    assert section.tables[0].rows[0] == ("CLIP (CE)", "own", "0", "0.500 [0.400, 0.600]", "9", "3")
    assert len(section.tables[0].rows) == 4


def test_without_adapted_clips_there_is_no_section() -> None:
    assert forgetting_sections({}) == []
