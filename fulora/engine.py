"""Engines: stages and shards run in this process (or on Ray: `ray_engine`), work on pictures in threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol, TypeVar

from fulora.environment import cores

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Runs a function on many items. Only ids, configs and paths are sent to workers, never images."""

    @property
    def is_local(self) -> bool:
        """Whether items run in this process."""
        ...

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield `function` of each item, in the order of the items."""
        ...


class InProcess:
    """Runs one item after the other, in this process."""

    is_local = True

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield `function` of each item, in the order of the items."""
        return map(function, items)


def threaded(function: Callable[[T], R], items: Iterable[T], *, workers: int | None = None) -> Iterator[R]:
    """Yield `function` of each item, in the order of the items, computed in threads on all cores.

    Decoding, resizing, hashing and compressing pictures release Python's global lock, and threads need no pickling. At
    most four items per worker are running or waiting, so memory does not grow with their number.

    Args:
        workers: number of threads; by default one for each core that this process may use.
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
