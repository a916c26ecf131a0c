"""`fulora doctor`: what is there, what is missing and how to get it; no network."""

import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from command_inside import called
from packaging.requirements import Requirement

import fulora
from pipelines.backbone_names import ASSETS
from pipelines.jobs import installation, machine
from pipelines.jobs.doctor import Examination, examine_weights
from pipelines.jobs.installation import PURPOSES, examine_installation, read_requirements
from pipelines.jobs.machine import Finding, examine_accelerators, examine_processor, examine_room


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_the_command_prints_sections_and_json(tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    weights = ("--backbone", ASSETS / "diffusion", "--clip", ASSETS / "clip", "--work", tmp_path / "work")
    shown = called("doctor", *weights)
    assert shown.code == 0, shown.stdout
    for word in (
        "versions",
        "devices",
        "precision",
        "disk",
        "weights",
        fulora.__version__,
        torch.__version__.partition("+")[0],
    ):
        assert word in shown.stdout
    assert called("doctor", *weights, "--json", file).code == 0
    facts = json.loads(file.read_text())
    assert facts["works"] is True
    assert facts["weights"]["CLIP ViT-B/32"]["value"] == str(ASSETS / "clip")
    assert facts["versions"]["torch"]["state"] == "ok"
    assert not (tmp_path / "work").exists()


def test_an_incomplete_folder_is_broken_and_exits_with_1(tmp_path: Path) -> None:
    shutil.copytree(ASSETS / "diffusion", tmp_path / "sd")
    shutil.rmtree(tmp_path / "sd" / "vae")
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "open_clip_config.json").write_text("{}")
    done = called("doctor", "--backbone", tmp_path / "sd", "--clip", tmp_path / "clip")
    assert done.code == 1
    assert "vae not found" in done.stdout
    assert f"{tmp_path / 'clip'}: no weights found" in done.stdout
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5 --include 'model_index.json'" in done.stdout
    assert "--local-dir FOLDER" in done.stdout


@pytest.mark.usefixtures("no_network")
def test_weights_that_are_not_cached_are_missing_with_the_command_that_fetches_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: None)
    findings = list(examine_weights(None, None))
    assert [each.state for each in findings] == ["missing", "missing"]
    assert "laion/CLIP-ViT-B-32-laion2B-s34B-b79K is not in the Hugging Face cache" in findings[1].value
    assert Examination(tuple(findings)).broken == ()
    cached = ASSETS / "clip" / "open_clip_config.json"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: str(cached))
    assert list(examine_weights(None, None))[1] == Finding("weights", "CLIP ViT-B/32", str(cached.parent))


def test_what_is_needed_and_what_extras_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = read_requirements()
    assert {"torch", "diffusers", "timm"} <= {each.name for each in needed if each.marker is None}
    extras = {extra for each in needed for extra in PURPOSES if each.marker and each.marker.evaluate({"extra": extra})}
    assert extras == set(PURPOSES)
    versions = {"torch": "1.0", "typer": ""}
    real = installation._version
    monkeypatch.setattr(installation, "_version", lambda name: versions.get(name, "" if name == "ray" else real(name)))
    found = {each.name: each for each in examine_installation() if each.section == "versions" or each.name == "ray"}
    assert (found["torch"].state, found["torch"].value) == ("broken", "1.0")
    assert found["torch"].advice.startswith("too old: pip install 'torch>=")
    assert (found["typer"].state, found["typer"].value) == ("broken", "missing")
    assert found["ray"].state == "missing"
    assert found["ray"].advice == f"for {PURPOSES['ray']}: pip install 'fulora[ray]'"


def test_a_clone_that_is_not_installed_reads_its_own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise installation.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation.metadata, "requires", absent)
    own = read_requirements()
    assert {"torch", "diffusers", "packaging"} <= {each.name for each in own if each.marker is None}
    assert Requirement("ray>=2.40; extra == 'ray'") in own


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (20e9, 24e9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU {number}")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda number: (8 - number, 0))
    monkeypatch.setattr(machine, "_nvidia_driver", lambda: "550.1")
    found = {(each.section, each.name): each.value for each in examine_accelerators()}
    assert found["devices", "cuda:1"] == "GPU 1, 20.0 GB free of 24.0 GB, driver 550.1"
    assert found["precision", "cuda:0"] == "bf16 and fp16"
    assert found["precision", "cuda:1"] == "fp16; bf16 is emulated"


def test_a_gpu_that_torch_cannot_see_comes_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "_nvidia_driver", lambda: "550.1")
    cuda = next(each for each in examine_accelerators() if each.name == "cuda")
    assert cuda.state == "missing"
    assert "there is a driver 550.1: install a build of torch" in cuda.advice
    monkeypatch.setattr(machine, "_nvidia_driver", lambda: "")
    assert next(each for each in examine_accelerators() if each.name == "cuda").value == "no GPU"


def test_cores_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(available=3e9, total=8e9)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(machine, "cores", lambda: 3)
    cpu, ram = examine_processor()
    assert cpu.value.startswith("3 cores usable of ")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(8), raising=False)
    assert next(examine_processor()).value.endswith("; a cgroup's quota allows fewer than the affinity, 8")
    assert ram.value == "3.0 GB free of 8.0 GB"


def test_little_room_and_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(9e9, 0, 4e9))
    room = examine_room("work", tmp_path / "deep" / "work")
    assert (room.state, room.value) == ("missing", f"{tmp_path / 'deep' / 'work'}: 4.0 GB free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(99e9, 0, 40e9))
    assert examine_room("work", tmp_path).state == "ok"
    monkeypatch.setattr("os.access", lambda folder, mode: False)
    assert examine_room("work", tmp_path).state == "broken"
