"""What surrounds a result: seeds derived from names, versions of the libraries, the commit."""

import hashlib
import math
import os
import platform
import signal
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import psutil

import fulora

CGROUPS = Path("/sys/fs/cgroup")
RECORDED = ("torch", "diffusers", "transformers", "peft", "open_clip_torch", "segmentation_models_pytorch", "numpy")


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed from names and numbers: the same on every machine and Python, whatever the order of the work."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def cores() -> int:
    """Return how many cores this process may use: those of its affinity, or fewer by the CPU quota of its cgroup."""
    membership = Path("/proc/self/cgroup")
    quota = cpu_quota(membership.read_text(encoding="utf-8"), CGROUPS) if membership.is_file() else math.inf
    return max(1, int(min(_affinity(), quota)))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_quota(membership: str, root: Path) -> float:
    """Return the CPU quota of a process in cores: the lowest of its cgroup and of those above it, infinite without one.

    Args:
        membership: the content of `/proc/PID/cgroup`: a line `ID:CONTROLLERS:PATH` for each hierarchy of version 1, and
            `0::PATH` for version 2.
        root: where the hierarchies are mounted.
    """
    quotas = [math.inf]
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        mounts = {root / controllers, root / "cpu"} if "cpu" in controllers.split(",") else set()
        for mount in mounts or ({root, root / "unified"} if not controllers else set()):
            folder = mount / path.strip("/")
            quotas += [_quota(above) for above in (folder, *folder.parents) if above.is_relative_to(mount)]
    return min(quotas)


def _quota(cgroup: Path) -> float:
    """The quota of one cgroup: its time by the period, in `cpu.max` in version 2, and in two files in version 1."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        files = [cgroup / name for name in names]
        if all(file.is_file() for file in files):
            words = [word for file in files for word in file.read_text(encoding="utf-8").split()]
            if len(words) == 2 and all(word.isdecimal() for word in words):  # else "max" or -1: no limit
                return int(words[0]) / int(words[1])
    return math.inf


def openmp_threads() -> int | None:
    """Return how many threads OpenMP is told to use; None where it takes no more than the CPU quota by itself."""
    by_itself = min(_affinity(), psutil.cpu_count(logical=False) or math.inf)
    return cores() if cores() < by_itself else None


def waiting_threads() -> dict[str, str]:
    """Return the variables by which OpenMP's waiting threads sleep: the user's own, if OMP_WAIT_POLICY is set.

    Otherwise they spin for some microseconds first. Threads that sleep at once make small steps slower on an idle
    machine; threads that spin for long, as is the default of GNU OpenMP, take the cores from other processes.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return {name: os.environ[name] for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT") if name in os.environ}
    return {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "10000")}


def configure_openmp() -> None:
    """Set how the threads of torch wait (`waiting_threads`), and that they are no more than the CPU quota allows.

    What the user has set stays. Call it before torch is imported.
    """
    os.environ.update(waiting_threads())
    threads = openmp_threads()
    if threads is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def peak_resident() -> int:
    """Peak resident size of this process so far, bytes; 0 where the system does not tell.

    On Linux `ru_maxrss` would not do: a child's begins with its parent's.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def stop_signals() -> tuple[signal.Signals, ...]:
    """Signals that ask this process to stop: SIGTERM, and SIGHUP (a closed terminal) unless `nohup` ignores it."""
    hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
    if hang_up is None or signal.getsignal(hang_up) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return (signal.SIGTERM, hang_up)


@cache
def versions() -> dict[str, str]:
    """Versions of fulora, Python and the libraries a result depends on; `absent` where one is not installed."""
    found = {"fulora": fulora.__version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@cache
def commit() -> str:
    """The git commit of the source tree that is running (`+` when it has changes), or `` outside a clone."""
    root = Path(fulora.__file__).parent.parent
    if not (root / ".git").exists():
        return ""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
