"""The workspace: each artifact once, complete or absent, whoever makes it and whenever the process dies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import pytest

from fulora.config import Config, Runtime
from fulora.engine import Engine, InProcess, ProcessCache
from fulora.files import partial_folder
from fulora.integrity import LIST, content_digest
from fulora.stage import RECORD, Artifact, Call, MissingInputError, Parts, Stage, read_record, stage
from fulora.workspace import ReachedError, Step, Workspace, make_part

T = TypeVar("T")
R = TypeVar("R")
ran: list[str] = []


class NumberConfig(Config):
    value: int = 1
    fails_at: Annotated[int | None, Runtime] = None


@dataclass(frozen=True)
class Number(Artifact):
    def read(self) -> int:
        return int((self.path / "number").read_text())


def not_negative(config: NumberConfig) -> None:
    if config.value < 0:
        raise ValueError(f"value {config.value} is negative")


@stage(version=1, check=not_negative)
def give(out: Path, config: NumberConfig) -> Number:
    ran.append("give")
    (out / "number").write_text(str(config.value))
    return Number(out, "")


@stage(version=1)
def double(out: Path, number: Number) -> Number:
    ran.append("double")
    (out / "number").write_text(str(2 * number.read()))
    return Number(out, "")


@stage(version=1)
def total(out: Path, numbers: Sequence[Number], named: Mapping[str, Number]) -> Number:
    ran.append("total")
    (out / "number").write_text(str(sum(item.read() for item in (*numbers, *named.values()))))
    return Number(out, "")


@stage(version=1, resumes=True)
def climb(out: Path, config: NumberConfig) -> Number:
    """Counts to 5, a file a step; what is there already is not done again."""
    return _steps(out, config)


@stage(version=1)
def climb_anew(out: Path, config: NumberConfig) -> Number:
    return _steps(out, config)


def _steps(out: Path, config: NumberConfig) -> Number:
    for step in range(5):
        if not (out / f"step{step}").exists():
            if step == config.fails_at:
                raise RuntimeError(f"failed at {step}")
            ran.append(f"step {step}")
            (out / f"step{step}").write_text("done")
    (out / "number").write_text(str(config.value))
    return Number(out, "")


@stage(version=1, resumes=True)
def climb_on(out: Path, config: NumberConfig, base: Number) -> Number:
    return _steps(out, config)


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def workspace(root: Path, *, plan: bool = False) -> Workspace:
    return Workspace(root, InProcess(), plan=plan)


def study(work: Workspace, value: int = 1) -> Number:
    """value -> doubled twice -> summed, with one number that hangs on nothing else."""
    calls = {name: give.call(NumberConfig(value=value + n)) for n, name in enumerate("ab")}
    first, apart = work.each(calls).values()
    twice = work.run(double, first)
    return work.run(total, [first, twice], {"apart": apart})


def states(root: Path) -> dict[str, str]:
    plan = workspace(root, plan=True)
    study(plan)
    return {step.label: step.state for step in plan.steps}


def test_an_artifact_is_made_once(tmp_path: Path) -> None:
    first = workspace(tmp_path).run(give, NumberConfig(value=7))
    again = workspace(tmp_path).run(give, NumberConfig(value=7, fails_at=3))
    assert ran == ["give"]
    assert first == again
    assert first.read() == 7
    assert first.path == tmp_path / f"give-{first.fingerprint}"
    assert first.made


def test_another_config_or_version_is_another_folder(tmp_path: Path) -> None:
    work = workspace(tmp_path)
    one, two = work.run(give, NumberConfig(value=1)), work.run(give, NumberConfig(value=2))
    newer = work.run(Stage(give.function, 2, resumes=False, check=None), NumberConfig(value=1))
    assert len({one.path, two.path, newer.path}) == 3
    assert work.run(double, one).path != work.run(double, two).path
    assert (one.read(), two.read()) == (1, 2)


def test_a_study_runs_in_order_and_then_not_again(tmp_path: Path) -> None:
    assert study(workspace(tmp_path)).read() == 5
    assert ran == ["give", "give", "double", "total"]
    ran.clear()
    assert study(workspace(tmp_path)).read() == 5
    assert ran == []


def test_the_record_says_what_made_the_artifact(tmp_path: Path) -> None:
    made = study(workspace(tmp_path))
    record = read_record(made.path)
    assert record["stage"] == record["label"] == "total"
    assert record["fingerprint"] == made.fingerprint
    assert record["artifact"] == "Number"
    assert set(record["inputs"]) == set(record["input_folders"]) == {"numbers.0", "numbers.1", "named.apart"}
    assert all(read_record(tmp_path / record["input_folders"][k])["made"] == v for k, v in record["inputs"].items())
    assert record["identity"]["version"] == 1
    assert record["seconds"] < 60
    assert "torch" in record["versions"]


def test_equal_content_has_an_equal_digest_whenever_it_was_made(tmp_path: Path) -> None:
    one, two = (read_record(study(workspace(tmp_path / name)).path) for name in "ab")
    assert one["digest"] == two["digest"]
    assert one["made"] != two["made"]


def test_removing_an_artifact_runs_it_and_what_hangs_on_it(tmp_path: Path) -> None:
    made = study(workspace(tmp_path))
    shutil.rmtree(next(tmp_path.glob("double-*")))
    assert states(tmp_path) == {"give (a)": "ready", "give (b)": "ready", "double": "missing", "total": "stale"}
    before = read_record(made.path)
    ran.clear()
    study(workspace(tmp_path))
    assert ran == ["double", "total"]
    after = read_record(made.path)
    assert before["digest"] == after["digest"]
    assert set(states(tmp_path).values()) == {"ready"}


def test_an_artifact_made_again_makes_its_dependents_stale_in_a_later_run_too(tmp_path: Path) -> None:
    study(workspace(tmp_path))
    one = next(path for path in tmp_path.glob("give-*") if Number(path, "").read() == 1)
    shutil.rmtree(one)
    workspace(tmp_path).run(give, NumberConfig(value=1))
    ran.clear()
    assert states(tmp_path)["double"] == states(tmp_path)["total"] == "stale"
    study(workspace(tmp_path))
    assert ran == ["double", "total"]


def test_what_is_far_down_the_line_is_foreseen_to_run_again(tmp_path: Path) -> None:
    def line(work: Workspace) -> None:
        number = work.run(give, NumberConfig())
        for _ in range(3):
            number = work.run(double, number)

    line(workspace(tmp_path))
    shutil.rmtree(next(tmp_path.glob("give-*")))
    plan = workspace(tmp_path, plan=True)
    line(plan)
    assert [step.state for step in plan.steps] == ["missing", "stale", "stale", "stale"]
    ran.clear()
    line(workspace(tmp_path))
    assert ran == ["give", "double", "double", "double"]


def test_planning_runs_nothing_and_writes_nothing(tmp_path: Path) -> None:
    assert set(states(tmp_path / "work").values()) == {"missing"}
    assert ran == []
    assert not (tmp_path / "work").exists()


def test_a_plan_tells_what_is_interrupted_and_whose_code_changed(tmp_path: Path) -> None:
    made = study(workspace(tmp_path))
    os.replace(made.path, partial_folder(made.path))
    (partial_folder(made.path) / "stage.json").unlink()
    assert states(tmp_path)["total"] == "partial"
    record = next(tmp_path.glob("double-*")) / "stage.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"code": "another"}))
    plan = workspace(tmp_path, plan=True)
    study(plan)
    notes = {step.label: step.note for step in plan.steps}
    assert "code has changed since" in notes["double"]
    assert "will continue" in notes["total"]
    assert states(tmp_path)["double"] == "ready"


def test_every_step_is_reported(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []

    def tell(step: Step, seconds: float) -> None:
        told.append((step.label, step.state))

    study(Workspace(tmp_path, InProcess(), report=tell))
    study(Workspace(tmp_path, InProcess(), report=tell))
    labels = ["give (a)", "give (b)", "double", "total"]
    assert told == [(label, state) for state in ("missing", "ready") for label in labels]


def test_a_step_is_announced_before_it_is_made(tmp_path: Path) -> None:
    order: list[str] = []
    for _ in range(2):
        study(
            Workspace(
                tmp_path,
                InProcess(),
                begin=lambda step: order.append(f"{step.label} begins, {len(ran)} have run"),
                report=lambda step, seconds: order.append(step.label),
            )
        )
    labels = ["give (a)", "give (b)", "double", "total"]
    first = [line for number, label in enumerate(labels) for line in (f"{label} begins, {number} have run", label)]
    assert order == [*first, *labels], "what is ready does not begin"


def test_a_failure_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="failed at 2"):
        workspace(tmp_path).run(climb, NumberConfig(fails_at=2))
    assert not list(tmp_path.glob("climb-*"))
    assert not list(tmp_path.rglob("stage.json"))
    plan = workspace(tmp_path, plan=True)
    plan.run(climb, NumberConfig())
    assert plan.steps[0].state == "partial"


def test_a_resuming_stage_continues_and_another_starts_clean(tmp_path: Path) -> None:
    for each in (climb, climb_anew):
        with pytest.raises(RuntimeError, match="failed at 2"):
            workspace(tmp_path).run(each, NumberConfig(fails_at=2))
        ran.clear()
        made = workspace(tmp_path).run(each, NumberConfig())
        assert ran == [f"step {n}" for n in (range(2, 5) if each.resumes else range(5))]
        assert {path.name for path in made.path.iterdir()} == {*(f"step{n}" for n in range(5)), "number", RECORD, LIST}
    assert not list(tmp_path.glob(".*.partial"))


def test_a_stale_artifact_is_replaced_whole_even_after_a_kill_between_the_renames(tmp_path: Path) -> None:
    study(workspace(tmp_path))
    (folder,) = tmp_path.glob("total-*")
    (folder / "left over").write_text("of the first making")
    old = folder.with_name(f".{folder.name}.partial.old")
    old.mkdir()
    (old / "number").write_text("of a process killed before")
    shutil.rmtree(next(iter(tmp_path.glob("double-*"))))
    study(workspace(tmp_path))
    assert {path.name for path in folder.iterdir()} == {"number", RECORD, LIST}
    assert not list(tmp_path.glob(".*.old"))
    assert set(states(tmp_path).values()) == {"ready"}


def test_work_begun_on_an_input_is_not_continued_on_another_making_of_it(tmp_path: Path) -> None:
    """Weights half trained on images that were made again since would belong to neither."""
    for made_again in (False, True):
        base = workspace(tmp_path).run(give, NumberConfig())
        with pytest.raises(RuntimeError, match="failed at 2"):
            workspace(tmp_path).run(climb_on, NumberConfig(fails_at=2), base=base)
        if made_again:
            shutil.rmtree(base.path)
            base = workspace(tmp_path).run(give, NumberConfig())
        ran.clear()
        made = workspace(tmp_path).run(climb_on, NumberConfig(), base=base)
        assert ran == [f"step {n}" for n in range(0 if made_again else 2, 5)]
        shutil.rmtree(made.path)


def test_the_checks_of_all_stages_speak_at_once_and_before_any_runs(tmp_path: Path) -> None:
    workspace(tmp_path).run(give, NumberConfig(value=-9))
    ran.clear()
    plan = workspace(tmp_path, plan=True)
    plan.each({value: give.call(NumberConfig(value=value)) for value in (-1, 3, -2, -9)})
    with pytest.raises(ValueError, match=r"^value -1 is negative\nvalue -2 is negative$"):
        plan.checked()
    assert ran == []
    fine = workspace(tmp_path, plan=True)
    fine.run(give, NumberConfig())
    fine.checked()


def test_a_missing_input_says_what_to_place_where(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"gone: not found\. Put the heads there\."):
        workspace(tmp_path).read(tmp_path / "gone", hint="Put the heads there.")
    with pytest.raises(MissingInputError, match=r"gone: not found\.$"):
        workspace(tmp_path).read(tmp_path / "gone")


def test_outside_data_enter_by_their_content(tmp_path: Path) -> None:
    data, cache = tmp_path / "data", tmp_path / "work" / ".digests.json"
    data.mkdir()
    (data / "a").write_text("1")
    first = content_digest(data, cache)
    assert content_digest(data, cache) == first == content_digest(data, tmp_path / "other.json")
    seen = {first}
    (data / "a").write_text("2 and more")
    seen.add(content_digest(data, cache))
    (data / "sub").mkdir()
    (data / "sub" / "b").write_text("1")
    seen.add(content_digest(data, cache))
    (data / "sub" / "b").rename(data / "sub" / "c")
    seen.add(content_digest(data, cache))
    assert len(seen) == 4
    moved = shutil.copytree(data, tmp_path / "moved")
    assert content_digest(moved, cache) == content_digest(data, cache)
    source = workspace(tmp_path / "work").read(data)
    assert source.fingerprint == source.made == content_digest(data, cache)[:16]


def test_a_single_file_has_a_digest_too(tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    file.write_bytes(b"one")
    first = content_digest(file, tmp_path / "cache.json")
    file.write_bytes(b"other")
    assert content_digest(file, tmp_path / "cache.json") != first


STUDY = """
import os, sys, time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from fulora.config import Config
from fulora.engine import InProcess
from fulora.stage import Artifact, stage
from fulora.workspace import Workspace

