"""Latents as the autoencoder has them and as the denoiser has them: the arithmetic of diffusers' own pipelines."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline

from fulora.diffusion.models.architectures import build
from fulora.diffusion.models.latent_scaling import check_scaling, scale_latents, scale_std, unscale_latents
from fulora.diffusion.sampling.sample import decode, encode
from fulora.diffusion.training.objective import encode as encode_for_training

pytestmark = pytest.mark.slow

MEAN, STD = [-1.6574, 1.886, -1.383, 2.5155], [8.4927, 5.9022, 6.5498, 5.2299]
"""Those of Playground v2.5, which is of SDXL's kind."""


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pipe = build("sdxl", tmp_path_factory.mktemp("sdxl"), small=True, seed=0)
    pipe.vae.register_to_config(latents_mean=MEAN, latents_std=STD, scaling_factor=0.5)
    return pipe


def test_sdxl_decodes_as_its_own_pipeline(sdxl: Any) -> None:
    def drawn(kind: str) -> Any:
        generator = torch.Generator().manual_seed(0)
        return sdxl("brain", height=64, width=64, num_inference_steps=1, generator=generator, output_type=kind).images

    ours = decode(sdxl.vae, drawn("latent"))
    assert np.allclose(ours.permute(0, 2, 3, 1).numpy(), drawn("np"), atol=1e-5)


def test_sdxl_encodes_as_its_own_pipeline(sdxl: Any) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    theirs = StableDiffusionXLImg2ImgPipeline(**sdxl.components, add_watermarker=False)
    given = (torch.from_numpy(picture).float() / 127.5 - 1).expand(1, 3, -1, -1)
    expected = theirs.prepare_latents(
        given, None, 1, 1, torch.float32, "cpu", torch.Generator().manual_seed(0), add_noise=False
    )
    ours = encode_for_training(sdxl.vae, [picture])
    noise = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(ours.mean[0] + ours.std[0] * noise, expected, atol=1e-5)
    assert torch.allclose(encode(sdxl.vae, torch.from_numpy(picture)[None])[0], ours.mean[0], atol=1e-6)


def test_a_shift_is_taken_off_and_put_back(backbone: Path) -> None:
    """As SD 3's pipeline has it: (own - shift) * factor, and latents / factor + shift."""
    from fulora.diffusion.models.loading import load_backbone

    vae = load_backbone(backbone).vae
    vae.register_to_config(shift_factor=0.0609, scaling_factor=1.5305)
    own = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    latents = scale_latents(vae, own)
    assert torch.allclose(latents, (own - 0.0609) * 1.5305)
    assert torch.allclose(unscale_latents(vae, latents), own, atol=1e-6)
    assert torch.allclose(scale_std(vae, own), own * 1.5305)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"latents_mean": MEAN}, "one of latents_mean and latents_std: both or neither"),
        ({"latents_std": STD}, "one of latents_mean and latents_std: both or neither"),
        ({"latents_mean": MEAN, "latents_std": STD, "shift_factor": 0.1}, "latents_mean and shift_factor"),
        ({"latents_mean": MEAN[:3], "latents_std": STD}, "latents_mean is .*; 4 numbers are needed, each a finite"),
        ({"latents_mean": MEAN, "latents_std": [1, 1, 1, 0]}, "4 numbers are needed, each a positive number"),
        ({"latents_mean": "0", "latents_std": STD}, "latents_mean is '0'; 4 numbers are needed"),
        ({"latents_mean": [0, 0, 0, math.nan], "latents_std": STD}, "4 numbers are needed, each a finite number"),
        ({"shift_factor": "0.1"}, r"vae/config\.json: shift_factor is '0\.1'; a finite number is needed"),
        ({"latent_channels": "4"}, "latent_channels is '4'; a whole number of at least 1"),
        ({"latent_channels": True}, "latent_channels is True; a whole number"),
        *(
            ({"scaling_factor": factor}, r"vae/config\.json: scaling_factor is .*; a positive number is needed")
            for factor in (0, -0.18, "0.79", [0.79], None, True, math.nan, math.inf)
        ),
    ],
)
def test_a_config_that_does_not_say_one_scaling_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_scaling(config)


def test_ordinary_configs_are_not_refused(sdxl: Any) -> None:
    check_scaling({})
    check_scaling(sdxl.vae.config)
