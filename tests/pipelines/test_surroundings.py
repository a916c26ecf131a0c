"""What surrounds a command: closed streams, a home nobody may write in, optimised Python, umask, full pipes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ROOT

from fulora.environment import stop_signals
from fulora.training.preemption import preemption

pytestmark = pytest.mark.slow

DRAW = ("generate", "--plane", "brain", "--count", "2", "steps=2", "device=cpu", "--out")
COMMAND = [sys.executable, "-m", "pipelines"]


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for bash, in which `fulora` is this project's command."""
    fulora = f'fulora() {{ {" ".join(COMMAND)} "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", fulora + line],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("streams", "printed"), [pytest.param("2>&-", True, marks=pytest.mark.heavy), ("<&- >&- 2>&-", False)]
)
def test_closed_streams_do_not_stop_a_command(streams: str, printed: bool, tmp_path: Path) -> None:
    done = shell(f"fulora {' '.join(DRAW)} {tmp_path / 'set'} {streams}")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'set'}\n" if printed else "")
    assert len(list((tmp_path / "set").rglob("synthetic_*.png"))) == 2


def test_what_is_printed_on_closed_streams_is_in_no_file(tmp_path: Path) -> None:
    """Without a standard error of its own, the next file that is opened would take its number."""
    code = (
        "import os, sys; from pipelines.__main__ import main; sys.argv = ['fulora', 'configs']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"file = open({str(tmp_path / 'kept')!r}, 'w'); os.write(2, b'Corrupt JPEG data'); sys.exit(file.fileno() < 3)"
    )
    done = shell(f'{sys.executable} -c "$CODE" >&- 2>&-', CODE=code)
    assert done.returncode == 0
    assert (tmp_path / "kept").read_text() == ""


def test_an_error_on_a_closed_standard_error_is_not_printed_as_the_result() -> None:
    done = shell("fulora status no_such_study 2>&-")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_closed_pipe_gives_no_traceback() -> None:
    done = shell("fulora configs paper/fu_lora | true; exit ${PIPESTATUS[0]}")
    assert done.returncode in (0, 1)  # 0 where all was written before the reader left
    assert done.stderr == ""


def test_a_full_standard_output_is_one_line() -> None:
    done = shell("fulora configs demo > /dev/full")
    assert done.returncode != 0
    assert done.stderr.startswith("fulora: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_home_that_cannot_be_written_in_is_no_error(tmp_path: Path) -> None:
    """In /proc nobody can make a folder, root neither."""
    done = shell(f"fulora {' '.join(DRAW)} {tmp_path / 'set'}", HOME="/proc/nobody", XDG_CACHE_HOME="", MPLCONFIGDIR="")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'set'}\n")


def test_python_without_docstrings_is_refused_with_what_to_do() -> None:
    assert shell("fulora configs", PYTHONOPTIMIZE="1").returncode == 0
    done = shell("fulora --help", PYTHONOPTIMIZE="2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "unset PYTHONOPTIMIZE, or set it to 1" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_signals_that_stop_a_training() -> None:
    """Both are heard inside, and what was there before is there again; `nohup` is obeyed."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    for number in (signal.SIGTERM, signal.SIGHUP):
        with preemption() as asked:
            assert not asked()
            signal.raise_signal(number)
            assert asked()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)) == before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert stop_signals() == (signal.SIGTERM,)
    finally:
        signal.signal(signal.SIGHUP, before[1])
