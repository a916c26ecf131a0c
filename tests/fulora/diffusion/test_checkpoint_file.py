"""Checkpoint files under the original names, written here by the inverse of the mapping, and read back."""

from pathlib import Path

import huggingface_hub.constants
import open_clip
import pytest
import torch
from open_clip.transformer import TextTransformer
from original_names import checkpoint, clip_weights, tower_weights
from safetensors.torch import load_file, save_file
from torch import Tensor

from fulora.diffusion.config import Architecture
from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.loading import BackboneError, load_backbone

pytestmark = pytest.mark.slow


def drawn_tower(width: int, layers: int) -> TextTransformer:
    """open_clip's own text encoder with random weights, with as many heads as the small ones have."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tower = TextTransformer(width=width, heads=width // 4, layers=layers, output_dim=width)
        for parameter in tower.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    return tower.eval()


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Path]:
    folder = tmp_path_factory.mktemp("sd1")
    pipe = build("sd1", folder, small=True, seed=0)
    text = clip_weights(pipe.text_encoder, "cond_stage_model.transformer.")
    return pipe, checkpoint(pipe, folder / "model.safetensors", text)


@pytest.fixture(scope="module")
def sd2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, TextTransformer, Path]:
    folder = tmp_path_factory.mktemp("sd2")
    pipe, tower = build("sd2-v", folder, small=True, seed=0), drawn_tower(64, 24)
    return pipe, tower, checkpoint(pipe, folder / "model.safetensors", tower_weights(tower, "cond_stage_model.model."))


def test_the_names_written_here_are_the_published_ones(sd1: tuple[Pipeline, Path]) -> None:
    """The prefixes by which kinds are recognised, and the counts of SD 1.5's own file: 686, 248 and 197 weights."""
    names = load_file(sd1[1]).keys()
    prefixes = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")
    assert [sum(name.startswith(prefix) for name in names) for prefix in prefixes] == [686, 248, 197]
    assert {
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight",
        "model.diffusion_model.output_blocks.8.2.conv.weight",
        "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
        "first_stage_model.decoder.up.3.upsample.conv.weight",
        "first_stage_model.encoder.mid.attn_1.proj_out.bias",
    } <= names


def test_an_sd1_file_gives_the_same_pipeline(sd1: tuple[Pipeline, Path]) -> None:
    pipe, path = sd1
    again = load_backbone(path)
    assert same_weights(pipe.unet, again.unet)
    assert same_weights(pipe.vae, again.vae)
    assert same_weights(pipe.text_encoder, again.text_encoder)
    ids, theirs = (
        tokenizer(["a photo of fetal brain"], padding="max_length", return_tensors="pt").input_ids
        for tokenizer in (pipe.tokenizer, again.tokenizer)
    )
    assert torch.equal(ids, theirs)
    with torch.no_grad():
        states = pipe.text_encoder(ids)[0]
        assert torch.equal(again.text_encoder(ids)[0], states)
        latents, picture = torch.ones(1, 4, 8, 8), torch.ones(1, 3, 64, 64)
        assert torch.equal(again.unet(latents, 9, states).sample, pipe.unet(latents, 9, states).sample)
        assert torch.equal(again.vae.decode(latents).sample, pipe.vae.decode(latents).sample)
        assert torch.equal(again.vae.encode(picture).latent_dist.mean, pipe.vae.encode(picture).latent_dist.mean)
    assert again.scheduler.config.prediction_type == "epsilon"
    assert again.safety_checker is None
    assert not again.unet.training


def test_half_precision_files_come_back_in_fp32(sd1: tuple[Pipeline, Path], tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: weight.half() for name, weight in load_file(sd1[1]).items()}, path)
    pipe = load_backbone(path, architecture="sd1")
    assert pipe.unet.conv_in.weight.dtype == pipe.text_encoder.dtype == torch.float32


