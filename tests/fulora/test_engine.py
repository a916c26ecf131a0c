"""Threads: in order, all of it, never much at once, and a failure is the caller's."""

import threading
import time
from collections.abc import Iterator

import pytest

from fulora.engine import InProcess, ProcessCache, threaded


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number < 3 else 0)
        return number * number

    assert list(threaded(slow_at_first, range(50), workers=4)) == [n * n for n in range(50)]
    assert list(threaded(slow_at_first, [], workers=4)) == []


def test_items_are_taken_as_they_are_needed() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    results = threaded(lambda number: number, items(), workers=2)
    for _ in range(5):
        next(results)
    assert taken <= 5 + 4 * 2


def test_several_threads_work() -> None:
    both = threading.Barrier(2, timeout=5)
    assert sorted(threaded(lambda number: (both.wait(), number)[1], range(2), workers=2)) == [0, 1]


def test_a_failure_reaches_the_caller_and_stops_the_rest() -> None:
    done = []

    def fails_at_three(number: int) -> int:
        if number == 3:
            raise ValueError("number 3 is broken")
        done.append(number)
        return number

    results = threaded(fails_at_three, range(1000), workers=2)
    with pytest.raises(ValueError, match="number 3 is broken"):
        list(results)
    assert len(done) < 30


def test_a_cache_keeps_the_last_value_alone() -> None:
    cache, loaded = ProcessCache(), list[str]()

    def get(key: str) -> str:
        return cache.get(key, lambda: loaded.append(key) or key.upper())  # type: ignore[func-returns-value]

    assert [get("a"), get("a"), get("b"), get("b"), get("a")] == ["A", "A", "B", "B", "A"]
    assert loaded == ["a", "b", "a"]
    cache.put("c", "put")
    assert (get("c"), loaded) == ("put", ["a", "b", "a"])


def test_all_items_and_calls_of_an_engine_share_its_cache() -> None:
    engine = InProcess()
    caches = [*engine.map_with_cache(lambda cache, item: cache, [1, 2]), *engine.map_with_cache(lambda c, _: c, [3])]
    assert len(set(map(id, caches))) == 1
    assert caches[0] is not next(InProcess().map_with_cache(lambda cache, item: cache, [1]))


def test_in_this_process_each_item_is_done_when_its_result_is_taken() -> None:
    done: list[int] = []
    results = InProcess().map(lambda number: done.append(number) or number * 2, [1, 2, 3])  # type: ignore[func-returns-value]
    assert (InProcess().is_local, done) == (True, [])
    assert (next(results), done) == (2, [1])
    assert (list(results), done) == ([4, 6], [1, 2, 3])
