"""Where work runs: stages and shards in this process (or on Ray: `ray_engine`), pictures in threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar

from fulora.environment import cores

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Where a fan-out runs. Only ids, configs and paths travel, never images."""

    @property
    def is_local(self) -> bool:
        """Whether it runs in this process."""
        ...

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in the order of the items."""
        ...


class InProcess:
    """One item after the other, in this process."""

    is_local = True

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in the order of the items."""
        return map(function, items)


def threaded(function: Callable[[T], R], items: Iterable[T], *, workers: int | None = None) -> Iterator[R]:
    """`function` of each item, in the order of the items, on all cores.

    Threads, not processes: decoding, resizing, hashing and compressing pictures all let go of Python's lock, and
    nothing has to be pickled. Never more than four items a worker are under way or waiting, so memory does not grow
    with their number.

    Args:
        workers: threads; by default one a core this process may use.
    """
    count = workers or cores()
    source = iter(items)
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[R]] = deque(pool.submit(function, item) for item in islice(source, 4 * count))
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(source, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
