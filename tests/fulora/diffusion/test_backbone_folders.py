"""Folders in diffusers' layout: schedulers and autoencoders obeyed or refused, half-precision files read."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fulora.diffusion.backbone import BackboneError, load_backbone, networks, quiet

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
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        (
            '{"prediction_type": "epsilon", "prediction_type": "v_prediction"}',
            r"scheduler/scheduler_config\.json .*the key 'prediction_type' is given more than once",
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
