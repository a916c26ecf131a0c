"""Where a fan-out runs: in this process. (A Ray engine will have the same one method.)"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Where a fan-out runs. Only ids, configs and paths travel, never images."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in the order of the items."""
        ...


class InProcess:
    """One item after the other, in this process."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in the order of the items."""
        return map(function, items)
