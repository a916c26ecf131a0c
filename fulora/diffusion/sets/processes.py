"""Several processes on one machine that draw one set, one a GPU. They share nothing but its folder."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fulora import progress
from fulora.environment import cores, openmp_threads

if TYPE_CHECKING:
    from fulora.diffusion.sets.shards import Shard

POLL_S = 0.5


class ProcessError(ValueError):
    """A process that drew shards failed."""


def run_processes(out: Path, shards: "Sequence[Shard]", count: int) -> None:
    """Start this command `count` times, each drawing shards that no other is at, until all are there.

    When a process dies, the others draw its shards.

    Raises:
        ProcessError: all processes failed.
    """
    start = sum(len(shard) for shard in shards if shard.is_complete(out))
    with (
        _children(count) as children,
        progress.meter("synthetic", unit="images", total=sum(map(len, shards)), start=start) as advance,
    ):
        while any(child.poll() is None for child, _ in children):
            time.sleep(POLL_S)
            there = sum(len(shard) for shard in shards if shard.is_complete(out))
            advance(there - start)
            start = there
        failed = [_said(errors) or f"exit code {child.returncode}" for child, errors in children if child.returncode]
    if len(failed) == count:
        raise ProcessError(f"all {count} processes failed. The first said: {failed[0]}")
    for message in failed:
        progress.note(f"a process failed, and the others did its work: {message}")


@contextmanager
def _children(count: int) -> Iterator[list[tuple["subprocess.Popen[bytes]", IO[bytes]]]]:
    """This command, without `--processes`, so many times; none is left running."""
    command = [sys.executable, "-m", "pipelines", *_without_processes(sys.argv[1:]), "--quiet"]
    children: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
    with ExitStack() as files:
        try:
            for number in range(count):
                errors = files.enter_context(tempfile.TemporaryFile())
                environment = _environment(number, count)
                children.append(
                    (subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment), errors)
                )
            yield children
        finally:
            for child, _ in children:
                child.terminate()
            for child, _ in children:
                child.wait()


def _without_processes(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if skip or argument.startswith("--processes="):
            skip = False
        elif argument == "--processes":
            skip = True
        else:
            kept.append(argument)
    return kept


def _environment(number: int, count: int) -> dict[str, str]:
    """One GPU each where there are any, else a share of the cores."""
    import torch

    found = dict(os.environ)
    if torch.cuda.is_available():
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = seen.split(",") if seen else [str(gpu) for gpu in range(torch.cuda.device_count())]
        found["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    if found.get("OMP_NUM_THREADS") in (None, str(openmp_threads())):  # not set, or by `configure_openmp`
        found["OMP_NUM_THREADS"] = str(max(1, cores() // count))
    return found


def _said(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fulora: ") if lines else ""
