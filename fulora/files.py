"""Writing to a disk that may be full: one named error for it, and files that are complete or absent."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
SAID = ("No space left on device", "(os error 28)", "Disk quota exceeded", "(os error 122)")
"""How libraries say it that write without Python: safetensors and torch keep no error number."""


class DiskFullError(OSError):
    """There is no room left. What is complete is kept, and nothing half-written is left in its place."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or the error behind it, says that a disk is full."""
    while error is not None:
        if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in FULL):
            return True
        if any(text in str(error) for text in SAID):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def raise_on_disk_full(place: Path, kept: str = "everything that is finished is kept") -> Iterator[None]:
    """Inside, whatever library fails to write for want of room raises the same error.

    Args:
        place: what is being written, for the message.
        kept: what is not lost, for the message.

    Raises:
        DiskFullError: there is no room; the error behind it is its cause.
    """
    try:
        yield
    except Exception as error:
        if is_full(error) and not isinstance(error, DiskFullError):
            raise DiskFullError(
                f"{place}: the disk is full; {kept}, and the same command continues when there is room{_room(place)}"
            ) from error
        raise


def _room(place: Path) -> str:
    """How much is free where `place` is; the full disk may be another one, such as that of temporary files."""
    there = next((folder for folder in (place, *place.absolute().parents) if folder.exists()), None)
    if there is None:
        return ""
    free, total = (shutil.disk_usage(there)[part] / 1e6 for part in (2, 0))
    return f" ({free:.1f} of {total:.0f} MB are free there, and more is needed)"


def apply_umask(files: Iterable[Path]) -> None:
    """Let others read files as the umask says; safetensors lets only their owner.

    On file systems without such permissions nothing happens.
    """
    umask = os.umask(0o077)  # read by being set: what another thread makes meanwhile is its owner's alone
    os.umask(umask)
    for file in files:
        with suppress(OSError):
            file.chmod(0o666 & ~umask)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def atomic_file(path: Path, *, durable: bool = False, by_several: bool = False) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place when all went well and is removed when not.

    It has the ending of `path`, and the same name each time, so that a killed process leaves at most one.

    Args:
        durable: the file is forced to the disk before it takes the place.
        by_several: processes may write it at once, each to a path of its own; the last one counts.
    """
    new = path.with_name(f".new.{os.getpid()}.{path.name}" if by_several else f".new.{path.name}")
    try:
        yield new
        apply_umask([new])
        if durable:
            sync(new)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
