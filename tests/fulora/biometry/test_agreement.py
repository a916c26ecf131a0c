"""Agreement by hand and against scipy, gestational age against published tables, rows of measurements, warnings."""

import csv
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import stats

from fulora.biometry import measurement_rows
from fulora.biometry.agreement import agreement
from fulora.biometry.angle import measure_angle
from fulora.biometry.ellipse import Ellipse, ellipse_mask, measure_head
from fulora.biometry.gestational_age import gestational_age_weeks
from fulora.biometry.quality import DURING_LABOUR, angle_warnings, head_warnings

HEAD = ellipse_mask(Ellipse(200.0, 150.0, 130.0, 100.0, 20.0), (300, 400))
EMPTY = np.zeros((300, 400), dtype=bool)


def test_agreement_by_hand() -> None:
    found = agreement([(101.0, 100.0), (None, 100.0), (198.0, 200.0), (303.0, 300.0)])
    assert found is not None
    assert (found.n, found.failures) == (4, 1)
    assert found.bias == pytest.approx(2 / 3)
    assert found.adf == pytest.approx(2)
    assert found.relative_adf == pytest.approx(0.01)
    summary = stats.describe([1.0, -2.0, 3.0])
    assert found.sd == pytest.approx(math.sqrt(summary.variance))
    assert (found.low, found.high) == pytest.approx((found.bias - 1.96 * found.sd, found.bias + 1.96 * found.sd))
    assert found.adf_sd == pytest.approx(1)


@pytest.mark.parametrize(
    "pairs", [[(1.0, 1.0), (math.nan, 2.0)], [(1.0, 0.0), (2.0, 2.0)]], ids=["not finite", "reference of 0"]
)
def test_invalid_pairs_are_refused(pairs: list[tuple[float | None, float]]) -> None:
    with pytest.raises(ValueError, match="finite values and references above 0"):
        agreement(pairs)


def test_one_measured_pair_has_no_agreement() -> None:
    assert agreement([(1.0, 1.0), (None, 2.0)]) is None


@pytest.mark.parametrize(("hc_mm", "weeks"), [(80.0, 13.4), (175.0, 20.0), (300.0, 33.3), (360.0, 42.4)])
def test_gestational_age_is_that_of_hadlocks_table(hc_mm: float, weeks: float) -> None:
    assert gestational_age_weeks(hc_mm) == pytest.approx(weeks, abs=0.05)


def test_the_two_formulas_agree_within_their_spread() -> None:
    for hc_mm in range(100, 341, 20):
        assert gestational_age_weeks(float(hc_mm), "intergrowth2016") == pytest.approx(
            gestational_age_weeks(float(hc_mm)), abs=1.5
        )


def test_gestational_age_outside_the_formula_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # else the type checks of the test run speak first
    with pytest.raises(ValueError, match=r"HC is 60\.0 mm; the formulas hold for 80 to 360 mm"):
        gestational_age_weeks(60.0)
    with pytest.raises(ValueError, match="formula is 'mine'; allowed are hadlock1984, intergrowth2016"):
        gestational_age_weeks(100.0, "mine")  # type: ignore[arg-type]


def test_a_head_row_holds_the_measurement() -> None:
    row, head = measurement_rows.head_row("a.png", HEAD, 0.2), measure_head(HEAD, 0.2)
    assert (row.hc_mm, row.bpd_mm, row.ofd_mm, row.failure) == (head.hc_mm, head.bpd_mm, head.ofd_mm, "")
    assert row.ga_weeks == gestational_age_weeks(head.hc_mm)
    assert row.warnings == ""
    assert "no_gestational_age" in measurement_rows.head_row("a.png", HEAD, 0.01).warnings


def test_a_row_names_its_failure() -> None:
    row = measurement_rows.head_row("a.png", EMPTY, 0.2)
    assert (row.hc_mm, row.failure, row.detail) == (None, "empty_mask", "no pixel of the 300 x 400 mask is set")
    angle = measurement_rows.angle_row("a.png", HEAD.astype(np.uint8))
    assert (angle.aop_deg, angle.failure) == (None, "empty_mask")
    assert angle.detail.startswith("head (label 2): no pixel")


def test_an_angle_row_holds_the_measurement() -> None:
    labels = 2 * ellipse_mask(Ellipse(140.0, 160.0, 70.0, 55.0, 120.0), (256, 256)).astype(np.uint8)
    labels[ellipse_mask(Ellipse(75.0, 80.0, 24.0, 11.0, 35.0), (256, 256))] = 1
    row = measurement_rows.angle_row("a.png", labels)
    assert row.aop_deg == measure_angle(labels).aop_deg
    assert row.symphysis_axis_ratio == pytest.approx(24 / 11, rel=0.05)
    assert row.symphysis_length_px == pytest.approx(48, abs=1)
    assert (row.warnings, row.failure) == ("", "")
    swapped = np.choose(labels, [0, 2, 1]).astype(np.uint8)
    assert measurement_rows.angle_row("a.png", swapped, symphysis=2, head=1) == row


def test_a_submission_line_of_hc18() -> None:
    line = measurement_rows.hc18_row(measurement_rows.head_row("000_HC.png", HEAD, 0.2))
    assert tuple(line) == measurement_rows.HC18_COLUMNS
    assert list(line.values())[1:] == pytest.approx([40, 30, 26, 20, math.radians(20)], abs=0.05)
    with pytest.raises(ValueError, match=r"a\.png: empty_mask; a submission to HC18 needs every head"):
        measurement_rows.hc18_row(measurement_rows.head_row("a.png", EMPTY, 0.2))


def test_warnings_name_what_is_unusual() -> None:
    long = ellipse_mask(Ellipse(200.0, 150.0, 130.0, 60.0, 20.0), (300, 400))
    square, cut = EMPTY.copy(), ellipse_mask(Ellipse(200.0, 20.0, 130.0, 100.0, 0.0), (300, 400))
    square[50:250, 80:340] = True
    square[:9, :9] = True
    found = [head_warnings(measure_head(mask, 0.2)) for mask in (HEAD, long, square, cut)]
    assert found == [(), ("axis_ratio",), ("not_an_ellipse", "several_components"), ("cut_by_border",)]
    labels = 2 * ellipse_mask(Ellipse(140.0, 160.0, 70.0, 55.0, 120.0), (256, 256)).astype(np.uint8)
    labels[ellipse_mask(Ellipse(75.0, 80.0, 24.0, 19.0, 35.0), (256, 256))] = 1
    labels[250:253, 250:253] = 1
    assert angle_warnings(measure_angle(labels)) == ("several_components", "symphysis_nearly_round")


@pytest.mark.real_data
def test_reference_masks_give_no_warnings(data_root: Path) -> None:
    with (data_root / "psfhs_metric_fixture" / "reference_per_image.csv").open(encoding="utf-8") as file:
        names = [row["name"] for row in csv.DictReader(file)][::10]
    for name in names:
        labels = cv2.imread(str(data_root / "psfhs_metric_fixture" / "gt" / name), cv2.IMREAD_GRAYSCALE)
        assert not set(angle_warnings(measure_angle(labels))) - {"several_components"}, name
        assert not set(head_warnings(measure_angle(labels).head, DURING_LABOUR)) - {"several_components"}, name
