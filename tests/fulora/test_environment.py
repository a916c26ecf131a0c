"""Seeds from names, and the record of what surrounds a result."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

import fulora
from fulora import environment
from fulora.environment import (
    RECORDED,
    commit,
    configure_openmp,
    cpu_quota,
    derive_seed,
    peak_resident,
    versions,
)


def test_seeds_are_the_same_everywhere() -> None:
    """Written down: a change of these numbers changes every image ever generated."""
    assert derive_seed("split", 0, "site/7") == 3805664601999784445
    assert derive_seed() == derive_seed()
    again = "from fulora.environment import derive_seed; print(derive_seed('split', 0, 'site/7'))"
    found = subprocess.run([sys.executable, "-c", again], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True)
    assert int(found.stdout) == derive_seed("split", 0, "site/7")


def test_every_part_of_a_seed_matters() -> None:
    seeds = {
        derive_seed("a", 1),
        derive_seed("a", "1"),
        derive_seed(1, "a"),
        derive_seed("a1"),
        derive_seed("a", 1, ""),
        derive_seed("a", 2),
    }
    assert len(seeds) == 6
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_the_peak_is_that_of_this_process() -> None:
    """Memory that was given back is in it, and none that was never taken."""
    before, now = peak_resident(), psutil.Process().memory_info().rss
    taken = before - now + 2**26
    np.ones(taken, np.uint8)
    assert 2**25 < peak_resident() - before < 2**27


QUOTAS: dict[str, tuple[str, dict[str, str], float]] = {
    "version 2": ("0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 1.5),
    "version 2, above": ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000", "cpu.max": "max 1"}, 4),
    "version 2, lowest": ("0::/a/b", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "200000 100000"}, 2),
    "version 2, in a container": ("0::/", {"cpu.max": "50000 100000"}, 0.5),
    "version 2, no limit": ("0::/", {"cpu.max": "max 100000"}, math.inf),
    "version 1": ("4:cpu,cpuacct:/a\n0::/\n", {"cpu,cpuacct/a/cpu.cfs_quota_us": "200000"}, 2),
    "version 1, linked": ("4:cpuacct,cpu:/a", {"cpu/a/cpu.cfs_quota_us": "200000"}, 2),
    "version 1, in a container": ("4:cpu:/docker/0123", {"cpu/cpu.cfs_quota_us": "700000"}, 7),
    "version 1, no limit": ("4:cpu:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_quota_us": "-1"}, math.inf),
    "of others": ("4:cpuset:/a\n5:memory:/", {"cpu/cpu.cfs_quota_us": "1", "cpuset/a/cpu.max": "1 1"}, math.inf),
    "outside": ("0::/../../a", {"cpu.max": "max 100000"}, math.inf),
    "none": ("", {"cpu.max": "1 1"}, math.inf),
}


@pytest.mark.parametrize(("membership", "files", "cores"), QUOTAS.values(), ids=QUOTAS)
def test_the_quota_is_the_lowest_of_the_cgroups_a_process_is_in(
    tmp_path: Path, membership: str, files: dict[str, str], cores: float
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        if name.endswith("quota_us"):
            (tmp_path / name).with_name("cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(membership, tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores", "threads"), [(math.inf, 8, None), (6.0, 6, None), (2.9, 2, 2), (0.5, 1, 1)])
def test_threads_are_set_where_the_quota_is_lower_and_not_against_the_user(
    monkeypatch: pytest.MonkeyPatch, quota: float, cores: int, threads: int | None
) -> None:
    """Elsewhere they stay what torch takes, as their number changes last digits: one a core, without hyperthreads."""
    monkeypatch.setattr(environment, "_affinity", lambda: 8)
    monkeypatch.setattr(environment, "cpu_quota", lambda membership, root: quota)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 4)
    monkeypatch.setattr(os, "environ", {})
    configure_openmp()
    assert environment.cores() == cores
    assert os.environ.pop("OMP_WAIT_POLICY") == "PASSIVE"
    assert int(os.environ.pop("GOMP_SPINCOUNT")) > 0
    assert os.environ == ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    monkeypatch.setattr(os, "environ", {"GOMP_SPINCOUNT": "7"})
    configure_openmp()
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    users = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "3"}
    monkeypatch.setattr(os, "environ", dict(users))
    configure_openmp()
    assert os.environ == users


@pytest.mark.slow
def test_threads_are_configured_before_torch_is_there() -> None:
    asked = "import pipelines.__main__, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    environ = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    found = subprocess.run([sys.executable, "-c", asked], env=environ, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["PASSIVE", "False"]


def test_versions_name_what_a_result_depends_on() -> None:
    found = versions()
    assert set(found) == {"fulora", "python", *RECORDED}
    assert found["fulora"] == fulora.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert all(re.match(r"\d+\.", version) for version in found.values())


def test_the_commit_is_that_of_the_clone_or_empty() -> None:
    if (Path(fulora.__file__).parents[1] / ".git").exists():
        assert re.fullmatch(r"[0-9a-f]{40}\+?", commit())
    else:
        assert commit() == ""
