"""The names of the protocols that score masks, and the quantity that each measures."""

from dataclasses import dataclass
from typing import Literal

Protocol = Literal["psfhs", "hc18", "plain"]


@dataclass(frozen=True)
class MeasuredQuantity:
    """The quantity that a protocol measures on each mask, and its unit."""

    name: str
    unit: str


MEASURED: dict[Protocol, MeasuredQuantity] = {
    "psfhs": MeasuredQuantity("Angle of progression", "deg"),
    "hc18": MeasuredQuantity("Head circumference", "mm"),
}
