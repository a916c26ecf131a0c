from pathlib import Path

import pytest
import torch

from fulora.diffusion.config import PretrainConfig
from fulora.diffusion.lora.adapters import TEXT_TARGETS, UNET_TARGETS
from fulora.diffusion.models.architectures import (
    ARCHITECTURES,
    SMALL_UNETS,
    TEXT_ENCODERS,
    UNETS,
    Architecture,
    Pipeline,
    build,
    build_backbone,
)
from fulora.diffusion.models.loading import networks, quiet
from fulora.diffusion.models.tokenizers import collect_words

pytestmark = pytest.mark.slow

PARAMETERS = {
    "sd1": [859_520_964, 83_653_863, 123_060_480],
    "sd2-base": [865_910_724, 83_653_863, 340_387_840],
    "sd2-v": [865_910_724, 83_653_863, 340_387_840],
    "sdxl": [2_567_463_684, 83_653_863, 123_060_480, 694_659_840],
}
"""Of UNet, autoencoder and text encoders, as published."""


def full(architecture: Architecture, folder: Path) -> Pipeline:
    with torch.device("meta"):
        return build(architecture, folder, small=False, seed=0)


def counts(pipe: Pipeline) -> list[int]:
    return [sum(parameter.numel() for parameter in module.parameters()) for module in networks(pipe)]


def module_kinds(pipe: Pipeline) -> list[list[tuple[str, type]]]:
    return [[(name, type(part)) for name, part in module.named_modules()] for module in networks(pipe)]


def weights(pipe: Pipeline) -> list[torch.Tensor]:
    return [parameter.detach() for module in networks(pipe) for parameter in module.parameters()]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_architectures_have_the_published_numbers_of_parameters(
    architecture: Architecture, tmp_path: Path
) -> None:
    pipe = full(architecture, tmp_path)
    assert counts(pipe) == PARAMETERS[architecture]
    assert all(parameter.is_meta for parameter in weights(pipe))
    assert not pipe.scheduler.alphas_cumprod.is_meta


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_small_ones_have_the_same_modules_and_settings(architecture: Architecture, tmp_path: Path) -> None:
    large, small = full(architecture, tmp_path), build(architecture, tmp_path, small=True, seed=0)
    assert module_kinds(large) == module_kinds(small)
    assert sum(counts(small)) < 21e6
    settings = {name: value for name, value in large.unet.config.items() if not name.startswith("_")}
    assert {n for n, value in settings.items() if small.unet.config[n] != value} == set(SMALL_UNETS[architecture])
    assert (
        large.vae.config.scaling_factor
        == small.vae.config.scaling_factor
        == (0.13025 if architecture == "sdxl" else 0.18215)
    )
    assert large.vae.config.force_upcast == small.vae.config.force_upcast == (architecture == "sdxl")


def test_sd1_has_the_264_modules_that_kohya_adapts(tmp_path: Path) -> None:
    """192 in the 16 transformers of the UNet, 72 in the 12 layers of the text encoder."""
    pipe = build("sd1", tmp_path, small=True, seed=0)
    transformers = [name for name, part in pipe.unet.named_modules() if type(part).__name__ == "Transformer2DModel"]
    assert len(transformers) == 16
    assert len([name for name, _ in pipe.unet.named_modules() if name.endswith(UNET_TARGETS["kohya"])]) == 192
    assert len([name for name, _ in pipe.text_encoder.named_modules() if name.endswith(TEXT_TARGETS["kohya"])]) == 72


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_small_one_draws_pictures(architecture: Architecture, tmp_path: Path) -> None:
    pipe = build(architecture, tmp_path, small=True, seed=0)
    with quiet():
        pictures = pipe("a photo of fetal brain", num_inference_steps=2, output_type="np").images
    assert pictures.shape == (1, 64, 64, 3)
    assert pictures.std() > 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_unets_answer_depends_on_the_caption(architecture: Architecture, tmp_path: Path) -> None:
    unet = build(architecture, tmp_path, small=True, seed=0).unet
    latents, captions = torch.ones(2, 4, 8, 8), torch.randn(2, 77, unet.config.cross_attention_dim)
    added = {"text_embeds": torch.zeros(2, 80), "time_ids": torch.zeros(2, 6)}
    with torch.no_grad():
        answer = unet(latents, 500, captions, added_cond_kwargs=added if architecture == "sdxl" else None).sample
    assert answer.shape == (2, 4, 8, 8)
    assert not torch.allclose(answer[0], answer[1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_schedulers_have_the_published_noise(architecture: Architecture, tmp_path: Path) -> None:
    """Rombach et al. 2022: the last of 1,000 steps keeps 0.466 % of the signal's variance."""
    scheduler = build(architecture, tmp_path, small=True, seed=0).scheduler
    assert scheduler.config.prediction_type == ("v_prediction" if architecture == "sd2-v" else "epsilon")
    assert scheduler.config.steps_offset == 1
    assert scheduler.alphas_cumprod[0].item() == pytest.approx(1 - 0.00085)
    assert scheduler.alphas_cumprod[-1].item() == pytest.approx(0.00466, abs=5e-6)


@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_weights_come_from_the_seed_alone(architecture: Architecture, tmp_path: Path) -> None:
    torch.manual_seed(5)
    first = weights(build(architecture, tmp_path, small=True, seed=1))
    assert torch.equal(torch.rand(1), torch.rand(1, generator=torch.Generator().manual_seed(5)))
    second, other = (weights(build(architecture, tmp_path, small=True, seed=seed)) for seed in (1, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    assert any(not torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_another_precision_is_the_same_weights_rounded(tmp_path: Path) -> None:
    exact = weights(build("sd1", tmp_path, small=True, seed=1))
    rounded = weights(build("sd1", tmp_path, small=True, seed=1, dtype=torch.bfloat16))
    assert all(torch.equal(one.bfloat16(), two) for one, two in zip(exact, rounded, strict=True))


def test_sdxl_joins_the_widths_of_its_two_text_encoders() -> None:
    widths = [encoder["hidden_size"] for encoder in TEXT_ENCODERS["sdxl"]]
    unet = UNETS["sdxl"]
    assert sum(widths) == unet["cross_attention_dim"]
    assert widths[1] + 6 * unet["addition_time_embed_dim"] == unet["projection_class_embeddings_input_dim"]


def test_the_default_backbone_weighs_less_than_13_mb(tmp_path: Path) -> None:
    unet, vae, text_encoder = counts(build_backbone(PretrainConfig(), 64, tmp_path, collect_words(())))
    assert unet <= 5.2e6
    assert vae <= 1.5e6
    assert 2 * (unet + vae + text_encoder) < 13e6
