"""Words that every table uses: planes, splits, origins."""

from typing import Literal, get_args

from fulora.data.label_set import label_set

Plane = str
"""The name of a class of a label set (`fulora.data.label_set`); free text that is checked against the set's own."""
Split = Literal["train", "validation", "test"]
Origin = Literal["real", "synthetic"]

PLANES: tuple[Plane, ...] = label_set("fetal_planes").names

SPLITS: tuple[Split, ...] = get_args(Split)

ALL_PLANES: tuple[Plane, ...] = (*PLANES, "intrapartum")
