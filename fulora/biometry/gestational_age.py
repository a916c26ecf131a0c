"""Gestational age from head circumference by published formulas. For research only, never for the care of a patient."""

import math
from typing import Literal, get_args

Formula = Literal["hadlock1984", "intergrowth2016"]

RANGE_MM = (80.0, 360.0)
"""Head circumferences that Hadlock's table covers, 13.4 to 42.4 weeks; INTERGROWTH's formula is used in them too."""


def gestational_age_weeks(hc_mm: float, formula: Formula = "hadlock1984") -> float:
    """Menstrual age in weeks of a fetus with this head circumference, the mean of the population behind the formula.

    hadlock1984: 8.96 + 0.540 HC + 0.0003 HC^3, HC in cm (Hadlock et al., Radiology 1984; 152: 497-501). Two standard
    deviations are 1.2 weeks at 12 to 18 weeks and 3 at 36 to 42.
    intergrowth2016: exp(0.05970 ln(HC)^2 + 6.409e-9 HC^3 + 3.3258) days, HC in mm (Papageorghiou et al., Ultrasound
    Obstet Gynecol 2016; 48: 719-726).

    Raises:
        ValueError: another formula, or a head circumference outside 80 to 360 mm, where neither was fitted.
    """
    if formula not in get_args(Formula):
        raise ValueError(f"formula is {formula!r}; allowed are {', '.join(get_args(Formula))}")
    if not RANGE_MM[0] <= hc_mm <= RANGE_MM[1]:
        raise ValueError(f"HC is {hc_mm:.1f} mm; the formulas hold for {RANGE_MM[0]:.0f} to {RANGE_MM[1]:.0f} mm")
    if formula == "hadlock1984":
        return 8.96 + 0.540 * (hc_mm / 10) + 0.0003 * (hc_mm / 10) ** 3
    return math.exp(0.05970 * math.log(hc_mm) ** 2 + 6.409e-9 * hc_mm**3 + 3.3258) / 7
