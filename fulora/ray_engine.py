"""Fan-outs on a Ray cluster (extra `ray`): shards, and a study's arms, as tasks that ask for CPUs and GPUs.

Only configs, ids and paths travel; every node reads and writes the same file system. A task whose node dies is run
again on another one: what it had finished is there, and what it had half done is removed by the next.
"""

import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

from fulora.engine import ProcessCache
from fulora.environment import stop_signals

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3
"""How often a task is run again whose worker or node died."""

ANSWERS_S = 5
"""Seconds that a cluster has to answer. Ray itself would try for twelve minutes."""

POLL_S = 0.5
"""Seconds after which a SIGTERM that came during a call of Ray is heard at the latest."""


class RayMissingError(ValueError):
    """Ray is not installed."""


class RayTaskLostError(ValueError):
    """A task that Ray could not bring to its end."""


class Ray:
    """Every item is a task. Joins the cluster that `RAY_ADDRESS` names, or one on this machine; else starts one here.

    Args:
        cpus, gpus: that each task asks for.

    Raises:
        RayMissingError: Ray is not installed.
        ConnectionError: no cluster at `RAY_ADDRESS`.
    """

    is_local = False

    def __init__(self, *, cpus: float = 1, gpus: float = 0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # what it says of dead workers is said at once, not at the end
        try:
            import ray
        except ImportError as error:
            raise RayMissingError("--engine ray needs Ray: pip install 'fulora[ray]'") from error
        if not ray.is_initialized():
            _answering(os.environ.get("RAY_ADDRESS", ""))
            with _sigterm_after():
                ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        self.cpus, self.gpus = cpus, gpus
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_task(ProcessCache()))

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in the order of the items, as `map_with_cache`."""
        return self.map_with_cache(lambda cache, item: function(item), items)

    def map_with_cache(self, function: Callable[[ProcessCache, T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of the worker's cache and each item, in the order of the items. Its errors are raised unchanged.

        After an error, tasks that were handed out run on until this process ends: `ray.cancel` of a task that ends at
        that moment aborts the whole process (Ray 2.60).

        Raises:
            ValueError: no node has what a task asks for.
            RayTaskLostError: the worker or node of a task died again and again.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        self._check()
        with _sigterm_after():
            waiting = [self._task.remote(os.getcwd(), function, item) for item in items]
        try:
            for result in waiting:
                with redirect_stdout(sys.stderr):  # for what Ray prints of workers that died
                    while not _ready(result):
                        pass
                    with _sigterm_after():
                        found = ray.get(result)
                yield found
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise RayTaskLostError(
                f"a task was lost on the Ray cluster, and again in {RETRIES} more tries: {str(error).splitlines()[0]} "
                "What is finished is kept, and the same command continues"
            ) from error

    def _check(self) -> None:
        """A task that no node can run would wait for ever."""
        import ray

        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= count for name, count in wanted.items()) for node in nodes):
            there = "; ".join(sorted({f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes}))
            raise ValueError(
                f"a task asks for {self.cpus:g} CPUs and {self.gpus:g} GPUs, and no node of the Ray cluster has them "
                f"({there}); lower --cpus or --gpus"
            )


def _ready(result: Any) -> bool:
    """Whether a task has ended, or does so in a moment."""
    import ray

    with _sigterm_after():
        return bool(ray.wait([result], timeout=POLL_S)[0])


@contextmanager
def _sigterm_after() -> Iterator[None]:
    """SIGTERM and SIGHUP come after what is inside, and their handlers stay.

    Ray puts its own handler in the place of the command line's, and what a handler raises inside a call of Ray ends the
    process with exit code 1 or a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: came.append(number)) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _answering(address: str) -> None:
    """Whether somebody listens there.

    Raises:
        ConnectionError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=ANSWERS_S).close()
        except OSError as error:
            raise ConnectionError(
                f"RAY_ADDRESS={address}: no Ray cluster answers there ({error}); without RAY_ADDRESS, one is started "
                "on this machine"
            ) from error


def _task(cache: ProcessCache) -> Callable[[str, Callable[[ProcessCache, T], R], T], R]:
    """A task with its cache. Ray sends it to each worker process once, where the cache stays from task to task."""

    def run(folder: str, function: Callable[[ProcessCache, T], R], item: T) -> R:
        _enter(folder)
        return function(cache, item)

    return run


def _enter(folder: str) -> None:
    """Go to the folder that the study was started in, for its paths may be relative."""
    try:
        os.chdir(folder)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder} is not there on {platform.node()}: all nodes of the Ray cluster need the same file system"
        ) from None
