"""SIGTERM and SIGHUP during a training: a checkpoint is written, and the same command continues."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fulora.environment import stop_signals


@contextmanager
def preemption() -> Iterator[Callable[[], bool]]:
    """Inside, SIGTERM (a preempted Slurm job, `kill`) and SIGHUP (a closed terminal) do not end the process.

    Yields a function that says whether one of them has come. A loop asks after each step, writes a checkpoint and
    raises `fulora.stage.PreemptedError`. Signals reach the main thread only: in another thread the answer is always no.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = {number: signal.signal(number, lambda number, frame: came.set()) for number in stop_signals()}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
