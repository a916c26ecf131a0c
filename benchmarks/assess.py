"""What assessing synthetic images costs: neighbours, KID and precision to coverage on random features.

    OMP_NUM_THREADS=2 python benchmarks/assess.py

5,000 synthetic against 12,400 real rows of 768 features (the size of FETAL_PLANES_DB and of a CLIP), then neighbours of
5,000 rows among more and more. Each in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from fulora.environment import cores, versions
from fulora.metrics.fidelity import kid, mmd2_unbiased
from fulora.metrics.manifold import manifold
from fulora.metrics.memorisation import memorisation, vote
from fulora.metrics.neighbours import nearest

RESULT = Path(__file__).parent / "results" / "assess.json"
SYNTHETIC, REAL, WIDTH = 5000, 12_400, 768
SIZES = (12_500, 25_000, 50_000, 100_000)


def rows(count: int, seed: int) -> np.ndarray:
    """Random features."""
    return np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32)


def work(name: str, count: int) -> None:
    """One measured piece of work."""
    x, y = rows(SYNTHETIC, 0), rows(count, 1)
    started = time.perf_counter()
    match name:
        case "nearest":
            nearest(x, y, 5)
        case "manifold":
            manifold(y, x)
        case "kid":
            kid(x, y, subsets=50, subset_size=1000, seed=0)
        case "mmd":
            mmd2_unbiased(x, y, kernel="polynomial")
        case "memorisation":
            patients = np.arange(count) // 7
            among_real = vote(y, y, patients, own=patients)
            memorisation(vote(x, y, patients), among_real, patients, patients < patients.max() // 2, draws=999)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(time.perf_counter() - started, 2), "peak_mb": round(peak)}))


def measured(name: str, count: int) -> dict[str, float]:
    """`work` in a process of its own."""
    command = [sys.executable, __file__, "--work", name, "--count", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", default="")
    parser.add_argument("--count", type=int, default=REAL)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.count)
        return
    result = {
        "command": "OMP_NUM_THREADS=2 python benchmarks/assess.py",
        "machine": {"cores": cores(), "system": platform.machine(), **versions()},
        "synthetic": SYNTHETIC,
        "real": REAL,
        "features": WIDTH,
        **{name: measured(name, REAL) for name in ("nearest", "manifold", "kid", "mmd", "memorisation")},
        "nearest_by_real_rows": {str(count): measured("nearest", count) for count in SIZES},
    }
    given.out.parent.mkdir(exist_ok=True, parents=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
