"""The key of one training of an arm among the steps of a study."""

from typing import NamedTuple


class Training(NamedTuple):
    """One training of an arm.

    Attributes:
        fold: index of the fold that is left out, and the number of folds; None without folds.
    """

    arm: str
    seed: int
    fold: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}" + ("" if self.fold is None else f", fold {self.fold[0]}")
