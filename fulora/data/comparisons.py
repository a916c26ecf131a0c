"""Which arms of a study are compared: one vocabulary for classifiers and segmentation networks."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Self

from pydantic import model_validator

from fulora.config import Config

Pair = tuple[str, str]
"""An arm and its baseline; a comparison is the arm minus the baseline."""


UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories not allowed in names: control characters, line breaks, surrogates."""


class ComparisonsConfig(Config):
    """Comparisons of arms. What was not declared before the run is exploratory.

    Attributes:
        declared: the one comparison that the study is about, declared before the run; None declares none.
        baseline: what every other arm is compared with; None is the baseline of the declared comparison, "" is none.
        further: more comparisons.
    """

    declared: Pair | None = None
    baseline: str | None = None
    further: tuple[Pair, ...] = ()

    @model_validator(mode="after")
    def _of_two_arms(self) -> Self:
        alone = [pair for pair in (self.declared, *self.further) if pair is not None and pair[0] == pair[1]]
        if alone:
            raise ValueError(f"{alone[0][0]!r} is compared with itself; a comparison is of an arm and another one")
        return self

    def common(self) -> str:
        """Return the baseline of every other arm; "" if there is none."""
        if self.baseline is None:
            return "" if self.declared is None else self.declared[1]
        return self.baseline

    def pairs(self) -> list[Pair]:
        """Return the comparisons that are named one by one, the declared one first."""
        return list(dict.fromkeys([*([self.declared] if self.declared else []), *self.further]))

    def check(self, arms: Sequence[str], baselines: Sequence[str] | None = None) -> None:
        """Refuse names that no arm has.

        Args:
            baselines: names allowed for the common baseline; by default those of the arms.

        Raises:
            ValueError: if a comparison names an unknown arm.
        """
        for name in (name for pair in self.pairs() for name in pair):
            if name not in arms:
                raise ValueError(f"score.comparisons: no arm {name!r}; there are {', '.join(arms)}")
        known = arms if baselines is None else baselines
        if self.baseline and self.baseline not in known:
            raise ValueError(f"score.comparisons.baseline: no arm {self.baseline!r}; there are {', '.join(known)}")


def check_arm_names(names: Iterable[str]) -> None:
    """Raise ValueError for a name that is empty, or has a control character such as a line break."""
    for name in names:
        if not name.strip() or any(unicodedata.category(sign) in UNWRITABLE for sign in name):
            raise ValueError(f"arms: {name!r}: a name has a letter or sign, and no line breaks or control characters")
