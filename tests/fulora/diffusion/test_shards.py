"""Shards: fixed runs of images, there when they are complete and not before."""

import json
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from generation_run import complete
from image_rows import synthetic_row

from fulora.diffusion.sets.shards import (
    RejectedImage,
    Shard,
    ShardError,
    ShardRecord,
    claimed,
    part_of,
    read_shard,
    scratch,
    shards_of,
    write_record,
)

SHARD = Shard("brain", 0, 0, 1)
ROW = synthetic_row(file_name="images/brain-00000/a.png", recipe="{}", width=4, height=4, sha256="0" * 64)
RECORD = ShardRecord(rows=(ROW,), rejected=(RejectedImage(index=0, attempt=0, fault="black"),))


def made(out: Path) -> Path:
    """A complete shard."""
    with scratch(SHARD, out) as folder:
        (folder / "a.png").write_bytes(b"a")
        write_record(folder, RECORD)
    return SHARD.folder(out)


def work_left(out: Path) -> list[str]:
    return sorted(path.name for path in (out / ".work").iterdir())


def test_a_set_is_cut_plane_after_plane_into_runs() -> None:
    cut = shards_of(complete(per_class=11, batch_size=2, shard_batches=2))
    assert [(shard.name, shard.first, shard.last, len(shard)) for shard in cut] == [
        ("brain-00000", 0, 4, 4),
        ("brain-00001", 4, 8, 4),
        ("brain-00002", 8, 11, 3),
        ("femur-00000", 0, 4, 4),
        ("femur-00001", 4, 8, 4),
        ("femur-00002", 8, 11, 3),
    ]
    assert cut[1].folder(Path("set")) == Path("set/train/images/brain-00001")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 17, 1000])
def test_more_images_leave_full_shards_as_they_are(count: int) -> None:
    few, many = shards_of(complete(per_class=count)), shards_of(complete(per_class=count + 1))
    assert {shard for shard in few if len(shard) == 2} <= set(many)
    assert {shard.name for shard in few} <= {shard.name for shard in many}
    indices = {
        plane: [i for s in few if s.plane == plane for i in range(s.first, s.last)] for plane in ("brain", "femur")
    }
    assert indices == {"brain": list(range(count)), "femur": list(range(count))}


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 40])
def test_parts_have_no_shard_in_common_and_leave_none_out(parts: int) -> None:
    every = shards_of(complete(per_class=31))
    found = [shard for index in range(parts) for shard in part_of(every, (index, parts))]
    assert sorted(found, key=lambda shard: shard.name) == every
    sizes = [len(part_of(every, (index, parts))) for index in range(parts)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("part", [(1, 1), (4, 4), (5, 4), (-1, 4), (0, 0)])
def test_a_part_that_is_none_is_refused(part: tuple[int, int]) -> None:
    with pytest.raises(ShardError, match=rf"shard {part[0]}/{part[1]}: the first number counts from 0 and is below"):
        part_of([SHARD], part)


def test_a_record_comes_back(tmp_path: Path) -> None:
    made(tmp_path)
    assert read_shard(SHARD, tmp_path) == RECORD


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"rows": [{"image_id": "a"}], "rejected": []}', None])
def test_a_damaged_record_says_what_to_do(tmp_path: Path, text: str | None) -> None:
    record = made(tmp_path) / "shard.json"
    record.unlink() if text is None else record.write_text(text)
    with pytest.raises(
        ShardError, match=r"(?s)shard\.json: cannot be read \(.*remove its folder, and the shard is made"
    ):
        read_shard(SHARD, tmp_path)


