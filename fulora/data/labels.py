"""Words that every table uses: planes, splits, origins."""

from typing import Literal, get_args

from fulora.data.label_set import label_set

Plane = str
"""The name of a class of a label set (`fulora.data.label_set`); free text that is checked against the set's own."""
Split = Literal["train", "validation", "test"]
Origin = Literal["real", "synthetic"]

PLANES: tuple[Plane, ...] = label_set("fetal_planes").names

SPLITS: tuple[Split, ...] = get_args(Split)

Structure = str

STRUCTURES: dict[Plane, dict[Structure, tuple[int, ...]]] = {
    "brain": {"head": (1,)},
    "intrapartum": {"symphysis": (1,), "head": (2,), "all": (1, 2)},
}
"""What the class numbers of a mask mean, by plane; planes that are not named have no masks."""

ALL_PLANES: tuple[Plane, ...] = (*PLANES, "intrapartum")
