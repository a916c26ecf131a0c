"""SIGTERM and SIGHUP during a training: handled at the next step instead of ending the process."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fulora.environment import stop_signals


@contextmanager
def preemption() -> Iterator[Callable[[], bool]]:
    """Catch SIGTERM (a preempted Slurm job, `kill`) and SIGHUP (a closed terminal) while the context is active.

    Yields a function that returns whether one of them was received: `Checkpointer` then writes a checkpoint and raises
    `fulora.stage.PreemptedError`. Signals reach the main thread only: in another thread it always returns False.
    """
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received.is_set
        return
    before = {number: signal.signal(number, lambda number, frame: received.set()) for number in stop_signals()}
    try:
        yield received.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
