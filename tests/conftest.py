"""What every test shares: no network, one thread, checked array shapes, and the folder of real images."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shape_checks
from forked import Forked

# Before torch and the hub's library are imported, and for every process that a test starts.
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

shape_checks.install()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real images beside the repository; a test that asks for it is skipped where there is none."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real images: ../shared/data is not there")
    return folder


@pytest.fixture(scope="session")
def make_case() -> Callable[..., None]:
    """Makes the inputs of a folder of ../shared/cases; a test that asks for it is skipped where there is none.

    `make_case("03-jpeg-colour", out)` runs its `make.py` from the project's root; a third argument names another one.
    """
    root = Path(__file__).parents[1]
    cases = root.parent / "shared" / "cases"
    if not cases.is_dir():
        pytest.skip("no faulty inputs: ../shared/cases is not there")

    def make(name: str, out: Path, script: str = "make.py") -> None:
        made = Forked(out, cwd=root, script=cases / name / script)
        printed = made.communicate()
        assert made.returncode == 0, printed[1]

    return make


@pytest.fixture
def mount_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of a size such as `256k`; a test that asks for it is skipped where mounting is not allowed."""
    disks: list[Path] = []

    def mount(size: str) -> Path:
        disk = tmp_path / f"disk{len(disks)}"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True)
        if done.returncode != 0:
            pytest.skip("mounting is not allowed here")
        disks.append(disk)
        return disk

    yield mount
    for disk in disks:
        subprocess.run(["umount", "-l", str(disk)], check=True)
