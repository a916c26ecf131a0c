"""A disk that is really full: the set stops with nothing half-written, and goes on when there is room."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import full_disk_run
import pytest
from generation_run import drawn

from fulora.diffusion.sets import job as jobs

pytestmark = pytest.mark.slow

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount(folder: Path) -> bool:
    """Whether this user may mount a disk in a namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    tried = [*NAMESPACE, "mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    return subprocess.run(tried, capture_output=True).returncode == 0


def test_a_set_goes_on_from_any_place_at_which_the_disk_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("no disk can be mounted here: unshare --user --mount is not permitted")
    monkeypatch.setattr(jobs, "commit", lambda: "")
    (tmp_path / "large").mkdir()
    folder = tmp_path / "large" / "set"  # as deep as on the disk, for its sources are relative
    whole = drawn(backbone, folder, per_class=full_disk_run.PER_CLASS)
    command = [*NAMESPACE, sys.executable, full_disk_run.__file__, str(backbone), str(disk), str(whole)]
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | paths)
    assert done.returncode == 0, done.stdout + done.stderr
