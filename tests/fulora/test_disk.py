"""Files and folders are complete or absent, one process holds a lock, and a full disk is one error, whoever writes."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from image_rows import image_row
from PIL import Image as Pil
from safetensors import SafetensorError
from safetensors.torch import save_file

from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.pictures import loaders
from fulora.data.pictures.loaders import load_squares
from fulora.engine import InProcess
from fulora.files import (
    DiskFullError,
    apply_umask,
    atomic_file,
    atomic_folder,
    is_full,
    locked,
    move_into_place,
    partial_folder,
    raise_on_disk_full,
)
from fulora.stage import Artifact, Stage, stage
from fulora.training.checkpoints import CHECKPOINTS, LATEST, load_checkpoint, save_checkpoint
from fulora.training.metrics_log import MetricsLog
from fulora.workspace import Workspace

FETAL = label_set("fetal_planes")

SERIALIZED = "Error while serializing: I/O error: No space left on device (os error 28)"


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), SafetensorError(SERIALIZED), RuntimeError(SERIALIZED)],
)
def test_a_full_disk_is_recognised_from_every_library(tmp_path: Path, error: Exception) -> None:
    message = r"out: the disk is full; .*the same command continues.* MB are free there"
    with pytest.raises(DiskFullError, match=message), raise_on_disk_full(tmp_path / "out"):
        raise error
    with pytest.raises(DiskFullError, match=message), raise_on_disk_full(tmp_path / "out"):
        _as_torch_closes_its_file(error)


def _as_torch_closes_its_file(error: Exception) -> None:
    try:
        raise error
    finally:
        raise RuntimeError("unexpected pos 64 vs 0")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    assert not is_full(OSError(errno.EACCES, "x"))
    assert not is_full(None)
    with pytest.raises(PermissionError), raise_on_disk_full(tmp_path):
        raise PermissionError(errno.EACCES, "x")
    with pytest.raises(KeyError), raise_on_disk_full(tmp_path):
        raise KeyError("a mistake of ours")


def test_several_may_write_a_file_at_once_and_one_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, numbers = tmp_path / "list.json", iter((1, 2))
    monkeypatch.setattr(os, "getpid", lambda: next(numbers))
    with atomic_file(path, by_several=True) as first, atomic_file(path, by_several=True) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_file_is_forced_to_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    forced, moved = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append("forced") or forced(file))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("moved") or moved(*names))
    for durable in (True, False):
        with atomic_file(tmp_path / "a", durable=durable) as new:
            new.write_text("a")
    assert done == ["forced", "moved", "moved"]


def test_a_file_is_complete_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(OSError, match="full"):
        _half_written(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"
    with atomic_file(path) as new:
        new.write_text("after")
    assert path.read_text() == "after"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def _half_written(path: Path) -> None:
    with atomic_file(path) as new:
        new.write_text("half")
        raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_folder_is_complete_or_absent(tmp_path: Path, error: type[BaseException]) -> None:
    partial_folder(tmp_path / "a").mkdir()
    (partial_folder(tmp_path / "a") / "left").write_text("by a process that was killed")
    with pytest.raises(error):
        _fill_half(tmp_path / "a", error)
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(tmp_path / "a") as work:
        (work / "all").write_text("all")
        assert not (tmp_path / "a").exists()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["a", "a/all"]


def _fill_half(folder: Path, error: type[BaseException]) -> None:
    with atomic_folder(folder) as work:
        (work / "half").write_text("half")
        raise error


def test_a_folder_that_was_made_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "a"):
        _fill_as_another_process(tmp_path / "a")
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["a", "a/of another"]


def _fill_as_another_process(folder: Path) -> None:
    folder.mkdir()
    (folder / "of another").write_text("stays")


def test_a_finished_file_or_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    for number in "12":
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / number).write_text(number)
        move_into_place(tmp_path / "new", tmp_path / "sub" / "folder")
        (tmp_path / "part").write_text(number)
        move_into_place(tmp_path / "part", tmp_path / "sub" / "file")
    assert (tmp_path / "sub" / "file").read_text() == "2"
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["sub", "file", "folder", "2"]


# --- locks


def test_one_thread_holds_a_lock_at_a_time(tmp_path: Path) -> None:
    holders: list[int] = []
    most = 0

    def hold(number: int) -> bool:
        nonlocal most
        with locked(tmp_path / "locks" / "a") as is_held:
            holders.append(number)
            most = max(most, len(holders))
            time.sleep(0.02)
            holders.remove(number)
        return is_held

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(hold, range(8)))
    assert most == 1


def test_a_held_lock_cannot_be_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for _ in range(2):
        with locked(path) as is_held, locked(path, wait=False) as twice, locked(tmp_path / "b", wait=False) as other:
            assert (is_held, twice, other) == (True, False, True)
    with pytest.raises(RuntimeError, match="Deadlock"), locked(path), locked(path):
        pass
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    with locked(path, wait=False) as is_held:
        assert is_held


HOLD = """
import sys
from pathlib import Path
from fulora.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_releases_its_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with locked(tmp_path / "a", wait=False) as is_held:
            assert not is_held
        process.kill()
        with locked(tmp_path / "a") as is_held:
            assert is_held


