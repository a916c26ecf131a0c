"""The checks of shapes that run in every test: functions, methods, properties and dataclasses are all checked."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from fulora.data.pictures.pixels import is_blank
from fulora.diffusion.sets.blank_images import find_fault
from fulora.metrics.decision_rules import Rule
from fulora.metrics.weighted_scores import ClassTallies

FLAT, CUBE = np.zeros((2, 3), np.uint8), np.zeros((2, 2, 2))
RULE = Rule("own decision", np.zeros((2, 3), int), (0, 1))


@pytest.mark.parametrize(
    "call",
    [
        lambda: is_blank(CUBE),
        lambda: find_fault(np.zeros(3, np.uint8), finite=True),
        lambda: RULE.of(np.zeros(3)),
        lambda: Rule("own decision", CUBE, (0, 1)),
        lambda: dataclasses.replace(ClassTallies(*[FLAT / 1] * 3), true=CUBE).recall,
    ],
    ids=["function", "function of diffusion", "method", "dataclass", "field"],
)
def test_wrong_shapes_are_refused(call: Callable[[], object]) -> None:
    with pytest.raises(TypeCheckError):
        call()


def test_right_shapes_pass() -> None:
    assert is_blank(FLAT)
    assert RULE.of(np.array([True, False, True])).decided.shape == (2, 2)
