"""Seeds from names, and the record of what surrounds a result."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

import fulora
from fulora.environment import RECORDED, commit, derive_seed, peak_resident, versions


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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_the_peak_is_that_of_this_process() -> None:
    """Memory that was given back is in it, and none that was never taken."""
    before, now = peak_resident(), psutil.Process().memory_info().rss
    taken = before - now + 2**26
    np.ones(taken, np.uint8)
    assert 2**25 < peak_resident() - before < 2**27


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