@pytest.mark.parametrize("times", [1, 4])
def test_locks_whose_folder_another_process_removes_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A process that has put a set together removes the folder of its locks, and may do so at any moment."""
    path, real, removed = tmp_path / "locks" / "a", os.open, []

    def opened(name: str, flags: int, mode: int = 0o777, **others: int) -> int:
        if str(name) == str(path) and len(removed) < times:
            removed.append(name)
            shutil.rmtree(path.parent)
        return real(name, flags, mode, **others)

    monkeypatch.setattr(os, "open", opened)
    with locked(path) as is_held:
        assert is_held
        assert path.is_file()
    assert len(removed) == times


def test_a_lock_on_a_file_that_was_removed_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a"
    with ThreadPoolExecutor(1) as pool:
        with locked(path):
            waiting = pool.submit(_inode_when_locked, path)
            time.sleep(0.2)
            shutil.rmtree(path.parent)
        inode, now = waiting.result()
    assert inode == now


def _inode_when_locked(path: Path) -> tuple[int, int]:
    with locked(path), locked(path, wait=False) as is_held_twice:
        return (0 if is_held_twice else path.stat().st_ino, path.stat().st_ino)


def test_locks_that_cannot_be_made_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(FileNotFoundError), locked(Path("set")):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "a"):
        pass


@dataclass(frozen=True)
class Files(Artifact):
    """Some files."""


room: list[str] = []


def _fill(out: Path) -> Files:
    (out / "first").write_text("done")
    if not room:
        raise SafetensorError(SERIALIZED)
    return Files(out, "")


@stage(version=1)
def fill(out: Path) -> Files:
    return _fill(out)


@stage(version=1, resumes=True)
def fill_on(out: Path) -> Files:
    return _fill(out)


@pytest.mark.parametrize("which", [fill, fill_on], ids=["anew", "resuming"])
def test_a_stage_on_a_full_disk_leaves_what_it_can_continue_from_and_no_more(
    tmp_path: Path, which: "Stage[[], Files]"
) -> None:
    room.clear()
    with pytest.raises(DiskFullError, match="the disk is full; everything that is finished is kept"):
        Workspace(tmp_path, InProcess()).run(which)
    (step,) = _planned(tmp_path, which)
    assert not step.artifact.path.exists()
    assert partial_folder(step.artifact.path).exists() == which.resumes
    room.append("there is some")
    made = Workspace(tmp_path, InProcess()).run(which)
    assert (made.path / "first").read_text() == "done"


def _planned(root: Path, which: "Stage[[], Files]") -> list:  # type: ignore[type-arg]
    plan = Workspace(root, InProcess(), plan=True)
    plan.run(which)
    return plan.steps


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, {"model": torch.zeros(3)})
    before = sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())

    def full(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 2, {"model": torch.ones(3)})
    assert sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir()) == before
    assert (tmp_path / CHECKPOINTS / LATEST).read_text() == "step_00000001.pt\n"
    state = load_checkpoint(tmp_path)
    assert state is not None
    assert state["step"] == 1


def test_a_log_that_cannot_be_rewritten_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = MetricsLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step, loss=0.5)
    before = log.path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", _no_room)
        with pytest.raises(OSError, match="full"):
            MetricsLog(tmp_path, 2)
    assert log.path.read_bytes() == before
    MetricsLog(tmp_path, 2)
    assert len(log.path.read_text().splitlines()) == 2


def _no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, "full")


# --- on a disk that is full


@pytest.fixture
def small_disk(mount_disk: Callable[[str], Path]) -> Path:
    """A disk of 256 kB."""
    return mount_disk("256k")


def _big() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (800, 800), np.uint8)


def test_pictures_that_do_not_fit_among_temporary_files_are_an_error_and_no_crash(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = image_row()
    ImageSet.write(tmp_path / "images", [Picture(row, _big()[:64, :64])], labels=FETAL)
    images = ImageSet(tmp_path / "images", "")
    monkeypatch.setattr(loaders, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    assert load_squares(images, images.rows() * 10, 64, "squash").shape == (10, 64, 64)
    with pytest.raises(OSError, match="No space left on device"):
        load_squares(images, images.rows() * 100, 64, "squash")


WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("x" * 400_000),
    "checkpoint": lambda path: save_checkpoint(path, 1, {"model": torch.zeros(100_000)}),
    "safetensors": lambda path: save_file({"a": torch.zeros(100_000)}, path),
    "numpy": lambda path: np.savez(path, a=_big()),
    "png": lambda path: Pil.fromarray(_big()).save(path, "PNG"),
    "jpeg": lambda path: Pil.fromarray(_big()).save(path, "JPEG", quality=100),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_reports_a_full_disk(small_disk: Path, writer: str) -> None:
    with (
        pytest.raises(DiskFullError, match=r"the disk is full; .*of 0 MB are free there"),
        raise_on_disk_full(small_disk),
    ):
        WRITERS[writer](small_disk / "file")


@pytest.mark.parametrize(("umask", "mode"), [(0o000, 0o666), (0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_others_may_read_what_safetensors_wrote_as_the_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with atomic_file(tmp_path / "whole.safetensors") as new:
            save_file({"a": torch.zeros(3)}, new)
        save_file({"a": torch.zeros(3)}, tmp_path / "shared.safetensors")
        apply_umask(tmp_path.glob("shared.*"))
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "whole.safetensors": mode,
        "shared.safetensors": mode,
    }
