"""`benchmarks/gpu.py` runs on a CPU with tiny networks, and says what is wrong by its exit status."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("gpu")


def measured(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, out: Path, *options: str) -> tuple[object, Any]:
    """The exit status and the JSON of a run."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--small", "--device", "cpu", "--out", str(out), *options])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    return ended.value.code, json.loads(out.read_text(encoding="utf-8"))


def test_a_gpu_would_be_held_against_the_cpu(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = ["clip", "classifier", "unet", "diffusion", "generation"]
    code, result = measured(gpu, monkeypatch, tmp_path / "gpu.json", "--parts", *parts)
    assert code == 0
    assert list(result["parts"]) == parts
    assert result["machine"]["torch"] == torch.__version__.split("+")[0]
    compared = [
        one for part in result["parts"].values() for one in part.values() if isinstance(one, dict) and "within" in one
    ]
    assert len(compared) == 2 + 2 + 1 + 2
    assert all(one["largest_difference"] == 0 and one["within"] for one in compared), "this is one and the same device"
    assert result["parts"]["generation"]["images_per_second"].keys() == {"pipeline", "fulora, fp32"}


def test_what_fails_is_above_its_tolerance_or_has_no_time_is_told(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu.gpu_agreement, "PROBABILITY", -1.0)
    code, result = measured(gpu, monkeypatch, tmp_path / "a.json", "--parts", "unet")
    assert code == 1
    assert result["parts"]["unet"]["masks"]["within"] is False
    monkeypatch.setitem(gpu.PARTS, "clip", (0, lambda bench: 1 / 0))
    code, result = measured(gpu, monkeypatch, tmp_path / "b.json", "--parts", "clip", "unet", "--limit", "20")
    assert code == 1
    assert result["parts"]["clip"]["failed"] == "ZeroDivisionError: division by zero"
    assert result["parts"]["unet"]["skipped"].endswith("s were left, and it might take 30 s")


def test_full_size_needs_a_gpu(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu"])
    with pytest.raises(SystemExit):
        gpu.main()
    assert "there is no CUDA GPU for networks of full size; --small takes tiny ones" in capsys.readouterr().err


@pytest.mark.slow
def test_training_and_its_memory(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, result = measured(gpu, monkeypatch, tmp_path / "gpu.json", "--parts", "training", "memory")
    assert code == 0
    assert set(result["parts"]["training"]["ratios"]) == {"fulora / plain"}
    assert 0.5 < result["parts"]["memory"]["predicted / measured"] < 2
