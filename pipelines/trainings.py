"""One training of an arm, and how it is called in a study's steps."""

from typing import NamedTuple


class Training(NamedTuple):
    """One training of an arm.

    Attributes:
        fold: which one is left out, and of how many; None where there are no folds.
    """

    arm: str
    seed: int
    fold: tuple[int, int] | None = None

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}" + ("" if self.fold is None else f", fold {self.fold[0]}")