def test_a_shard_is_there_when_it_is_complete_and_not_before(tmp_path: Path) -> None:
    with scratch(SHARD, tmp_path) as folder:
        (folder / "a.png").write_bytes(b"a")
        write_record(folder, RECORD)
        assert not SHARD.folder(tmp_path).exists()
        assert not SHARD.is_complete(tmp_path)
    assert SHARD.is_complete(tmp_path)
    assert not Shard("brain", 0, 0, 2).is_complete(tmp_path), "it is that of a smaller set"
    (SHARD.folder(tmp_path) / "b.png").write_bytes(b"b")
    assert not Shard("brain", 0, 0, 3).is_complete(tmp_path)
    (SHARD.folder(tmp_path) / "b.png").unlink()
    (SHARD.folder(tmp_path) / "a.png").unlink()
    assert SHARD.is_complete(tmp_path), "a lost picture is found by the list of files"
    (SHARD.folder(tmp_path) / "a.png").write_bytes(b"a")
    assert sorted(path.name for path in SHARD.folder(tmp_path).iterdir()) == ["a.png", "shard.json"]
    assert work_left(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_exception_in_the_middle_leaves_neither_shard_nor_scratch(
    tmp_path: Path, error: type[BaseException]
) -> None:
    def interrupted() -> None:
        with scratch(SHARD, tmp_path) as folder:
            (folder / "a.png").write_bytes(b"a")
            raise error

    with pytest.raises(error):
        interrupted()
    assert not SHARD.folder(tmp_path).exists()
    assert work_left(tmp_path) == []


def test_what_a_killed_process_left_is_gone_in_the_next_scratch(tmp_path: Path) -> None:
    left = tmp_path / ".work" / SHARD.name
    left.mkdir(parents=True)
    (left / "half.png").write_bytes(b"half")
    with scratch(SHARD, tmp_path) as folder:
        assert folder == left
        assert list(folder.iterdir()) == []
        write_record(folder, RECORD)
    assert [path.name for path in SHARD.folder(tmp_path).iterdir()] == ["shard.json"]


def test_a_shard_that_is_made_anew_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    made(tmp_path)
    with pytest.raises(RuntimeError, match="in the middle"), scratch(SHARD, tmp_path):
        raise RuntimeError("in the middle")
    assert read_shard(SHARD, tmp_path) == RECORD
    (tmp_path / ".work" / f"{SHARD.name}.old").mkdir()  # a process was killed between the two renames
    with scratch(SHARD, tmp_path) as folder:
        write_record(folder, ShardRecord(rows=(), rejected=()))
    assert read_shard(SHARD, tmp_path).rows == ()
    assert [path.name for path in SHARD.folder(tmp_path).iterdir()] == ["shard.json"]


def test_everything_is_on_the_disk_before_the_shard_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    names: dict[int, str] = {}
    real_open, real_sync, real_replace = os.open, os.fsync, os.replace

    def opened(path: Path, flags: int) -> int:
        number = real_open(path, flags)
        names[number] = Path(path).name
        return number

    def synced(number: int) -> None:
        done.append(names[number])
        real_sync(number)

    def replaced(source: Path, target: Path) -> None:
        done.append("renamed")
        real_replace(source, target)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    made(tmp_path)
    assert sorted(done[:2]) == ["a.png", "shard.json"]
    assert done[2:] == [SHARD.name, "renamed", "images"]


def hold(out: Path, told: Connection) -> None:
    """Claim a shard, and keep it until killed."""
    with claimed(out, SHARD.name, wait=True) as mine:
        told.send(mine)
        told.recv()


@pytest.fixture
def holder(tmp_path: Path) -> Callable[[], multiprocessing.process.BaseProcess]:
    def started() -> multiprocessing.process.BaseProcess:
        processes = multiprocessing.get_context("forkserver")
        mine, its = processes.Pipe()
        process = processes.Process(target=hold, args=(tmp_path, its), daemon=True)
        process.start()
        assert mine.poll(60)
        assert mine.recv() is True
        process.pipe = mine  # type: ignore[attr-defined]  # open as long as the process
        return process

    return started


@pytest.mark.slow
def test_a_shard_is_claimed_by_one_process_and_free_when_that_dies(
    tmp_path: Path, holder: Callable[[], multiprocessing.process.BaseProcess]
) -> None:
    process = holder()
    with claimed(tmp_path, SHARD.name, wait=False) as mine:
        assert not mine
    with claimed(tmp_path, "brain-00001", wait=False) as other:
        assert other
    process.kill()
    with claimed(tmp_path, SHARD.name, wait=True) as mine:
        assert mine
        with claimed(tmp_path, SHARD.name, wait=False) as twice:
            assert not twice
    with claimed(tmp_path, SHARD.name, wait=False) as mine:
        assert mine
    process.join()


def test_a_record_is_plain_json(tmp_path: Path) -> None:
    found = json.loads((made(tmp_path) / "shard.json").read_text())
    assert found == {"rows": [ROW.to_json()], "rejected": [{"index": 0, "attempt": 0, "fault": "black"}]}
