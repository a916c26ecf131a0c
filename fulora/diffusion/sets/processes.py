"""Several processes on one machine that generate one set, one a GPU. They share nothing but its folder."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import torch

from fulora import progress
from fulora.diffusion.sets.job import GenerationJob, check_folder
from fulora.diffusion.sets.shards import Shard, part_of
from fulora.environment import cores, openmp_threads

POLL_S = 0.5
Child = tuple["subprocess.Popen[bytes]", IO[bytes]]
"""A process, and the file of its error output."""


class ProcessError(ValueError):
    """All processes that generate a set failed."""


def generate_in_processes(
    job: GenerationJob, command: Sequence[str], count: int, *, part: tuple[int, int] = (0, 1)
) -> list[Shard]:
    """Generate a part of a set by a command in `count` processes, each making shards that no other is at.

    When a process dies, the others make its shards.

    Args:
        command: generates the part in one process.
        part: i of n, counted from 0.

    Returns:
        The shards that are still missing, of other parts.

    Raises:
        GenerationError: if the folder holds something else.
        ProcessError: if all processes failed.
    """
    check_folder(job)
    shards = part_of(job.shards, part)
    complete = _complete_images(shards, job.out)
    with (
        _children(command, count) as children,
        progress.meter("synthetic", unit="images", total=sum(map(len, shards)), start=complete) as advance,
    ):
        while any(child.poll() is None for child, _ in children):
            time.sleep(POLL_S)
            before, complete = complete, _complete_images(shards, job.out)
            advance(complete - before)
        failures = [
            _last_line(errors) or f"exit code {child.returncode}" for child, errors in children if child.returncode
        ]
    if len(failures) == count:
        raise ProcessError(f"all {count} processes failed. The first said: {failures[0]}")
    for message in failures:
        progress.note(f"a process failed, and the others did its work: {message}")
    return job.missing_shards()


def _complete_images(shards: Sequence[Shard], out: Path) -> int:
    return sum(len(shard) for shard in shards if shard.is_complete(out))


@contextmanager
def _children(command: Sequence[str], count: int) -> Iterator[list[Child]]:
    children: list[Child] = []
    with ExitStack() as files:
        try:
            for number in range(count):
                errors = files.enter_context(tempfile.TemporaryFile())
                out, environment = subprocess.DEVNULL, _environment(number, count)
                children.append((subprocess.Popen(command, stdout=out, stderr=errors, env=environment), errors))
            yield children
        finally:
            for child, _ in children:
                child.terminate()
            for child, _ in children:
                child.wait()


def _environment(number: int, count: int) -> dict[str, str]:
    """The environment of a process: one GPU if there are any, else a share of the cores."""
    environment = dict(os.environ)
    if torch.cuda.is_available():
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        gpus = visible.split(",") if visible else [str(gpu) for gpu in range(torch.cuda.device_count())]
        environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    if environment.get("OMP_NUM_THREADS") in (None, str(openmp_threads())):  # not set, or by `configure_openmp`
        environment["OMP_NUM_THREADS"] = str(max(1, cores() // count))
    return environment


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fulora: ") if lines else ""
