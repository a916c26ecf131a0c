"""`fulora generate --processes`: the bytes of one process, whatever dies, and nobody left behind."""

import io
import os
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from command_inside import QUICK, called, tree
from forked import Forked

from fulora import progress
from fulora.data.label_set import LabelSet
from fulora.diffusion.sampling.config import GenerateConfig, resolve_config
from fulora.diffusion.sampling.inputs import GenerationInputs
from fulora.diffusion.sampling.recipe import BackboneUsed
from fulora.diffusion.sets import processes
from fulora.diffusion.sets.job import GenerationJob
from fulora.diffusion.sets.processes import ProcessError, generate_in_processes
from fulora.diffusion.sets.shards import shards_of
from fulora.environment import cores

pytestmark = pytest.mark.slow

SHARDS = 10
MANY = ("generate", "--plane", "brain", "--count", str(2 * SHARDS), "--seed", "1", *QUICK, "steps=6")
"""Ten shards, some four seconds of drawing on one core."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process draws."""
    folder = tmp_path_factory.mktemp("alone") / "set"
    assert called(*MANY, "--out", folder).code == 0
    return tree(folder)


def start(*arguments: str | Path) -> Forked:
    """The command, in a group of its own as a terminal would start it."""
    return Forked(*arguments, session=True)


def seen(parent: Forked, happened: Callable[[], bool]) -> list[psutil.Process]:
    """The processes that a command started, as soon as something has happened."""
    deadline = time.monotonic() + 100
    while not happened():
        assert parent.poll() is None, parent.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return psutil.Process(parent.pid).children(recursive=True)


def both_at_it(parent: Forked) -> Callable[[], bool]:
    """Whether two processes were started and compute, though none may have drawn yet."""

    def happened() -> bool:
        children = psutil.Process(parent.pid).children(recursive=True)
        return len(children) == 2 and all(child.cpu_times().user > 0.3 for child in children)

    return happened


def more_than(out: Path, count: int) -> Callable[[], bool]:
    return lambda: len(list((out / "train" / "images").glob("brain-*"))) > count


def test_stopped_interrupted_hung_up_and_one_process_killed_it_ends_with_the_same_bytes(
    tmp_path: Path, alone: dict[str, bytes]
) -> None:
    out = tmp_path / "set"
    command = (*MANY, "--processes", "2", "--out", out)

    for sent, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")):  # as a closed terminal sends
        stopped = start(*command)
        children = seen(stopped, both_at_it(stopped))
        stopped.send_signal(sent)
        said = stopped.communicate(timeout=60)
        assert (stopped.returncode, said[0]) == (75, "")
        assert said[1].endswith(f"fulora: stopped by {name}; the same command continues where this one stopped\n")
        assert not any(child.is_running() for child in children)

    interrupted = start(*command)
    children = seen(interrupted, more_than(out, 1))
    assert len(children) == 2
    os.killpg(interrupted.pid, signal.SIGINT)  # as Ctrl-C does
    said = interrupted.communicate(timeout=60)
    assert (interrupted.returncode, said[0]) == (130, "")
    assert said[1].endswith("fulora: interrupted; the same command continues where this one stopped\n")
    assert "Traceback" not in said[1]
    assert not any(child.is_running() for child in children)
    there = len(list((out / "train" / "images").iterdir()))
    assert 1 < there < SHARDS

    robbed = start(*command)
    children = seen(robbed, more_than(out, there + 1))
    children[0].kill()
    said = robbed.communicate(timeout=60)
    assert (robbed.returncode, said[0]) == (0, f"{out}\n")
    assert "a process failed, and the others did its work: exit code -9" in said[1]
    assert tree(out) == alone


def test_when_all_fail_the_first_ones_message_is_shown(tmp_path: Path) -> None:
    long = "prompts.brain=" + "a long prompt about a fetal brain " * 20
    failed = called(*MANY, long, "--processes=2", "--out", tmp_path / "set")
    assert (failed.code, failed.stdout) == (2, "")
    *meter, message = failed.stderr.splitlines()
    assert message.startswith("fulora: all 2 processes failed. The first said: 'a long prompt ")
    assert message.endswith(" has 342 tokens, the backbone reads 32; shorten it")
    assert all("synthetic: 0 of" in line for line in meter)  # a meter tells of itself where the machine is busy


# --- by hand, without processes


class Ended:
    """A process that has ended."""

    def __init__(self, returncode: int) -> None:
        self.returncode = returncode

    def poll(self) -> int:
        return self.returncode


@pytest.fixture
def done(tmp_path: Path) -> GenerationJob:
    """A set of two shards, both complete."""
    labels = LabelSet.derived(["kidney"])
    cfg = resolve_config(GenerateConfig(per_class=4, batch_size=2, shard_batches=1), labels)
    used = BackboneUsed(name="demo", digest="0" * 16)
    for shard in shards_of(cfg):
        shard.folder(tmp_path).mkdir(parents=True)
        for name in ("shard.json", *(f"{index}.png" for index in range(len(shard)))):
            (shard.folder(tmp_path) / name).write_text("{}")
    return GenerationJob(tmp_path, cfg, GenerationInputs("demo", used), labels)


def ended(*codes: tuple[int, str]) -> Any:
    @contextmanager
    def children(command: list[str], count: int) -> Any:
        assert (command, count) == (["draw"], len(codes))
        yield [(Ended(code), io.BytesIO(said.encode())) for code, said in codes]

    return children


def test_all_shards_are_not_yet_a_set(done: GenerationJob, monkeypatch: pytest.MonkeyPatch) -> None:
    full = (2, "a note\nfulora: the disk is full\n")  # in the manifest, after the last shard
    monkeypatch.setattr(processes, "_children", ended(full, (2, "fulora: something else\n")))
    with pytest.raises(ProcessError, match=r"^all 2 processes failed\. The first said: the disk is full$"):
        generate_in_processes(done, ["draw"], 2)
    monkeypatch.setattr(processes, "_children", ended((-9, ""), (-9, "")))
    with pytest.raises(ProcessError, match=r"The first said: exit code -9$"):
        generate_in_processes(done, ["draw"], 2)


def test_one_that_fails_is_a_note_when_another_did_its_work(
    done: GenerationJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    monkeypatch.setattr(processes, "_children", ended((2, "fulora: no memory\n"), (0, "")))
    generate_in_processes(done, ["draw"], 2)
    assert notes == ["a process failed, and the others did its work: no memory"]


def test_each_process_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def gpus(count: int) -> list[str]:
        return [processes._environment(number, count)["CUDA_VISIBLE_DEVICES"] for number in range(count)]

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus(3) == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert gpus(2) == ["5", "7"]


def test_without_gpus_each_has_its_share_of_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = processes._environment(0, 2)
    assert found["OMP_NUM_THREADS"] == str(max(1, cores() // 2))
    assert found.get("CUDA_VISIBLE_DEVICES") == os.environ.get("CUDA_VISIBLE_DEVICES")
    assert processes._environment(0, 1000)["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert processes._environment(0, 2)["OMP_NUM_THREADS"] == "3"
