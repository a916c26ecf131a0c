"""kill -9 at many steps: the weights end bit for bit as those of a run that nobody disturbed."""

import multiprocessing
from pathlib import Path

import killed_run
import pytest

pytestmark = pytest.mark.slow

PRELOADED = ["fulora.diffusion.training.train", "fulora.diffusion.models.loading", "killed_run"]

KILLS = ((2, "before"), (4, "after"), (5, "writing"), (9, "before"), (10, "writing"))


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path, backbone: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(PRELOADED)

    def start(out: Path, dies_at: int | None, where: str) -> int | None:
        process = processes.Process(target=killed_run.run, args=(backbone, out, dies_at, where))
        process.start()
        process.join(300)
        return process.exitcode

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole, None, "") == 0
    for step, where in KILLS:
        assert start(killed, step, where) == -9
    assert start(killed, None, "") == 0
    for name in ("lora.safetensors", "metrics.jsonl"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(path.name for path in killed.iterdir()) == ["lora.safetensors", "metrics.jsonl"]
