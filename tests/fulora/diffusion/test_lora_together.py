"""Two processes give what one gives, but for the order of sums."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import together_run
import torch
from safetensors.torch import load_file

from fulora.processes import Processes, processes


def test_two_processes_give_what_one_gives(tmp_path: Path, backbone: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("accelerate")), "launch", "--cpu", "--num_processes", "2"]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", str(port), "--num_cpu_threads_per_process", "1"]
    script = Path(together_run.__file__)
    done = subprocess.run([*command, str(script), str(backbone), str(tmp_path / "two")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
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


def test_alone_nothing_is_exchanged() -> None:
    alone = processes("cpu")
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
