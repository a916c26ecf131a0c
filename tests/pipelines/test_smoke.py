"""The smoke study, as a user runs it: to its end, again, with an artifact gone, and killed in the middle."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forked import ROOT, Forked

pytestmark = pytest.mark.slow


def start(work: Path) -> Forked:
    return Forked("run", "smoke", "--work", work, "--json")


def finish(process: Forked) -> list[dict[str, object]]:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def digests(work: Path) -> dict[str, str]:
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in sorted(work.glob("*/stage.json"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("smoke") / "work"
    lines = finish(start(work))
    assert Path(str(lines[-1]["result"])).name == "report.html"
    return work


def test_every_stage_left_a_finished_artifact(finished: Path) -> None:
    assert len(digests(finished)) == 40
    assert not list(finished.glob(".*.partial"))


def test_the_report_says_what_it_is(finished: Path) -> None:
    page = next(finished.glob("report-*/report.html")).read_text(encoding="utf-8")
    assert "Research use only" in page
    assert page.count("data:image/png") > 15
    assert 'src="http' not in page


def test_a_second_run_computes_nothing(finished: Path) -> None:
    before = digests(finished)
    lines = finish(start(finished))
    assert all(line["cached"] for line in lines[:-1])
    assert digests(finished) == before


def test_without_one_artifact_only_it_and_what_hangs_on_it_run(finished: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(finished, work)
    shutil.rmtree(next(work.glob("train_unet-*")))
    ran = {line["stage"] for line in finish(start(work))[:-1] if not line["cached"]}
    assert ran == {"train_unet", "segment", "measure", "score_masks", "report"}
    assert digests(work) == digests(finished)


def test_killed_in_the_middle_it_ends_with_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for stage in ("curate", "train_lora", "generate", "train_classifier", "train_unet", "report"):
        process = start(work)
        kill_during(process, work, stage)
    finish(start(work))
    assert digests(work) == digests(finished)


def kill_during(process: Forked, work: Path, stage: str) -> None:
    """SIGKILL as soon as the stage has begun to fill its scratch folder."""
    deadline = time.monotonic() + 300
    while not any(any(folder.rglob("*")) for folder in work.glob(f".{stage}-*.partial")):
        assert process.poll() is None, f"ended before {stage} was seen: {process.communicate()[1]}"
        assert time.monotonic() < deadline, f"{stage} did not begin in time"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_notebook_reads_a_finished_run(finished: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--nbmake", "notebooks/read_a_run.ipynb", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"FULORA_WORK": str(finished)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
