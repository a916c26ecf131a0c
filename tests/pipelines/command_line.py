"""The command line as a user in some folder calls it. In this process: one each would take minutes to import torch."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

from command_inside import called

ROOT = Path(__file__).parents[2]


def fulora(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    with contextlib.chdir(cwd), mock.patch.dict(os.environ, {"COLUMNS": "200"}):
        ended = called(*arguments)
    return subprocess.CompletedProcess(["fulora", *map(str, arguments)], ended.code, ended.stdout, ended.stderr)


def fulora_alone(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """In a process of its own, where what has been imported or computed before would tell."""
    command = [sys.executable, "-m", "pipelines", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
