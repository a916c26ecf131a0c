"""Two processes give what one gives, but for the order of sums."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import together_run
import torch
from safetensors.torch import load_file

from fulora.training.processes import Processes, join_processes

pytestmark = pytest.mark.slow


def fork(port: int, *folders: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["fulora.diffusion.training.train", "together_run"])
    pair = [processes.Process(target=together_run.forked, args=(index, port, *folders)) for index in range(2)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(300)
    assert [process.exitcode for process in pair] == [0, 0]


def launch(port: int, *folders: Path) -> None:
    # `--cpu` starts one process only; this is what accelerate starts on GPUs, told to use the CPU
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port), "--num_cpu_threads_per_process", "1"]
    done = subprocess.run(
        [*command, together_run.__file__, *map(str, folders)],
        env=os.environ | {"ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("start", [fork, pytest.param(launch, marks=pytest.mark.heavy)])
def test_two_processes_give_what_one_gives(tmp_path: Path, backbone: Path, start: Callable[..., None]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (roll := tmp_path / "roll").mkdir()
    start(port, backbone, tmp_path / "two", roll)
    assert sorted(path.name for path in roll.iterdir()) == ["0 of 2", "1 of 2"]
    together_run.run(backbone, tmp_path / "one")
    one, two = (load_file(tmp_path / name / "lora.safetensors") for name in ("one", "two"))
    assert set(one) == set(two)
    for key, value in one.items():
        assert torch.allclose(value, two[key], rtol=1e-3, atol=1e-5), key
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for mine, theirs in zip(*rows, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["lora.safetensors", "metrics.jsonl"]


def test_a_single_process_does_not_communicate() -> None:
    alone = join_processes("cpu")
    assert (alone, alone.first) == (Processes(0, 1, torch.device("cpu")), True)
    parameter = torch.nn.Parameter(torch.zeros(2))
    alone.mean_gradients([parameter])
    assert parameter.grad is None
    assert alone.any(True)
    assert not alone.any(False)
    assert alone.mean(torch.tensor(2.0)) == 2
    alone.wait()


def test_only_the_first_process_writes() -> None:
    assert not Processes(1, 2, torch.device("cpu")).first
