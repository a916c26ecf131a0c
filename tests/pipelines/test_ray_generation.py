"""`--engine ray` on a real cluster of two nodes: the bytes of a run without it, also when a node dies in the middle."""

import pickle
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from command_inside import QUICK, called, tree
from forked import ROOT, Forked

from fulora.data.label_set import label_set
from fulora.diffusion.sampling.config import GenerateConfig, resolve_config
from fulora.diffusion.sampling.inputs import GenerationInputs
from fulora.diffusion.sampling.recipe import BackboneUsed
from fulora.diffusion.sets import generation
from fulora.diffusion.sets.job import GenerationJob
from fulora.diffusion.sets.shards import shards_of
from fulora.stage import read_record

FETAL = label_set("fetal_planes")

pytestmark = pytest.mark.ray

MANY = ("generate", "--plane", "brain", "--plane", "femur", "--count", "10", "--seed", "5", *QUICK, "steps=6")
"""Ten shards, some four seconds of drawing on one core."""

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process draws, without Ray."""
    folder = tmp_path_factory.mktemp("alone") / "set"
    assert called(*MANY, "--out", folder).code == 0
    return tree(folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one CPU each, and a head that takes no tasks; this process is joined to them too."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT))
        head = NODE | {"num_cpus": 0, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=head)
        try:
            found.add_node(**NODE)
            found.add_node(**NODE)
            patch.setenv("RAY_ADDRESS", found.address)
            ray.init(log_to_driver=False, logging_level="ERROR")
            yield found
        finally:
            ray.shutdown()
            found.shutdown()


def held_bytes() -> float:
    """What all object stores of the cluster hold together."""
    import ray

    return float(ray.cluster_resources()["object_store_memory"] - ray.available_resources()["object_store_memory"])


def busy_nodes(cluster: Any, out: Path) -> list[Any]:
    """The nodes of which a worker draws a shard at the moment: it holds the shard's lock."""

    def at_it(node: Any) -> bool:
        workers = psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)
        files = (file for worker in workers for file in opened(worker))
        return any(Path(file).parent == out / ".work" / "locks" and "-0" in file for file in files)

    return [node for node in cluster.worker_nodes if at_it(node)]


def opened(worker: psutil.Process) -> list[str]:
    """The files a worker holds open; none if it has ended since it was listed."""
    try:
        return [file.path for file in worker.open_files()]
    except psutil.NoSuchProcess:
        return []


def test_a_node_dies_while_it_draws(tmp_path: Path, cluster: Any, alone: dict[str, bytes]) -> None:
    out = tmp_path / "set"
    running = Forked(*MANY, "--out", out, "--engine", "ray")
    most, deadline = 0.0, time.monotonic() + 600
    while not (busy := busy_nodes(cluster, out)):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        most = max(most, held_bytes())
        time.sleep(0.01)
    cluster.remove_node(busy[0], allow_graceful=False)
    assert len(list((out / "train" / "images").glob("*"))) < 10
    said = running.communicate(timeout=100)
    cluster.add_node(**NODE)
    assert (running.returncode, said[0]) == (0, f"{out}\n"), said[1]
    assert tree(out) == alone  # nothing is lost, nothing is there twice
    assert most == 0  # no image, nor anything else that is larger than a message, was in an object store


def test_a_run_that_is_stopped_continues_with_what_is_missing(
    tmp_path: Path, cluster: Any, alone: dict[str, bytes]
) -> None:
    out = tmp_path / "set"
    first = out / "train" / "images" / "brain-00000" / "shard.json"
    stopped, deadline = Forked(*MANY, "--out", out, "--engine", "ray"), time.monotonic() + 600
    while not first.exists():
        assert stopped.poll() is None, stopped.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stopped.terminate()
    said = stopped.communicate(timeout=60)
    assert (stopped.returncode, said[0]) == (75, "")
    assert said[1].endswith("fulora: stopped by SIGTERM; the same command continues where this one stopped\n")
    assert not (out / "gate.json").exists()
    before = first.stat().st_mtime_ns
    done = called(*MANY, "--out", out, "--engine", "ray", "--cpus", "0.5")
    assert (done.code, done.stdout) == (0, f"{out}\n"), done.stderr
    assert "synthetic: 20 of 20 images" in done.stderr
    assert first.stat().st_mtime_ns == before
    assert tree(out) == alone


def test_what_goes_wrong_in_a_task_is_one_message(tmp_path: Path, cluster: Any) -> None:
    done = called(*MANY, "prompts.femur=" + "a long prompt " * 20, "--out", tmp_path / "set", "--engine", "ray")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("fulora: 'a long prompt ")
    assert done.stderr.endswith("the backbone reads 32; shorten it\n")


@pytest.mark.parametrize("more", [("--cpus", "2"), ("--gpus", "1")])
def test_what_no_node_has_is_refused_at_once(tmp_path: Path, cluster: Any, more: tuple[str, str]) -> None:
    done = called(*MANY, "--out", tmp_path / "set", "--engine", "ray", *more)
    assert (done.code, done.stdout) == (2, "")
    assert "and no node of the Ray cluster has them (0 CPUs, 0 GPUs; 1 CPUs, 0 GPUs)" in done.stderr
    assert not (tmp_path / "set").exists()


def test_a_task_is_small_whatever_the_set(tmp_path: Path) -> None:
    cfg, used = GenerateConfig(per_class=100_000), BackboneUsed(name="demo", digest="0" * 16)
    job = GenerationJob(tmp_path, resolve_config(cfg, FETAL), GenerationInputs("demo", used), FETAL).for_worker()
    task = partial(generation._make_unless_busy, job, False, generation._no_progress)
    assert len(pickle.dumps((task, shards_of(resolve_config(cfg, FETAL))[0]))) < 4000


def test_a_missing_cluster_is_reported_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        monkeypatch.setenv("RAY_ADDRESS", address)
        done = called(*MANY, "--engine", "ray", "--out", tmp_path / "set")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"fulora: RAY_ADDRESS={address}: no Ray cluster answers there")
    assert not (tmp_path / "set").exists()


@pytest.mark.heavy
def test_the_smoke_study_has_the_artifacts_of_a_run_without_ray(tmp_path: Path, cluster: Any) -> None:
    command = ("run", "smoke", "--json", "--work")
    assert called(*command, tmp_path / "one").code == 0
    many = Forked(*command, tmp_path / "many", "--engine", "ray")
    said = many.communicate(timeout=600)
    assert many.returncode == 0, said[1]
    found = [
        {path.parent.name: read_record(path.parent)["digest"] for path in (tmp_path / work).glob("*/stage.json")}
        for work in ("one", "many")
    ]
    assert found[0]
    assert found[0] == found[1]
