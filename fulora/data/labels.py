"""Words that every table uses: planes, splits, origins."""

from typing import Literal, get_args

Plane = str
"""The name of a class of a label set (`fulora.data.label_set`); free text that is checked against the set's own."""
Split = Literal["train", "validation", "test"]
Origin = Literal["real", "synthetic"]

SPLITS: tuple[Split, ...] = get_args(Split)
