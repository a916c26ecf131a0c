"""What a study prints while it runs: starts, times, and the time left where it is known."""

import json
from pathlib import Path

import pytest

from fulora import progress
from fulora.config import Config
from fulora.engine import InProcess
from fulora.files import partial_folder
from fulora.stage import Artifact, stage
from fulora.workspace import Workspace
from pipelines.commands.study_progress import StudyProgress, describe_time_left


class SeedConfig(Config):
    seed: int = 0


@stage(version=1, resumes=True)
def learn(out: Path, config: SeedConfig) -> Artifact:
    (out / "weights").write_text(str(config.seed))
    return Artifact(out, "")


@stage(version=1)
def look(out: Path, config: SeedConfig, models: list[Artifact]) -> Artifact:
    (out / "page").write_text(str(len(models)))
    return Artifact(out, "")


def study(work: Workspace) -> Artifact:
    models = work.each({f"seed {seed}": learn.call(SeedConfig(seed=seed)) for seed in range(3)})
    return work.run(look, SeedConfig(), models=list(models.values()))


def lines_of(work: Path, capsys: pytest.CaptureFixture[str], **options: bool) -> list[str]:
    """What a run prints on standard error, without folders."""
    plan = Workspace(work, InProcess(), plan=True)
    study(plan)
    shown = StudyProgress(plan.steps, **{"one_by_one": True, "as_json": False, "quiet": False} | options)
    study(Workspace(work, InProcess(), begin=shown.begin, report=shown.report))
    captured = capsys.readouterr()
    assert options.get("as_json") or captured.out == ""
    return [line.split("  /")[0].rstrip() for line in captured.err.splitlines()]


def test_a_stage_that_starts_is_announced_with_the_time_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = lines_of(tmp_path, capsys)
    starts = [" ".join(line.split()) for line in lines if "start" in line]
    assert starts == [
        "1/4 learn (seed 0) starts",
        "2/4 learn (seed 1) starts; about 0 s for 2 of the 3 stages left",
        "3/4 learn (seed 2) starts; about 0 s for 1 of the 2 stages left",
        "4/4 look starts",
    ]
    assert [line.split()[:2] for line in lines if "start" not in line] == [
        ["1/4", "learn"],
        ["2/4", "learn"],
        ["3/4", "learn"],
        ["4/4", "look"],
    ]
    assert not [line for line in lines_of(tmp_path, capsys) if "start" in line]  # all are cached


def test_a_stopped_stage_continues_and_a_stale_one_starts_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines_of(tmp_path, capsys)
    made = learn.call(SeedConfig(seed=1))
    folder = tmp_path / f"learn-{made.fingerprint()}"
    folder.rename(partial_folder(folder))
    (partial_folder(folder) / "stage.json").unlink()
    starts = [
        " ".join(line.split())
        for line in lines_of(tmp_path, capsys, one_by_one=False)
        if "start" in line or "continues" in line
    ]
    assert starts[0] == "3/4 learn (seed 1) continues where it was stopped"
    assert starts[1].startswith("4/4 look starts again: its input 'models.1' is newer")
    page = next(tmp_path.glob("look-*"))
    page.rename(partial_folder(page))
    (partial_folder(page) / "stage.json").unlink()
    assert " ".join(lines_of(tmp_path, capsys)[3].split()) == "4/4 look was stopped, starts again"


def test_quiet_and_json_print_no_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.silent():
        assert lines_of(tmp_path / "quiet", capsys, quiet=True) == []
        plan = Workspace(tmp_path / "json", InProcess(), plan=True)
        study(plan)
        shown = StudyProgress(plan.steps, one_by_one=True, as_json=True, quiet=False)
        study(Workspace(tmp_path / "json", InProcess(), begin=shown.begin, report=shown.report))
    captured = capsys.readouterr()
    assert captured.err == ""
    assert [json.loads(line)["label"] for line in captured.out.splitlines()][-1] == "look"


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (["train", "train"], "about 40 s left"),
        (["train", "score"], "about 20 s for 1 of the 2 stages left"),
        (["score"], ""),
        ([], ""),
    ],
)
def test_only_the_time_that_is_known_is_told(stages: list[str], words: str) -> None:
    assert describe_time_left(stages, {"train": [10.0, 30.0]}) == words
