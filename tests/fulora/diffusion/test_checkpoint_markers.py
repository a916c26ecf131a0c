"""How a checkpoint file says that it is sampled: marker keys and headers, obeyed or refused; and what it lacks."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from original_names import checkpoint, clip_weights, tower_weights
from safetensors.torch import load_file, save_file
from test_checkpoint_file import build, drawn_tower, same_weights

from fulora.diffusion.config import Architecture
from fulora.diffusion.models.checkpoint_file import identify_checkpoint
from fulora.diffusion.models.headers import declared_families, declared_predictions
from fulora.diffusion.models.loading import BackboneError, load_backbone

pytestmark = pytest.mark.slow

KEY = torch.tensor([])
TEXT = "cond_stage_model.transformer."


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sd1")
    pipe = build("sd1", folder, small=True, seed=0)
    return load_file(checkpoint(pipe, folder / "model.safetensors", clip_weights(pipe.text_encoder, TEXT)))


@pytest.fixture(scope="module")
def sd2(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sd2")
    pipe, tower = build("sd2-v", folder, small=True, seed=0), drawn_tower(64, 24)
    return load_file(checkpoint(pipe, folder / "model.safetensors", tower_weights(tower, "cond_stage_model.model.")))


def schedule(weights: Any, path: Path, header: dict[str, str] | None = None, **given: Any) -> tuple[str, bool]:
    """What the header alone tells: the prediction, and whether it has zero terminal SNR."""
    save_file(weights, path, header)
    found = identify_checkpoint(path, given.get("architecture"))
    return found.prediction, found.zero_snr


def test_marker_keys_are_obeyed(sd1: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "marked.safetensors"
    assert schedule(sd1, path) == ("epsilon", False)
    assert schedule(sd1 | {"v_pred": KEY}, path) == ("v_prediction", False)
    assert schedule(sd1 | {"v_pred": KEY, "ztsnr": KEY.clone()}, path) == ("v_prediction", True)


def test_an_sdxl_is_sampled_as_its_keys_say(tmp_path: Path, shallow_sdxl: None) -> None:
    pipe, tower = build("sdxl", tmp_path, small=True, seed=0), drawn_tower(80, 3)
    first = clip_weights(pipe.text_encoder, "conditioner.embedders.0.transformer.")
    path = checkpoint(pipe, tmp_path / "xl.safetensors", first, tower_weights(tower, "conditioner.embedders.1.model."))
    weights = load_file(path)
    save_file(weights | {"v_pred": KEY, "ztsnr": KEY.clone()}, path)
    scheduler = load_backbone(path).scheduler
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.alphas_cumprod[-1] == 0
    without = {name: weight for name, weight in weights.items() if not name.startswith("conditioner.embedders.0.")}
    save_file(without, path)
    with pytest.raises(BackboneError, match=r"there is no first text encoder \(conditioner\.embedders\.0"):
        load_backbone(path)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"modelspec.prediction_type": "v"}, ("v_prediction", False)),
        ({"modelspec.prediction_type": "epsilon"}, ("epsilon", False)),
        ({"modelspec.architecture": "stable-diffusion-v1"}, ("epsilon", False)),
        ({"modelspec.architecture": "a-model-of-nobody"}, ("epsilon", False)),
        ({"ss_v_parameterization": "True", "ss_zero_terminal_snr": "True"}, ("v_prediction", True)),
        ({"ss_base_model_version": "sd_v1_v"}, ("v_prediction", False)),
    ],
)
def test_headers_are_obeyed(
    sd1: dict[str, Any], tmp_path: Path, header: dict[str, str], expected: tuple[str, bool]
) -> None:
    assert schedule(sd1, tmp_path / "marked.safetensors", header) == expected


@pytest.mark.parametrize(
    ("keys", "header", "expected"),
    [
        (("v_pred",), {}, "v_prediction"),
        ((), {"modelspec.architecture": "stable-diffusion-v2-768-v"}, "v_prediction"),
        ((), {"modelspec.architecture": "stable-diffusion-v2-512"}, "epsilon"),
        ((), {"ss_base_model_version": "sd_v2_v"}, "v_prediction"),
    ],
)
def test_an_sd2_file_that_declares_its_prediction_type_needs_none(
    sd2: dict[str, Any], tmp_path: Path, keys: tuple[str, ...], header: dict[str, str], expected: str
) -> None:
    weights = sd2 | {key: KEY.clone() for key in keys}
    assert schedule(weights, tmp_path / "sd2.safetensors", header)[0] == expected


def test_an_architecture_that_contradicts_the_file_is_refused(sd2: dict[str, Any], tmp_path: Path) -> None:
    given: Architecture = "sd2-base"
    with pytest.raises(ValueError, match=r"architecture='sd2-base' means noise \(epsilon\); its key 'v_pred' means"):
        schedule(sd2 | {"v_pred": KEY}, tmp_path / "sd2.safetensors", architecture=given)


@pytest.mark.parametrize(
    ("keys", "header", "message"),
    [
        (("edm_mean", "edm_std"), {}, "its key 'edm_mean' marks an EDM schedule"),
        (("edm_vpred.sigma_max",), {}, "its key 'edm_vpred.sigma_max' marks an EDM schedule"),
        (("ztsnr",), {}, "predicts noise .* and has zero terminal SNR"),
        (("v_pred",), {"modelspec.prediction_type": "epsilon"}, "is contradictory: its key 'v_pred' means velocity"),
        ((), {"modelspec.prediction_type": "flow"}, "modelspec.prediction_type=flow is neither noise"),
        ((), {"modelspec.architecture": "stable-diffusion-xl-v1-base"}, "which is sdxl, and its weights are of sd1"),
        ((), {"modelspec.architecture": "flux-1-dev"}, "which is flux, and its weights are of sd1"),
        (("scaled_fp8",), {}, "its weights are quantised, with scales such as scaled_fp8"),
        (("model.diffusion_model.out.2.scale_weight",), {}, "its weights are quantised"),
        (("model.diffusion_model.out.2.weight.absmax",), {}, "its weights are quantised"),
    ],
)
def test_what_is_not_sampled_here_or_contradicts_itself_is_refused(
    sd1: dict[str, Any], tmp_path: Path, keys: tuple[str, ...], header: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        schedule(sd1 | {key: KEY.clone() for key in keys}, tmp_path / "m.safetensors", header)


@pytest.mark.parametrize("change", ["text_model", "state_dict", "both"])
def test_early_names_and_prefixes_give_the_same_pipeline(sd1: dict[str, Any], tmp_path: Path, change: str) -> None:
    save_file(sd1, tmp_path / "plain.safetensors")
    other = {
        ("" if change == "text_model" else "state_dict.")
        + (name if change == "state_dict" else name.replace(f"{TEXT}text_model.", TEXT)): weight
        for name, weight in sd1.items()
    }
    assert other.keys() != sd1.keys()
    save_file(other, tmp_path / "other.safetensors")
    first, second = (load_backbone(tmp_path / f"{name}.safetensors") for name in ("plain", "other"))
    for part in ("unet", "vae", "text_encoder"):
        assert same_weights(getattr(first, part), getattr(second, part))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("model.diffusion_model.", "no UNet (model.diffusion_model.)"),
        ("first_stage_model.", "no autoencoder (first_stage_model.)"),
        ("cond_stage_model.", "no text encoder (cond_stage_model. or conditioner.embedders.)"),
    ],
)
def test_a_part_that_is_missing_is_named(sd1: dict[str, Any], tmp_path: Path, part: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"there is {said}")):
        schedule({name: w for name, w in sd1.items() if not name.startswith(part)}, tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model.diffusion_model.joint_blocks.0.x", "looks like a Stable Diffusion 3"),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "looks like a Flux"),
        ("conditioner.embedders.0.model.ln_final.weight", "looks like an SDXL refiner"),
        ("control_model.input_blocks.0.0.weight", "looks like a ControlNet"),
        ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "looks like a LoRA"),
        ("mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight", "looks like networks under diffusers' names"),
    ],
)
def test_the_message_names_the_likely_kind_of_file(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        schedule({name: torch.ones(1)}, tmp_path / "m.safetensors")


def test_a_file_of_another_name_or_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("weights?")
    with pytest.raises(BackboneError, match=r"only \.safetensors files are read, and this is named \.txt"):
        load_backbone(tmp_path / "model.txt")
    torch.save({}, tmp_path / "pickle.safetensors")
    with pytest.raises(BackboneError, match=r"a pickle, such as a \.ckpt, can run any code"):
        load_backbone(tmp_path / "pickle.safetensors")


def test_terms_of_kohya_and_stability_are_understood() -> None:
    assert declared_predictions({"ss_base_model_version": "sd_v2"}) == {"ss_base_model_version=sd_v2": "epsilon"}
    assert declared_predictions({"ss_base_model_version": "sdxl_base_v1-0"}) == {}
    both = {"ss_base_model_version": "sd_v1", "ss_v_parameterization": "True"}
    assert set(declared_predictions(both).values()) == {"v_prediction"}
    names = {"sdxl_base_v1-0": "sdxl", "sd_v1": "sd1", "sd3m": "sd3", "flux1": "flux", "SD 1.5": "sd1", "other": ""}
    for name, family in names.items():
        assert next(iter(declared_families({"ss_base_model_version": name}).values()), "") == family
