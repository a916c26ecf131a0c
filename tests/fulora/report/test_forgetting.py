"""The section on adapted CLIPs."""

from pathlib import Path

from report_pages import page_of_parts, stored

from fulora.data.results import AlphaScore, Forgetting
from fulora.report.parts import ForgettingPart


def row(alpha: float, population: str, value: float) -> AlphaScore:
    return AlphaScore(
        alpha=alpha, population=population, value=value, low=value - 0.1, high=value + 0.1, n_images=9, n_patients=3
    )


def test_a_curve_and_a_table_an_arm(tmp_path: Path) -> None:
    rows = [row(alpha, population, 0.5 + alpha / 4) for alpha in (0.0, 1.0) for population in ("own", "unseen")]
    page = page_of_parts(tmp_path, ForgettingPart({"CLIP (CE)": stored(tmp_path / "rows", Forgetting, rows)}))
    assert page.figures == {"forgetting-clip-ce": "CLIP (CE): accuracy over the share of the tuned weights."}
    assert page.tables["Accuracy between the original and the tuned weights"] == [
        ["Arm", "Population", "Share tuned", "Accuracy", "Images", "Patients"],
        ["CLIP (CE)", "own", "0", "0.500 [0.400, 0.600]", "9", "3"],
        ["CLIP (CE)", "unseen", "0", "0.500 [0.400, 0.600]", "9", "3"],
        ["CLIP (CE)", "own", "1", "0.750 [0.650, 0.850]", "9", "3"],
        ["CLIP (CE)", "unseen", "1", "0.750 [0.650, 0.850]", "9", "3"],
    ]
