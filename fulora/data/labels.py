"""Values of columns that all tables share: planes, splits, origins."""

from typing import Literal, get_args

Plane = str
"""Name of a class; checked against the label set (`fulora.data.label_set`) of an image set."""
Split = Literal["train", "validation", "test"]
Origin = Literal["real", "synthetic"]

SPLITS: tuple[Split, ...] = get_args(Split)

UNLABELLED: Plane = "unlabelled"
"""In the place of a class: an image of the test split whose class is not known. It is predicted on, and not scored."""
