"""Folders in diffusers' layout: schedulers and autoencoders obeyed or refused, half-precision files read."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fulora.diffusion.models.loaded_weights import check_finite
from fulora.diffusion.models.loading import BackboneError, load_backbone, networks, quiet

UNET, TEXT = "unet/diffusion_pytorch_model", "text_encoder/model"


@pytest.fixture
def copied(backbone: Path, tmp_path: Path) -> Path:
    """A backbone whose files may be changed."""
    return shutil.copytree(backbone, tmp_path / "backbone")


def changed(folder: Path, part: str, **values: Any) -> Path:
    path = folder / part / {"scheduler": "scheduler_config.json"}.get(part, "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def scheduled(folder: Path, name: str) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", name]}))


def same(first: Path, second: Path) -> bool:
    states = [[module.state_dict() for module in networks(load_backbone(path))] for path in (first, second)]
    return all(
        torch.equal(one[key], two[key]) for one, two in zip(*states, strict=True) for key in one.keys() | two.keys()
    )


def test_velocity_and_zero_terminal_snr_of_a_folder_are_obeyed(copied: Path) -> None:
    changed(copied, "scheduler", prediction_type="v_prediction", rescale_betas_zero_snr=True)
    assert load_backbone(copied).scheduler.alphas_cumprod[-1] == 0


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("scheduler", {"_class_name": "EDMEulerScheduler"}, r"its scheduler is EDMEulerScheduler \(EDM\)"),
        ("scheduler", {"_class_name": "FlowMatchEulerDiscreteScheduler"}, "flow matching"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "predicts noise .* and has zero terminal SNR"),
        ("scheduler", {"prediction_type": "flow_prediction"}, "prediction_type is 'flow_prediction'"),
        ("vae", {"latents_mean": [0, 0, 0, 0]}, "one of latents_mean and latents_std"),
        ("scheduler", {"beta_end": "0.012"}, r"scheduler/scheduler_config\.json: beta_end is '0\.012'"),
        ("scheduler", {"_class_name": ["DDIMScheduler"]}, r"its scheduler is \['DDIMScheduler'\]"),
        ("vae", {"scaling_factor": "0.79"}, r"vae/config\.json: scaling_factor is '0\.79'; a positive number"),
        ("unet", {"in_channels": 9}, r"unet/config\.json: in_channels is 9, .*inpainting backbones are not supported"),
        ("unet", {"in_channels": "4"}, "in_channels is '4'"),
        ("vae", {"_class_name": "AutoencoderTiny"}, "its autoencoder is AutoencoderTiny; only AutoencoderKL is read"),
    ],
)
def test_what_would_not_be_obeyed_is_refused(copied: Path, part: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(BackboneError, match=message):
        load_backbone(changed(copied, part, **values))


def test_the_scheduler_of_the_index_counts_too(copied: Path) -> None:
    scheduled(copied, "EDMDPMSolverMultistepScheduler")
    with pytest.raises(BackboneError, match="its scheduler is EDMDPMSolverMultistepScheduler"):
        load_backbone(copied)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no scheduler/scheduler_config.json"),
        ("{", r"scheduler_config\.json: is damaged, .*Invalid JSON"),
        ("[]", r"scheduler_config\.json: is damaged, .*should be"),
        (
            '{"prediction_type": "epsilon", "prediction_type": "v_prediction"}',
            r"scheduler/scheduler_config\.json: .*the key 'prediction_type' is given more than once",
        ),
    ],
)
def test_a_scheduler_that_cannot_be_read_is_named(copied: Path, content: str | None, message: str) -> None:
    path = copied / "scheduler" / "scheduler_config.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(BackboneError, match=message):
        load_backbone(copied)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_folder_of_half_precision_files_alone_is_read(
    backbone: Path, tmp_path: Path, sharded: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, size = load_backbone(backbone), {"max_shard_size": "100KB"} if sharded else {}
    with quiet():
        pipe.to(torch.float16).save_pretrained(tmp_path / "half", variant="fp16", **size)
    names = {path.name for path in (tmp_path / "half" / "unet").iterdir()}
    assert "diffusion_pytorch_model.safetensors" not in names
    assert any("fp16" in name and ("-of-" in name) == sharded for name in names)
    assert same(tmp_path / "half", backbone)
    assert "unet: only weights of the variant fp16 are there; they are read" in capsys.readouterr().err


def test_full_precision_is_read_where_both_are_there(copied: Path, backbone: Path) -> None:
    for name in (UNET, TEXT):
        shutil.copy(backbone / "vae" / "diffusion_pytorch_model.safetensors", copied / f"{name}.fp16.safetensors")
    assert same(copied, backbone)


def test_several_variants_and_no_plain_file_are_refused(copied: Path) -> None:
    path = copied / f"{UNET}.safetensors"
    for variant in ("fp16", "non_ema"):
        shutil.copy(path, copied / f"{UNET}.{variant}.safetensors")
    path.unlink()
    with pytest.raises(BackboneError, match=r"unet holds the variants fp16, non_ema and no diffusion_pytorch_model"):
        load_backbone(copied)


def test_pickles_alone_are_named_for_what_they_are(copied: Path) -> None:
    path = copied / f"{UNET}.safetensors"
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(
        BackboneError, match=r"found in unet; it holds diffusion_pytorch_model\.bin: .*can run any code"
    ):
        load_backbone(copied)


def test_a_pointer_to_weights_is_named_for_what_it_is(copied: Path) -> None:
    (copied / f"{TEXT}.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(BackboneError, match=r"text_encoder/model\.safetensors: it is a Git LFS pointer"):
        load_backbone(copied)


@pytest.mark.parametrize("stem", [UNET, "vae/diffusion_pytorch_model", TEXT])
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data + b"0" * 100])
def test_a_file_that_is_not_whole_is_named(copied: Path, stem: str, damage: Callable[[bytes], bytes]) -> None:
    path = copied / f"{stem}.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackboneError, match=rf"{stem}\.safetensors: it is incomplete \(.*\); download or copy"):
        load_backbone(copied)


def rewritten(folder: Path, stem: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Path:
    path = folder / f"{stem}.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file(change(tensors), path, {"format": "pt"})
    return folder


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("stem", [UNET, "vae/diffusion_pytorch_model", TEXT])
def test_weights_that_are_not_finite_are_named(copied: Path, stem: str, value: float) -> None:
    names = []

    def spoil(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        names.append(next(name for name, tensor in tensors.items() if tensor.ndim > 1))
        tensors[names[0]].view(-1)[-1] = value
        return tensors

    rewritten(copied, stem, spoil)
    with pytest.raises(BackboneError, match=r"1 weights hold NaN or infinity, such as (.*):") as raised:
        load_backbone(copied)
    assert names[0].removeprefix("text_model.") in str(raised.value)


def test_large_weights_are_finite() -> None:
    layer = torch.nn.Linear(4, 4)
    torch.nn.init.constant_(layer.weight, 3e38)
    check_finite(layer)


@pytest.mark.parametrize("name", ["mid_block.x.to_q.lora_A.default.weight", "mid_block.x.to_q.base_layer.weight"])
def test_a_lora_inside_a_file_of_a_network_is_refused(copied: Path, name: str) -> None:
    rewritten(copied, UNET, lambda tensors: tensors | {name: torch.ones(2, 2)})
    with pytest.raises(BackboneError, match=rf"unet holds 1 weights of an adapter such as a LoRA \({name}\)"):
        load_backbone(copied)


@pytest.mark.parametrize("stem", [UNET, "vae/diffusion_pytorch_model", TEXT])
def test_weights_with_unknown_names_are_noted(copied: Path, stem: str, capsys: pytest.CaptureFixture[str]) -> None:
    extra = {"foo.bar": torch.ones(2), "embeddings.position_ids": torch.ones(1)}
    load_backbone(rewritten(copied, stem, lambda tensors: tensors | extra))
    part = stem.partition("/")[0]
    assert f"{part}: 1 weights that it does not have are left out, such as foo.bar" in capsys.readouterr().err


def test_a_scheduler_whose_config_diffusers_changes_is_loaded_quietly(
    copied: Path, recwarn: pytest.WarningsRecorder
) -> None:
    load_backbone(changed(copied, "scheduler", clip_sample=True, steps_offset=0, thresholding=True))
    assert [str(warning.message)[:80] for warning in recwarn] == []
