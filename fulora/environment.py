"""What surrounds a result: seeds derived from names, versions of the libraries, the commit."""

import hashlib
import os
import platform
import signal
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import fulora

RECORDED = ("torch", "diffusers", "transformers", "peft", "open_clip_torch", "segmentation_models_pytorch", "numpy")


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed from names and numbers: the same on every machine and Python, whatever the order of the work."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
