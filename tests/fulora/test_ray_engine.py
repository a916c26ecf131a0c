"""Ray: in order, by several nodes, again where one dies; errors as they were; and what cannot run is said at once."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fulora.config import Config
from fulora.engine import InProcess, ProcessCache
from fulora.ray_engine import Ray, RayMissingError, RayTaskLostError, _enter, _refuse_unreachable
from fulora.stage import Artifact, Parts, Source, read_record, stage
from fulora.workspace import Workspace

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def engine() -> Iterator[Ray]:
    """On a cluster of two nodes with one CPU each, whose workers can import this file."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (HERE, ROOT))))
        cluster = Cluster(initialize_head=True, head_node_args=node)
        try:
            cluster.add_node(**{key: value for key, value in node.items() if key != "include_dashboard"})
            patch.setenv("RAY_ADDRESS", cluster.address)
            handler = signal.getsignal(signal.SIGTERM)
            yield Ray()
            assert signal.getsignal(signal.SIGTERM) == handler
        finally:
            ray.shutdown()
            cluster.shutdown()


# --- tasks


def node_of(files: tuple[Path, Path]) -> str:
    """Waits for the other task, so both run at once."""
    import ray

    own, other = files
    own.touch()
    deadline = time.monotonic() + 60
    while not other.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return str(ray.get_runtime_context().get_node_id())


def wait_policy(_: int) -> str:
    return os.environ["OMP_WAIT_POLICY"]


def place(name: str) -> str:
    return os.path.abspath(name)


def loads_in(cache: ProcessCache, number: int) -> tuple[int, int]:
    """The worker process, and how often it has loaded the value."""

    def load() -> str:
        loads = int(os.environ.get("LOADS", "0"))
        os.environ["LOADS"] = str(loads + 1)
        return "weights"

    assert cache.get("model", load) == "weights"
    return os.getpid(), int(os.environ["LOADS"])


class BrokenError(ValueError):
    pass


def breaks(number: int) -> int:
    if number == 2:
        raise BrokenError(f"number {number} is broken")
    return number


def dies(once: Path | None) -> str:
    """The worker dies; where a file is given, only if it is not there."""
    if once is None or not once.exists():
        if once is not None:
            once.touch()
        os._exit(1)
    return "survived"


def test_results_come_in_the_order_of_the_items_from_all_nodes(engine: Ray, tmp_path: Path) -> None:
    assert not engine.is_local
    assert list(engine.map(abs, range(-20, 0))) == list(range(20, 0, -1))
    assert list(engine.map(abs, [])) == []
    own, other = tmp_path / "own", tmp_path / "other"
    assert len(set(engine.map(node_of, [(own, other), (other, own)]))) == 2


def test_a_worker_keeps_its_cache_from_call_to_call(engine: Ray) -> None:
    """A worker process that has loaded something finds it there for all later tasks."""
    for _ in range(2):
        for process, loads in engine.map_with_cache(loads_in, range(8)):
            assert loads == 1, process


def test_threads_of_workers_sleep_while_they_wait(engine: Ray) -> None:
    assert list(engine.map(wait_policy, [1])) == [os.environ.get("OMP_WAIT_POLICY", "PASSIVE")]


