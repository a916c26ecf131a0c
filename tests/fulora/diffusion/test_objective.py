from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training.objective import batch_timesteps, encode, noise_error, stratified_timesteps

SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def answering(answer: torch.Tensor) -> Any:
    return lambda noisy, timesteps, **arguments: SimpleNamespace(sample=answer)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_error_is_that_of_the_target_weighted_as_published(prediction: str) -> None:
    """By hand: SNR = alpha_bar / (1 - alpha_bar); velocity = sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) latents."""
    scheduler = DDPMScheduler(prediction_type=prediction, **SCHEDULE)
    random = torch.Generator().manual_seed(0)
    latents, noise, answer = (torch.randn(3, 4, 8, 8, generator=random) for _ in range(3))
    timesteps = torch.tensor([5, 400, 990])
    share = scheduler.alphas_cumprod[timesteps]
    target = noise
    if prediction == "v_prediction":
        target = share.sqrt()[:, None, None, None] * noise - (1 - share).sqrt()[:, None, None, None] * latents
    plain = (answer - target).square().mean((1, 2, 3))
    found = noise_error(answering(answer), scheduler, latents, noise, timesteps, {})
    assert torch.allclose(found, plain, rtol=1e-4)
    snr = share / (1 - share)
    weight = torch.minimum(snr, torch.tensor(5.0)) / (snr + 1 if prediction == "v_prediction" else snr)
    weighted = noise_error(answering(answer), scheduler, latents, noise, timesteps, {}, min_snr_gamma=5.0)
    assert torch.allclose(weighted, plain * weight, rtol=1e-4)
    assert weight[0] < 0.1 < 0.9 < weight[2] + (prediction == "v_prediction")


def test_the_unet_gets_the_noisy_latents_in_its_own_precision() -> None:
    scheduler = DDPMScheduler(**SCHEDULE)
    got = {}

    def unet(noisy: torch.Tensor, timesteps: torch.Tensor, **arguments: Any) -> Any:
        got.update(noisy=noisy, **arguments)
        return SimpleNamespace(sample=torch.zeros_like(noisy))

    latents, noise = torch.ones(2, 4, 8, 8), torch.full((2, 4, 8, 8), 2.0)
    timesteps = torch.tensor([0, 500])
    found = noise_error(unet, scheduler, latents, noise, timesteps, {"words": 1}, dtype=torch.bfloat16)
    assert got["noisy"].dtype == torch.bfloat16
    assert torch.equal(got["noisy"], scheduler.add_noise(latents, noise, timesteps).bfloat16())
    assert got["words"] == 1
    assert found.dtype == torch.float32
    assert torch.allclose(found, torch.tensor([4.0, 4.0]))


def test_every_64_draws_in_a_row_cover_the_schedule_evenly_whatever_the_batch() -> None:
    for count in (1, 3, 16, 128):
        draws = torch.cat([stratified_timesteps(count, 1000, step, 0) for step in range(-(-128 // count))])[:128]
        for half in (draws[:64], draws[64:]):
            strata = sorted((half.double() * 64 / 1000).floor().int().tolist())
            misses = 64 - len(set(strata))
            assert misses <= 4  # the border of two strata can fall inside a timestep
    one = torch.cat([stratified_timesteps(4, 1000, step, 0) for step in range(16)])
    assert not torch.equal(one, torch.cat([stratified_timesteps(4, 1000, step, 1) for step in range(16)]))
    assert not torch.equal(one[:32], one[32:])


def test_a_batch_covers_the_schedule_by_itself() -> None:
    times = batch_timesteps(10, 1000, torch.Generator().manual_seed(0))
    assert sorted((times // 100).tolist()) == list(range(10))


def test_pictures_are_encoded_alike_whatever_they_are_encoded_beside(backbone: Any) -> None:
    vae = load_backbone(backbone).vae
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, shape).astype(np.uint8) for shape in [(32, 32), (16, 48), (32, 32), (16, 48)]]
    together = encode(vae, pictures)
    for place, picture in enumerate(pictures):
        alone = encode(vae, [picture])
        assert torch.allclose(alone.mean[0], together.mean[place], atol=1e-5)
        assert torch.allclose(alone.std[0], together.std[place], atol=1e-5)
    assert together.mean[1].shape == (4, 4, 12)
