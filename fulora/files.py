"""Atomic writes of files and folders, locks between processes, and one error for a full disk."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_MESSAGES = ("No space left on device", "(os error 28)", "Disk quota exceeded", "(os error 122)")
"""Parts of the messages of libraries that keep no error number: safetensors and torch."""

LOCK_ATTEMPTS = 10
"""How often a lock file is made whose folder another process removes at that moment."""


class DiskFullError(OSError):
    """There is no room left. What is complete is kept, and nothing half-written is left in its place."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or the error behind it, says that a disk is full."""
    while error is not None:
        if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in FULL):
            return True
        if any(text in str(error) for text in FULL_MESSAGES):
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
    """Give files the permissions of the umask; safetensors writes files that only their owner can read.

    On file systems without such permissions nothing happens.
    """
    umask = os.umask(0o077)  # it can only be read by setting it: files that threads make meanwhile are their owner's
    os.umask(umask)
    for file in files:
        with suppress(OSError):
            file.chmod(0o666 & ~umask)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk. Windows does not open folders, and keeps names by itself."""
    windows = os.name == "nt"
    if windows and path.is_dir():
        return
    opened = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def atomic_file(path: Path, *, durable: bool = False, by_several: bool = False) -> Iterator[Path]:
    """A path to write to, which replaces `path` when the block succeeds and is removed when it fails.

    It lies beside `path`, has its suffix, and the same name each time, so that a killed process leaves at most one.

    Args:
        durable: force the file to the disk before it replaces `path`.
        by_several: processes may write `path` at once, each to a file of its own; the last one counts.
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


def write_atomic(path: Path, text: str, *, durable: bool = False, by_several: bool = False) -> None:
    """Write a text file in UTF-8, as `atomic_file`."""
    with atomic_file(path, durable=durable, by_several=by_several) as new:
        new.write_text(text, encoding="utf-8")


def partial_folder(folder: Path) -> Path:
    """The path of the scratch folder beside `folder` in which it is made."""
    return folder.with_name(f".{folder.name}.partial")


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """An empty folder at `path`, removed at the end unless it was moved; what a killed process left there is removed.

    Only one process may use a path at a time.
    """
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A scratch folder to fill, which becomes the new folder `target` when the block succeeds.

    Raises:
        OSError: if `target` exists by then.
    """
    with scratch_folder(partial_folder(target)) as work:
        yield work
        os.rename(work, target)


def move_into_place(new: Path, target: Path) -> None:
    """Rename a finished file or folder to `target`, in place of an older one, and force the name to the disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = new.with_name(f"{new.name}.old")
    shutil.rmtree(old, ignore_errors=True)  # left by a process that was killed between the two renames
    if target.is_dir():
        os.replace(target, old)
    os.replace(new, target)
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock whose file is `path`; yields whether it is held, which is always so with `wait`.

    The lock is the operating system's (`filelock`): of threads and processes one holds it, and a process that dies
    releases it. It works on Windows, and on network file systems with locks, such as NFS 4. A file system without
    locks gets a marker file instead, with a warning; such a file of a killed process has to be removed by hand.
    The lock file stays when the lock is released. Whoever holds the lock may remove it together with its folder.

    Args:
        wait: until the lock is free.

    Raises:
        OSError: if the lock file cannot be made, such as in a read-only folder.
        RuntimeError: if this thread holds the lock already, and would wait for itself.
    """
    lock = _acquired(path, wait)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _acquired(path: Path, wait: bool, attempts: int = LOCK_ATTEMPTS) -> BaseFileLock | None:
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=wait)
    except Timeout:
        return None
    except FileNotFoundError:  # another process removed the folder
        if attempts == 1:
            raise
        return _acquired(path, wait, attempts - 1)
    return lock