class Slow(Config):
    files: int = 20

@dataclass(frozen=True)
class Files(Artifact):
    pass

def _fill(out, config):
    for n in range(config.files):
        if not (out / str(n)).exists():
            (out / f"{n}.by.{os.getpid()}").write_text("")
            (out / str(n)).write_text(str(os.getpid()))
        time.sleep(float(sys.argv[3]))
    return Files(out, "")

@stage(version=1, resumes=True)
def resuming(out: Path, config: Slow) -> Files:
    return _fill(out, config)

@stage(version=1)
def starting_anew(out: Path, config: Slow) -> Files:
    return _fill(out, config)

print(Workspace(Path(sys.argv[1]), InProcess()).run(globals()[sys.argv[2]], Slow()).path, flush=True)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "study.py"
    path.write_text(STUDY)
    return path


def start(script: Path, which: str, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(script), str(script.parent / "work"), which, str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> Path:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return Path(out.strip())


def makers(folder: Path) -> set[str]:
    return {(folder / str(n)).read_text() for n in range(20)}


@pytest.mark.slow
@pytest.mark.parametrize("which", ["resuming", "starting_anew"])
def test_a_killed_process_leaves_what_a_second_one_can_finish(script: Path, which: str) -> None:
    work, process = script.parent / "work", start(script, which, 0.2)
    deadline = time.monotonic() + 30
    while not list(work.glob(f".{which}-*.partial/3")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(work.glob(f"{which}-*"))
    assert not list(work.rglob("stage.json"))
    again = start(script, which, 0)
    folder = finished(again)
    assert makers(folder) == ({str(process.pid), str(again.pid)} if which == "resuming" else {str(again.pid)})
    assert not list(work.glob(".*.partial"))


@pytest.mark.slow
@pytest.mark.parametrize("which", ["resuming", "starting_anew"])
def test_two_processes_make_one_complete_folder(script: Path, which: str) -> None:
    both = [start(script, which, 0.02) for _ in range(2)]
    folder, same = (finished(process) for process in both)
    assert folder == same
    assert read_record(folder)["made"]
    assert len(makers(folder)) == 1
    assert len({path.name.split(".by.")[1] for path in folder.glob("*.by.*")}) == 1


def test_a_study_stops_before_the_stage_it_is_to_stop_before(tmp_path: Path) -> None:
    work = Workspace(tmp_path, InProcess(), until="double")
    number = work.run(give, NumberConfig(value=4))
    with pytest.raises(ReachedError, match="stopped before double") as reached:
        work.run(double, number)
    (call,) = reached.value.calls.values()
    assert call.arguments["number"].read() == 4
    assert ran == ["give"]


@pytest.mark.parametrize("plan", [True, False])
def test_a_step_requested_twice_runs_once(tmp_path: Path, plan: bool) -> None:
    told: list[Step] = []
    work = Workspace(tmp_path, InProcess(), plan=plan, report=lambda step, seconds: told.append(step))
    numbers = [work.run(give, NumberConfig(value=4)) for _ in range(2)]
    found = work.each({name: give.call(NumberConfig(value=5)) for name in ("first", "second")})
    assert numbers[0] == numbers[1]
    assert found["first"] == found["second"]
    assert [step.label for step in work.steps] == ["give", "give (first)"]
    assert [step.label for step in told] == ([] if plan else ["give", "give (first)"])
    assert ran == ([] if plan else ["give", "give"])


class Elsewhere:
    """An engine with other workers, but for the workers."""

    is_local = False

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        return map(function, items)

    def map_with_cache(self, function: Callable[[ProcessCache, T], R], items: Sequence[T]) -> Iterator[R]:
        return map(partial(function, ProcessCache()), items)


def _names(config: NumberConfig) -> list[str]:
    return [str(number) for number in range(config.value)]


def _fill(out: Path, name: str, cache: ProcessCache, config: NumberConfig) -> None:
    if not (out / name).exists():
        ran.append(f"part {name}")
        (out / name).write_text(str(config.value), encoding="utf-8")


@stage(version=1, resumes=True, parts=Parts(_names, _fill))
def spread(out: Path, config: NumberConfig) -> Number:
    for name in _names(config):
        _fill(out, name, ProcessCache(), config)
    ran.append("spread")
    return Number(out, "")


@pytest.mark.parametrize("engine", [InProcess(), Elsewhere()])
def test_parts_are_done_by_other_workers_and_found_by_the_stage(tmp_path: Path, engine: Engine) -> None:
    work = Workspace(tmp_path, engine)
    made = work.run(spread, NumberConfig(value=3))
    assert ran == ["part 0", "part 1", "part 2", "spread"]
    assert sorted(path.name for path in made.path.iterdir()) == ["0", "1", "2", LIST, RECORD]
    work.run(spread, NumberConfig(value=3))
    assert ran.count("spread") == 1


def test_parts_of_a_run_that_was_killed_are_kept(tmp_path: Path) -> None:
    (step,) = _planned(tmp_path, spread.call(NumberConfig(value=2)))
    make_part(ProcessCache(), (step, "1"))
    Workspace(tmp_path, Elsewhere()).run(spread, NumberConfig(value=2))
    assert ran == ["part 1", "part 0", "spread"]


def test_a_part_of_a_finished_artifact_is_not_made_again(tmp_path: Path) -> None:
    Workspace(tmp_path, InProcess()).run(spread, NumberConfig(value=2))
    ran.clear()
    (step,) = _planned(tmp_path, spread.call(NumberConfig(value=2)))
    make_part(ProcessCache(), (step, "1"))
    assert ran == []
    assert not partial_folder(step.artifact.path).exists()


def _planned(root: Path, call: Call[Number]) -> list[Step]:
    work = Workspace(root, InProcess(), plan=True)
    work.each({"spread": call})
    return work.steps
