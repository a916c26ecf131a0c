"""Fan-outs on a Ray cluster (extra `ray`): shards, and a study's arms, as tasks that ask for CPUs and GPUs.

Only configs, ids and paths travel; every node reads and writes the same file system. A task whose node dies is run
again on another one: what it had finished is there, and what it had half done is removed by the next.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

RETRIES = 3
"""How often a task is run again whose worker or node died."""


class RayMissingError(ValueError):
    """Ray is not installed."""


class Ray:
    """Every item is a task. Joins the cluster that `RAY_ADDRESS` names, or one on this machine; else starts one here.

    Args:
        cpus, gpus: that each task asks for.

    Raises:
        RayMissingError: Ray is not installed.
        ConnectionError: no cluster at `RAY_ADDRESS`.
    """

    here = False

    def __init__(self, *, cpus: float = 1, gpus: float = 0) -> None:
        try:
            import ray
        except ImportError as error:
            raise RayMissingError("--engine ray needs Ray: pip install 'fulora[ray]'") from error
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
        if not ray.is_initialized():
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        self.cpus, self.gpus = cpus, gpus

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """`function` of each item, in the order of the items. Its errors are raised as they were.

        Raises:
            ValueError: no node has what a task asks for.
        """
        import ray
        from ray.exceptions import RayTaskError

        self._check()
        task = ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES)(_run)
        waiting = [task.remote(os.getcwd(), function, item) for item in items]
        try:
            for result in waiting:
                yield ray.get(result)
        except RayTaskError as error:
            raise error.cause from None
        finally:
            for result in waiting:
                ray.cancel(result)

    def _check(self) -> None:
        """A task that no node can run would wait for ever."""
        import ray

        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= count for name, count in wanted.items()) for node in nodes):
            there = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in nodes)
            raise ValueError(
                f"a task asks for {self.cpus:g} CPUs and {self.gpus:g} GPUs, and no node of the Ray cluster has them "
                f"({there}); lower --cpus or --gpus"
            )


def _run(folder: str, function: Callable[[T], R], item: T) -> R:
    """In the folder that the study was started in, for its paths may be relative."""
    os.chdir(folder)
    return function(item)
