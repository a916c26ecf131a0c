"""`fulora`, or a script, in a process that a test may signal or kill, forked from one that has imported what is heavy.

A process that imports torch and diffusers by itself needs several seconds of a core before it begins.
"""

import multiprocessing
import os
import runpy
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

PRELOADED = [
    "pipelines.__main__",
    "fulora.assessment.assess",
    "fulora.classification.train",
    "fulora.clip.tune",
    "fulora.diffusion.sets.generation",
    "fulora.diffusion.training.train",
    "fulora.report.page",
    "fulora.segmentation.train",
]


class Forked:
    """A call of `fulora` that runs beside the test. Its methods are those of `subprocess.Popen` in text mode.

    Args:
        arguments: of the command line.
        script: a file of Python that is run in place of `fulora`.
        cwd: where it runs.
        session: in a process group of its own, as a terminal would start it.
    """

    def __init__(
        self, *arguments: str | Path, cwd: Path = ROOT, session: bool = False, script: Path | None = None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._streams = Path(tempfile.mkdtemp())
        words = [str(word) for word in (script or "fulora", *arguments)]
        given = (words, str(cwd), dict(os.environ), session, str(self._streams))
        self._process = context.Process(target=_run, args=given)
        self._process.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As `subprocess` has it: None while it runs, negative after a signal."""
        return self._process.exitcode

    poll = returncode.fget

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end. Returns what it printed on standard output and standard error."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"{self._process} did not end within {timeout} s")
        printed = [(self._streams / name).read_text(encoding="utf-8") for name in ("stdout", "stderr")]
        shutil.rmtree(self._streams)
        return printed[0], printed[1]


def _run(words: Sequence[str], cwd: str, environment: dict[str, str], session: bool, streams: str) -> None:
    if session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(streams) / name, os.O_WRONLY | os.O_CREAT), number)
        setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False, buffering=1))  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = list(words)
    if words[0] == "fulora":
        from pipelines.__main__ import main

        main()
    else:
        runpy.run_path(words[0], run_name="__main__")
