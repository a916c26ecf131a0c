"""Engine on a Ray cluster (extra `ray`): shards, and a study's arms, are tasks that request CPUs and GPUs.

Only configs, ids and paths are sent; every node reads and writes the same file system. A task whose node dies is run
again on another node: what was finished is kept, and what was unfinished is removed and made again.
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
from fulora.environment import stop_signals, waiting_threads

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3
"""How often a task is run again whose worker or node died."""

CONNECT_S = 5
"""Seconds to wait for the connection to a cluster. Ray itself would try for twelve minutes."""

POLL_S = 0.5
"""Seconds by which the handling of a SIGTERM during a call of Ray is delayed at most."""


class RayMissingError(ValueError):
    """Ray is not installed."""


class RayTaskLostError(ValueError):
    """A task whose worker or node died in every try."""


class Ray:
    """Run every item as a task, on the cluster at `RAY_ADDRESS`, or one on this machine, which is started if needed.

    Workers wait for OpenMP's threads as this process does (`fulora.environment.configure_openmp`), and Ray gives each
    as many of them as its task has CPUs.

    Args:
        cpus, gpus: requested by each task.

    Raises:
        RayMissingError: if Ray is not installed.
        ConnectionError: if no cluster answers at `RAY_ADDRESS`.
    """

    is_local = False

    def __init__(self, *, cpus: float = 1, gpus: float = 0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry
        os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # messages about dead workers come at once, not at the end
        try:
            import ray
        except ImportError as error:
            raise RayMissingError("--engine ray needs Ray: pip install 'fulora[ray]'") from error
        if not ray.is_initialized():
            _refuse_unreachable(os.environ.get("RAY_ADDRESS", ""))
            workers = {"env_vars": waiting_threads()}
            with _sigterm_after():
                ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR", runtime_env=workers)
        self.cpus, self.gpus = cpus, gpus
        self._task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_task(ProcessCache()))

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in the order of the items, as `map_with_cache`."""
        return self.map_with_cache(lambda cache, item: function(item), items)

    def map_with_cache(self, function: Callable[[ProcessCache, T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of the worker's cache and each item, in the order of the items. Its errors are raised unchanged.

        After an error, submitted tasks run on until this process ends: `ray.cancel` of a task that ends at that moment
        aborts the whole process (Ray 2.60).

        Raises:
            ValueError: if no node has what a task requests.
            RayTaskLostError: if the worker or node of a task died in every try.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        self._check_resources()
        with _sigterm_after():
            waiting = [self._task.remote(os.getcwd(), function, item) for item in items]
        try:
            for result in waiting:
                with redirect_stdout(sys.stderr):  # for Ray's messages about workers that died
                    while not _is_finished(result):
                        pass
                    with _sigterm_after():
                        value = ray.get(result)
                yield value
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise RayTaskLostError(
                f"a task was lost on the Ray cluster, and again in {RETRIES} more tries: {str(error).splitlines()[0]} "
                "What is finished is kept, and the same command continues"
            ) from error

    def _check_resources(self) -> None:
        import ray

        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= count for name, count in wanted.items()) for node in nodes):
            resources = "; ".join(
                sorted({f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes})
            )
            raise ValueError(
                f"a task asks for {self.cpus:g} CPUs and {self.gpus:g} GPUs, and no node of the Ray cluster has them "
                f"({resources}); lower --cpus or --gpus"
            )


def _is_finished(result: Any) -> bool:
    import ray

    with _sigterm_after():
        return bool(ray.wait([result], timeout=POLL_S)[0])


@contextmanager
def _sigterm_after() -> Iterator[None]:
    """Handle SIGTERM and SIGHUP after the block, by the handlers that were set before it.

    Ray replaces the command line's handler by its own, and an exception that a handler raises inside a call of Ray ends
    the process with exit code 1 or a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def _refuse_unreachable(address: str) -> None:
    """Check the connection to a cluster's address, if it is a host and a port.

    Raises:
        ConnectionError: if nothing answers there.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
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
    """Enter the folder in which the study was started, as its paths may be relative."""
    try:
        os.chdir(folder)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder}: not found on {platform.node()}: all nodes of the Ray cluster need the same file system"
        ) from None
