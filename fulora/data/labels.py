"""The planes, and the orders and names every table uses."""

from typing import Literal, get_args

Plane = Literal["abdomen", "brain", "femur", "thorax", "other", "intrapartum"]
Split = Literal["train", "validation", "test"]
Origin = Literal["real", "synthetic"]

PLANES: tuple[Plane, ...] = ("abdomen", "brain", "femur", "thorax", "other")
"""The five planes of the classification task, in the order of every probability vector and table."""

SPLITS: tuple[Split, ...] = get_args(Split)

Structure = Literal["head", "symphysis", "all"]

STRUCTURES: dict[Plane, dict[Structure, tuple[int, ...]]] = {
    "brain": {"head": (1,)},
    "intrapartum": {"symphysis": (1,), "head": (2,), "all": (1, 2)},
}
"""What the class numbers of a mask mean, by plane; planes that are not named have no masks."""
