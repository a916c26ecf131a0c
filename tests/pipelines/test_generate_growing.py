"""`fulora generate` with a larger count: a set grows, and is then the set that would have been made at once."""

import json
from pathlib import Path
from typing import Any

import pytest
from command_inside import QUICK, called, pictures, tree

from fulora.data.image_set import ImageSet
from fulora.diffusion.sets import generation, shard_writer
from fulora.diffusion.sets.job import is_complete
from fulora.diffusion.sets.shard_writer import make_shard, write_image
from fulora.integrity import LIST

SET = ("generate", "--plane", "brain", "--plane", "femur", "--seed", "3", *QUICK)
THREE, SIX = ((*SET, "--count", count) for count in ("3", "6"))


def digests(folder: Path) -> dict[str, str]:
    """The digest of every file in the list of a set, less those of where its weights are and of the commit."""
    files = json.loads((folder / LIST).read_text())["files"]
    return {name: digest for name, (_, _, digest) in files.items() if name not in (".sources.json", "generation.json")}


def same(folder: Path) -> dict[str, bytes]:
    return tree(folder) | {".sources.json": b""}  # where the backbone is, seen from the folder


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of each of two planes, made at once."""
    out = tmp_path_factory.mktemp("six") / "set"
    assert called(*SIX, "--out", out).code == 0
    return out


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three of each, in a full shard and a half one."""
    out = tmp_path / "set"
    assert called(*THREE, "--out", out).code == 0
    return out


def test_a_grown_set_is_that_made_at_once(three: Path, six: Path) -> None:
    before = pictures(three)
    full = three / "train" / "images" / "brain-00000"
    stamp = full.stat().st_ino, full.stat().st_mtime_ns
    done = called(*SIX, "--out", three)
    assert (done.code, done.stdout) == (0, f"{three}\n")
    assert "grows from 3 to 6 images of each class" in done.stderr
    assert (full.stat().st_ino, full.stat().st_mtime_ns) == stamp
    assert same(three) == same(six)
    assert digests(three) == digests(six)
    assert len(before) == 6
    assert before.items() <= pictures(three).items()
    assert called("verify", three).code == 0
    assert called(*SIX, "--out", three).stderr == ""  # there is nothing left to do


def test_images_that_a_set_has_are_not_generated_again(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def write(path: Path, *args: Any) -> None:
        made.append(path.name)
        write_image(path, *args)

    monkeypatch.setattr(shard_writer, "write_image", write)
    assert called(*SIX, "--out", three).code == 0
    assert sorted(made) == [f"synthetic_{plane}_0000{i}.png" for plane in ("brain", "femur") for i in (3, 4, 5)]


def test_a_killed_run_goes_on_and_the_old_set_stays_readable(
    three: Path, six: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ImageSet(three, "").rows()
    calls = 0

    def stopped(*args: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        make_shard(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(generation, "make_shard", stopped)
        assert called(*SIX, "--out", three).code != 0
    assert not is_complete(three)
    images = ImageSet(three, "")
    assert images.rows() == rows
    assert all(images.pixels(row).shape == (64, 64) for row in rows)
    assert "a set can grow, not shrink" in called(*THREE, "--out", three).stderr
    assert called(*SIX, "--out", three).code == 0
    assert same(three) == same(six)


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--processes", "2")])
def test_fewer_images_or_other_settings_are_refused(six: Path, more: tuple[str, ...]) -> None:
    before = same(six)
    fewer = called(*SET, "--count", "5", "--out", six, *more)
    other = called(*SET, "--count", "8", "steps=3", "--out", six, *more)
    assert (fewer.code, other.code) == (2, 2)
    assert (
        f"fulora: {six}: holds a set with 6 images of each class, and 5 are fewer; a set can grow, not shrink: give "
        "another folder, or at least as many images" in fewer.stderr
    )
    assert f"{six}: holds another set, with config.steps=2 instead of 3; give another folder" in other.stderr
    assert same(six) == before


def test_a_damaged_set_does_not_grow(three: Path) -> None:
    (three / "train" / "images" / "brain-00000" / "synthetic_brain_00001.png").write_bytes(b"damaged")
    done = called(*SIX, "--out", three)
    assert done.code == 2
    assert "synthetic_brain_00001.png" in done.stderr
    assert is_complete(three)
    assert called(*THREE, "--out", three).code == 2


def test_processes_let_a_set_grow_together(three: Path, six: Path) -> None:
    assert called(*SIX, "--out", three, "--shard", "1/2").code == 0
    assert not is_complete(three)
    done = called(*SIX, "--out", three, "--shard", "0/2")
    assert (done.code, done.stdout) == (0, f"{three}\n")
    assert same(three) == same(six)
