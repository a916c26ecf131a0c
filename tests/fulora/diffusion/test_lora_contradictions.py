"""LoRA files that contradict themselves, or hold numbers without a meaning: refused, or said, by name."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fulora import files as disk_files
from fulora.diffusion.lora.base_model import describe_alpha
from fulora.diffusion.lora.inspect import inspect_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.read import ADAPTER, read_lora
from fulora.diffusion.lora.write import write_lora

Q = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
K = f"lora_unet_{Q.replace('.', '_')}"


def of_diffusers(rank: int = 2, prefix: str = "unet.") -> dict[str, Tensor]:
    return {
        f"{prefix}{Q}.lora_A.weight": torch.ones(rank, 32),
        f"{prefix}{Q}.lora_B.weight": torch.ones(32, rank),
    }


def of_kohya() -> dict[str, Tensor]:
    down, up = of_diffusers().values()
    return {f"{K}.lora_down.weight": down, f"{K}.lora_up.weight": up}


def of_peft(folder: Path, more: dict[str, Tensor] | None = None, **settings: Any) -> Path:
    plain = {"peft_type": "LORA", "r": 2, "lora_alpha": 2}
    (folder / "adapter_config.json").write_text(json.dumps(plain | settings))
    save_file(of_diffusers(prefix="base_model.model.") | (more or {}), folder / "adapter_model.safetensors")
    return folder


MAGNITUDE = {f"base_model.model.{Q}.lora_magnitude_vector": torch.ones(32)}


@pytest.mark.parametrize(
    ("more", "settings", "message"),
    [
        ({}, {"r": 16}, rf"say r=16 for unet\.{Q}, and its tensors have rank 2"),
        ({}, {"r": "2"}, "say r=2 for"),
        ({}, {"rank_pattern": {"to_q": 8}}, "say r=8 for"),
        ({}, {"rank_pattern": {"(": 8}}, "have no rank of"),
        ({}, {"use_dora": True}, "say use_dora=true, and .* has no magnitude vector"),
        (MAGNITUDE, {"use_dora": False}, "say use_dora=false, and .* has a magnitude vector"),
        ({}, {"use_rslora": "false"}, "use_rslora is 'false'; true or false is needed"),
        ({}, {"lora_alpha": float("nan")}, "alpha of .* is nan; a finite number is needed"),
    ],
)
def test_settings_that_the_tensors_contradict_are_refused(
    tmp_path: Path, more: dict[str, Tensor], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(LoraError, match=message):
        read_lora(of_peft(tmp_path, more, **settings))


def test_settings_that_fit_are_not_refused(tmp_path: Path) -> None:
    found = read_lora(of_peft(tmp_path, MAGNITUDE, r=16, rank_pattern={"to_q": 2}, use_dora=True))
    assert [module.rank for module in found.modules.values()] == [2]


def test_a_header_of_another_rank_is_refused(tmp_path: Path) -> None:
    header = {ADAPTER: json.dumps({"unet.r": 16, "unet.lora_alpha": 16})}
    save_file(of_diffusers(), tmp_path / "l.safetensors", header)
    with pytest.raises(LoraError, match="say r=16 for"):
        read_lora(tmp_path / "l.safetensors")


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32, torch.bool])
def test_whole_numbers_without_their_scale_are_refused(tmp_path: Path, kind: torch.dtype) -> None:
    save_file({key: value.to(kind) for key, value in of_kohya().items()}, tmp_path / "l.safetensors")
    with pytest.raises(LoraError, match=rf"down is of {str(kind).removeprefix('torch.')}, whole numbers that mean"):
        read_lora(tmp_path / "l.safetensors")


def test_an_alpha_of_a_whole_number_is_one(tmp_path: Path) -> None:
    save_file(of_kohya() | {f"{K}.alpha": torch.tensor(4)}, tmp_path / "l.safetensors")
    assert [module.alpha for module in read_lora(tmp_path / "l.safetensors").modules.values()] == [4.0]


def test_a_layer_under_two_names_is_refused(tmp_path: Path) -> None:
    save_file(of_kohya() | of_diffusers(), tmp_path / "l.safetensors")
    with pytest.raises(LoraError, match=rf"unet\.{Q} has two tensors that are (down|up), under names of two formats"):
        read_lora(tmp_path / "l.safetensors")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"unet.lora_alpha": 4.0}, "that of the layers is used (1), not the header's lora_alpha=4"),
        ({"unet.lora_alpha": 8, "unet.alpha_pattern": {"to_q": 1}}, ""),
        ({"unet.lora_alpha": 1}, ""),
        (
            {"unet.lora_alpha": 1, "unet.use_rslora": True},
            "that of the layers is used (1), not the header's lora_alpha=1",
        ),
        ({}, ""),
    ],
)
def test_a_header_of_diffusers_with_another_alpha_is_noted(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    path = tmp_path / "l.safetensors"
    save_file(of_diffusers() | {f"unet.{Q}.alpha": torch.tensor(1.0)}, path, {ADAPTER: json.dumps(settings)})
    assert describe_alpha(read_lora(path)) == inspect_lora(path)["about_alpha"] == said


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(of_diffusers(), tmp_path / "l.safetensors")
    lora, apply_umask = read_lora(tmp_path / "l.safetensors"), disk_files.apply_umask

    def full(files: list[Path]) -> None:
        apply_umask(files)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk_files, "apply_umask", full)
    with pytest.raises(disk_files.DiskFullError, match=r"new\.safetensors: the disk is full"):
        write_lora(lora, tmp_path / "new.safetensors", format="kohya")
    assert [path.name for path in tmp_path.iterdir()] == ["l.safetensors"]
