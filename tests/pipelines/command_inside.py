"""The command line in this process: for many short calls, where a process each would take minutes to import torch."""

import contextlib
import io
import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from fulora import progress
from fulora.integrity import LIST
from pipelines.__main__ import main

QUICK = ("batch_size=2", "shard_batches=1", "steps=2", "device=cpu")
"""Shards of two pictures, two steps each, with the embedded backbone some 15 pictures a second."""


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    code: int
    stdout: str
    stderr: str


def called(*arguments: str | Path) -> Ended:
    """A call of `fulora`. What it does not catch, which would be a traceback, is raised."""
    stdout, stderr = io.StringIO(), io.StringIO()
    before = sys.argv, signal.getsignal(signal.SIGTERM), progress.notes.quiet
    sys.argv = ["fulora", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv, handler, progress.notes.quiet = before
        signal.signal(signal.SIGTERM, handler)
    return Ended(code, stdout.getvalue(), stderr.getvalue())


def tree(folder: Path) -> dict[str, bytes]:
    """Every file and folder of a set, hidden ones too, with its bytes; less its times and commit, which may change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name == LIST:
            continue
        content = path.read_bytes() if path.is_file() else b""
        if path.name == "generation.json":
            content = json.dumps(json.loads(content) | {"commit": ""}).encode()
        found[path.relative_to(folder).as_posix()] = content
    return found


def pictures(folder: Path) -> dict[str, bytes]:
    """The pictures of a set by their names, wherever in the set they stand."""
    return {path.name: path.read_bytes() for path in (folder / "train" / "images").rglob("*.png")}
