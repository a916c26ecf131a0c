"""kill -9 at many calls of the file system, and parts by several processes: always the same bytes in the folder."""

import json
import multiprocessing
import random
import shutil
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import generation_run
import pytest
from generation_run import tree

pytestmark = pytest.mark.slow

PRELOADED = ["fulora.diffusion.sets.generation", "generation_run"]
KILLED = -9

Start = Callable[..., BaseProcess]
Whole = tuple[dict[str, bytes], int, float]


@pytest.fixture(scope="module")
def start(backbone: Path) -> Start:
    """Starts `generation_run.run` in a process of its own."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)

    def started(out: Path, *arguments: object) -> BaseProcess:
        process = processes.Process(target=generation_run.run, args=(backbone, out, *arguments))
        process.start()
        return process

    return started


def ended(process: BaseProcess) -> int | None:
    process.join(120)
    return process.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, start: Start) -> Whole:
    """The set that nobody disturbed, how many calls of the file system it took, and seconds."""
    folder = tmp_path_factory.mktemp("whole")
    assert ended(start(folder / "set", (0, 1), 0, folder / "calls")) == 0
    begun = time.monotonic()
    assert ended(start(folder / "again")) == 0
    assert tree(folder / "again") == tree(folder / "set")
    return tree(folder / "set"), int((folder / "calls").read_text()), time.monotonic() - begun


def test_parts_in_any_order_are_one_run(tmp_path: Path, start: Start, whole: Whole) -> None:
    for part in (2, 0, 1):
        assert not (tmp_path / "set" / "gate.json").exists()
        assert ended(start(tmp_path / "set", (part, 3))) == 0
    assert tree(tmp_path / "set") == whole[0]


@pytest.mark.parametrize("parts", [[(0, 1)] * 2, [(1, 3), (2, 3), (0, 3)]], ids=["all of it twice", "thirds"])
def test_several_processes_at_once_are_one_run(
    tmp_path: Path, start: Start, whole: Whole, parts: list[tuple[int, int]]
) -> None:
    running = [start(tmp_path / "set", part) for part in parts]
    assert [ended(process) for process in running] == [0] * len(parts)
    assert tree(tmp_path / "set") == whole[0]


def test_a_run_killed_at_any_call_ends_with_the_same_bytes(tmp_path: Path, start: Start, whole: Whole) -> None:
    """The first calls, the last ones, and some between, each in a folder of its own."""
    expected, calls, _ = whole
    drawn = random.Random(5).sample(range(6, calls - 12), 3)
    for dies_at in [2, 5, *drawn, *range(calls - 12, calls, 2)]:
        out = tmp_path / "set"
        assert ended(start(out, (0, 1), dies_at)) == KILLED
        assert ended(start(out)) == 0
        assert tree(out) == expected, dies_at
        shutil.rmtree(out)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path, start: Start, whole: Whole) -> None:
    expected, _, seconds = whole
    draw = random.Random(11)
    for _ in range(4):  # by the clock, in the middle of a file too
        process = start(tmp_path / "set")
        time.sleep(draw.uniform(0.3, 1) * seconds)
        process.kill()
        assert ended(process) in (KILLED, 0)
    for _ in range(4):
        assert ended(start(tmp_path / "set", (0, 1), draw.randrange(5, 60))) in (KILLED, 0)
    assert ended(start(tmp_path / "set")) == 0
    assert tree(tmp_path / "set") == expected


def test_a_run_killed_while_it_puts_together_a_set_with_equal_pictures(tmp_path: Path, start: Start) -> None:
    """Two shards of four are made anew then: at any of their calls, the set is the same in the end."""
    assert ended(start(tmp_path / "whole", (0, 1), 0, tmp_path / "calls", True)) == 0
    expected, calls = tree(tmp_path / "whole"), int((tmp_path / "calls").read_text())
    assert json.loads(expected["gate.json"])["drawn"] == 8 + 2
    out = tmp_path / "set"
    for dies_at in random.Random(3).sample(range(calls // 2, calls - 15), 3):
        assert ended(start(out, (0, 1), dies_at, None, True)) == KILLED
        assert ended(start(out, (0, 1), 0, None, True)) == 0
        assert tree(out) == expected, dies_at
        shutil.rmtree(out)


def test_two_processes_one_of_which_is_killed_are_one_run(tmp_path: Path, start: Start, whole: Whole) -> None:
    for dies_at in (10, 30):
        out = tmp_path / str(dies_at) / "set"
        one, two = start(out, (0, 1), dies_at), start(out)
        assert (ended(one), ended(two)) == (KILLED, 0)
        assert {**tree(out), ".sources.json": b""} == {**whole[0], ".sources.json": b""}
