"""Engines: stages and shards run in this process (or on Ray: `ray_engine`), work on pictures in threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from fulora.environment import cores

T = TypeVar("T")
R = TypeVar("R")


class ProcessCache:
    """The last value that a process loaded, such as weights. An engine has one in each of its processes."""

    def __init__(self) -> None:
        self._entry: tuple[str, Any] | None = None

    def put(self, key: str, value: object) -> None:
        """Keep a value instead of the one before."""
        self._entry = key, value

    def get(self, key: str, load: Callable[[], R]) -> R:
        """Return the value of a key, loaded unless it is the last one; the one before is released first."""
        if self._entry is None or self._entry[0] != key:
            self._entry = None
            self._entry = key, load()
        value: R = self._entry[1]
        return value


class Engine(Protocol):
    """Runs a function on many items. Only ids, configs and paths are sent to workers, never images."""

    @property
    def is_local(self) -> bool:
        """Whether items run in this process."""

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield `function` of each item, in the order of the items."""

    def map_with_cache(self, function: Callable[[ProcessCache, T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of the cache of the process that it runs in, and of each item."""


class InProcess:
    """Runs one item after the other, in this process."""

    is_local = True

    def __init__(self) -> None:
        self._cache = ProcessCache()

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield `function` of each item, in the order of the items."""
        return map(function, items)

    def map_with_cache(self, function: Callable[[ProcessCache, T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of this engine's cache and each item."""
        return map(partial(function, self._cache), items)


def threaded(
    function: Callable[[T], R], items: Iterable[T], *, workers: int | None = None, ahead: int = 0
) -> Iterator[R]:
    """Yield `function` of each item, in the order of the items, computed in threads on all cores.

    Decoding, resizing, hashing and compressing pictures release Python's global lock, and threads need no pickling. At
    most four items per worker, or `ahead`, are running or waiting, so memory does not grow with their number.

    Args:
        workers: number of threads; by default one for each core that this process may use.
        ahead: items that run or wait, if more than four per worker: those that a consumer takes at once.
    """
    count = workers or cores()
    source = iter(items)
    with ThreadPoolExecutor(count) as pool:
        first = islice(source, max(4 * count, ahead))
        waiting: deque[Future[R]] = deque(pool.submit(function, item) for item in first)
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(source, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