@pytest.mark.parametrize(("architecture", "prediction"), [("sd2-base", "epsilon"), ("sd2-v", "v_prediction")])
def test_an_sd2_file_gives_the_same_pipeline(
    sd2: tuple[Pipeline, TextTransformer, Path], architecture: Architecture, prediction: str
) -> None:
    """Its text encoder reads open_clip's last layer but one, then the final normalisation."""
    pipe, tower, path = sd2
    again = load_backbone(path, architecture=architecture)
    assert same_weights(pipe.unet, again.unet)
    assert same_weights(pipe.vae, again.vae)
    assert again.scheduler.config.prediction_type == prediction
    ids = open_clip.tokenize(["a photo of fetal brain"])
    ours = again.tokenizer(["a photo of fetal brain"], padding="max_length", return_tensors="pt").input_ids
    assert torch.equal(ours, ids)
    with torch.no_grad():
        states = tower.token_embedding(ids) + tower.positional_embedding
        for block in tower.transformer.resblocks[:-1]:
            states = block(states, attn_mask=tower.attn_mask)
        torch.testing.assert_close(again.text_encoder(ids)[0], tower.ln_final(states))


def test_an_sdxl_file_gives_the_same_pipeline(tmp_path: Path) -> None:
    """Its second text encoder's pooled vector is open_clip's own."""
    pipe, tower = build("sdxl", tmp_path, small=True, seed=0), drawn_tower(80, 32)
    first = clip_weights(pipe.text_encoder, "conditioner.embedders.0.transformer.")
    path = checkpoint(pipe, tmp_path / "xl.safetensors", first, tower_weights(tower, "conditioner.embedders.1.model."))
    again = load_backbone(path)
    assert same_weights(pipe.unet, again.unet)
    assert same_weights(pipe.vae, again.vae)
    assert same_weights(pipe.text_encoder, again.text_encoder)
    assert again.vae.config.scaling_factor == 0.13025
    assert again.watermark is None
    ids = again.tokenizer_2(["a photo of fetal brain"], padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        torch.testing.assert_close(again.text_encoder_2(ids).text_embeds, tower(ids))


def test_an_sd2_file_needs_a_prediction_type(sd2: tuple[Pipeline, TextTransformer, Path]) -> None:
    with pytest.raises(BackboneError, match=r"give architecture='sd2-base' \(512 px, noise\) or 'sd2-v'"):
        load_backbone(sd2[2])


def test_another_architecture_than_the_files_is_refused(sd1: tuple[Pipeline, Path]) -> None:
    with pytest.raises(BackboneError, match="architecture='sdxl' was given, and it is sd1"):
        load_backbone(sd1[1], architecture="sdxl")


def changed(sd1: tuple[Pipeline, Path], folder: Path, name: str, weight: Tensor | None) -> Path:
    weights = {known: value for known, value in load_file(sd1[1]).items() if known != name}
    path = folder / "changed.safetensors"
    save_file(weights if weight is None else weights | {name: weight}, path)
    return path


@pytest.mark.parametrize(
    ("name", "weight", "said"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", torch.ones(16, 9, 3, 3), "reads 9 channels instead of 4"),
        ("model.diffusion_model.input_blocks.0.0.weight", torch.ones(48, 4, 3, 3), "begins with 48 channels instead"),
        ("model.diffusion_model.input_blocks.0.0.weight", None, "lacks a UNet, an autoencoder or text encoders"),
        ("first_stage_model.encoder.conv_in.weight", None, "lacks a UNet, an autoencoder or text encoders"),
        ("model.diffusion_model.out.2.bias", None, "weights are missing"),
        (
            "cond_stage_model.transformer.text_model.final_layer_norm.bias",
            None,
            r"CLIPTextModel lacks 1 weights, such as final_layer_norm\.bias",
        ),
        ("model.diffusion_model.out.2.bias", torch.ones(5), r"conv_out\.bias expected shape"),
    ],
)
def test_a_file_that_is_not_a_whole_stable_diffusion_is_refused(
    sd1: tuple[Pipeline, Path], tmp_path: Path, name: str, weight: Tensor | None, said: str
) -> None:
    with pytest.raises(BackboneError, match=said):
        load_backbone(changed(sd1, tmp_path, name, weight))


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin"])
def test_a_pickle_is_refused(tmp_path: Path, name: str) -> None:
    torch.save({"state_dict": {}}, tmp_path / name)
    with pytest.raises(
        BackboneError, match=r"a pickle, such as a \.ckpt, can run any code; convert it to \.safetensors"
    ):
        load_backbone(tmp_path / name)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not weights at all, not weights at all")
    with pytest.raises(BackboneError, match="cannot be loaded as a Stable Diffusion"):
        load_backbone(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": torch.ones(1)}, path)
    with pytest.raises(BackboneError, match="lacks a UNet, an autoencoder or text encoders under their original names"):
        load_backbone(path)