def test_relative_paths_are_those_of_the_caller(engine: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(engine.map(place, ["work"])) == [str(tmp_path / "work")]


def test_an_error_is_raised_as_it_was_with_the_workers_traceback(engine: Ray) -> None:
    results = engine.map(breaks, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(BrokenError, match=r"^number 2 is broken$") as caught:
        next(results)
    assert "in breaks" in str(caught.value.__cause__)
    assert list(engine.map(breaks, [7])) == [7]


def test_a_task_whose_worker_dies_is_run_again(engine: Ray, tmp_path: Path) -> None:
    assert list(engine.map(dies, [tmp_path / "died"])) == ["survived"]


def test_a_task_that_always_dies_is_one_message_and_standard_output_stays_clean(
    engine: Ray, capsys: pytest.CaptureFixture[str]
) -> None:
    message = r"^a task was lost on the Ray cluster, and again in 3 more tries: The worker died .*command continues$"
    with pytest.raises(RayTaskLostError, match=message):
        list(engine.map(dies, [None]))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("cpus", "gpus"), [(2, 0), (1, 1)])
def test_what_no_node_has_is_refused_at_once(engine: Ray, cpus: float, gpus: float) -> None:
    started = time.monotonic()
    message = rf"a task asks for {cpus} CPUs and {gpus} GPUs, and no node .*\(1 CPUs, 0 GPUs\); lower"
    with pytest.raises(ValueError, match=message):
        next(Ray(cpus=cpus, gpus=gpus).map(abs, [1]))
    assert time.monotonic() - started < 2


def test_sigterm_ends_with_the_exit_code_that_its_handler_asks_for(engine: Ray) -> None:
    """Raised inside `ray.get`, it would be exit code 1."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(75))
    try:
        for after in (0.2, 0.5, 0.8):
            kill = threading.Timer(after, os.kill, (os.getpid(), signal.SIGTERM))
            kill.start()
            with pytest.raises(SystemExit) as ended:
                list(engine.map(time.sleep, [1.5]))
            assert ended.value.code == 75
            kill.join()
    finally:
        signal.signal(signal.SIGTERM, before)


# --- a study


class TextConfig(Config):
    text: str
    parts: int = 3


@dataclass(frozen=True)
class Text(Artifact):
    """A text in a file."""


def _names(config: TextConfig) -> list[str]:
    return [f"part-{number}" for number in range(config.parts)]


def _make(out: Path, name: str, cache: ProcessCache, config: TextConfig) -> None:
    (out / name).write_text(f"{config.text} {name}")
    with (out.parent / "made").open("a") as file:
        file.write(f"{config.text} {name}\n")


@stage(version=1, resumes=True, parts=Parts(_names, _make))
def write(out: Path, config: TextConfig) -> Text:
    for name in _names(config):
        if not (out / name).exists():
            _make(out, name, ProcessCache(), config)
    return Text(out, "")


@stage(version=1)
def join(out: Path, texts: dict[str, Text], title: Source) -> Text:
    lines = [path.read_text() for text in texts.values() for path in sorted(text.path.glob("part-*"))]
    (out / "all").write_text("\n".join([title.path.read_text(), *lines]))
    return Text(out, "")


def study(work: Workspace, title: Path) -> Path:
    calls = {name: write.call(TextConfig(text=name)) for name in ("one", "two")}
    return work.run(join, work.each(calls), work.read(title)).path


def test_a_study_has_the_artifacts_of_a_run_without_ray(
    engine: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    title = tmp_path / "title"
    title.write_text("title")
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    many = study(Workspace(Path("many"), engine, report=lambda step, seconds: told.append(step.label)), title)
    one = study(Workspace(tmp_path / "one", InProcess()), title)
    assert told == ["write (one)", "write (two)", "join"]
    assert many.name == one.name
    assert (many / "all").read_text() == (one / "all").read_text()
    for path in (tmp_path / "one").glob("*/stage.json"):
        assert read_record(tmp_path / "many" / path.parent.name)["digest"] == read_record(path.parent)["digest"]
    made = (tmp_path / "many" / "made").read_text().splitlines()
    assert sorted(made) == sorted(f"{text} part-{n}" for text in ("one", "two") for n in range(3))  # none twice
    again = Workspace(Path("many"), engine)
    study(again, title)
    assert {step.state for step in again.steps} == {"ready"}


# --- without a cluster


def test_a_cluster_that_does_not_answer_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=rf"^RAY_ADDRESS={address}: no Ray cluster answers there \(.*refused"):
            _refuse_unreachable(address)
        assert time.monotonic() - started < 2
        free.listen()
        _refuse_unreachable(address)
    for address in ("", "auto", "local", "ray://head:10001"):
        _refuse_unreachable(address)


def test_every_node_needs_the_folder() -> None:
    with pytest.raises(FileNotFoundError, match=r"^/nowhere: not found on .*: all nodes of the Ray cluster need the"):
        _enter("/nowhere")


def test_without_ray_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RayMissingError, match=r"^--engine ray needs Ray: pip install 'fulora\[ray\]'$"):
        Ray()
