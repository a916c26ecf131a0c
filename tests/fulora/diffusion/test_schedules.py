"""Noise schedules: zero terminal SNR as published, in training and in every sampler; other kinds refused."""

from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, PNDMScheduler
from torch import Tensor

from fulora.diffusion.models.conditioning import Conditioning
from fulora.diffusion.models.noise_schedules import ScheduleError, check_schedule, describe_schedule, training_schedule
from fulora.diffusion.sampling.config import Sampler
from fulora.diffusion.sampling.sample import Guidance, denoise
from fulora.diffusion.sampling.samplers import as_numpy_2, build_sampler
from fulora.diffusion.training.objective import noise_error

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
BETAS: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
ZERO: dict[str, Any] = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


def zero_snr_shares() -> np.ndarray:
    """The cumulative products of alpha by algorithm 1 of Lin et al. 2024, in double precision."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    roots = np.sqrt(np.cumprod(1 - betas))
    rescaled: np.ndarray = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    return rescaled


@pytest.mark.parametrize("kind", [DDPMScheduler, EulerDiscreteScheduler])
def test_training_has_zero_terminal_snr_whatever_sampler_a_backbone_was_saved_with(kind: Any) -> None:
    schedule = training_schedule(kind(**BETAS, **ZERO).config)
    assert np.allclose(schedule.alphas_cumprod.numpy(), zero_snr_shares(), atol=2e-6)
    assert schedule.alphas_cumprod[-1] == 0
    picture, noise = torch.full((1, 4, 2, 2), 3.0), torch.ones(1, 4, 2, 2)
    last = torch.tensor([999])
    assert torch.equal(schedule.add_noise(picture, noise, last), noise)
    assert torch.equal(schedule.get_velocity(picture, noise, last), -picture)


def test_noise_is_added_as_in_training_though_a_backbone_was_saved_with_eulers_sampler() -> None:
    """Euler's own method would not scale the picture down."""
    euler = EulerDiscreteScheduler(**BETAS)
    found = training_schedule(euler.config).add_noise(torch.ones(1), torch.zeros(1), torch.tensor([999]))
    assert found.item() == pytest.approx(float(np.sqrt(0.004660095)), rel=1e-3)


@pytest.mark.parametrize("gamma", [None, 5.0])
def test_the_loss_is_finite_at_zero_snr(gamma: float | None) -> None:
    """min(SNR, gamma) / (SNR + 1) is 0 there."""
    schedule = training_schedule(DDPMScheduler(**BETAS, **ZERO).config)
    latents, noise = torch.full((2, 4, 2, 2), 2.0), torch.ones(2, 4, 2, 2)
    unet: Any = lambda noisy, times, **more: SimpleNamespace(sample=torch.zeros_like(noisy))  # noqa: E731
    error = noise_error(unet, schedule, latents, noise, torch.tensor([999, 500]), {}, min_snr_gamma=gamma)
    assert torch.isfinite(error).all()
    assert error[0] == (4.0 if gamma is None else 0.0)


def sampled(sampler: Any, picture: Tensor, steps: int) -> Tensor:
    """The end of sampling, in fulora's own loop, by a denoiser of velocity that knows the picture."""
    shares = torch.from_numpy(zero_snr_shares())

    def unet(given: Tensor, time: Tensor, **more: Any) -> Any:
        share = shares[int(time)].clamp(min=2.0**-24 if sampler.alphas_cumprod[-1] > 0 else 0.0).float()
        noise = (given - share.sqrt() * picture) / (1 - share).sqrt()
        return SimpleNamespace(sample=share.sqrt() * noise - (1 - share).sqrt() * picture)

    texts = Conditioning(torch.zeros(1, 1, 1))
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    return denoise(
        unet, sampler, (texts, texts), noise, Guidance(1.0), steps=steps, size_px=(8, 8), dtype=torch.float32
    )


@pytest.mark.parametrize("steps", [4, 25])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_starts_at_pure_noise_and_ends_at_the_picture(name: Sampler, steps: int) -> None:
    """Of a constant picture far from gray, which a schedule without zero terminal SNR does not reach."""
    sampler = build_sampler(DDPMScheduler(**BETAS, **ZERO, clip_sample=False).config, name)
    picture = torch.full((1, 4, 2, 2), 3.0)
    found = sampled(sampler, picture, steps)
    assert sampler.timesteps[0] == 999
    assert sampler.config.prediction_type == "v_prediction"
    assert float(sampler.alphas_cumprod[-1]) <= 2.0**-24
    assert torch.allclose(found, picture, atol=0.02)


@pytest.mark.parametrize("name", ["dpm++", "unipc", "euler"])
def test_karras_sigmas_are_obeyed_where_a_sampler_has_them(name: Sampler) -> None:
    """Karras et al. 2022, equation 5, with rho = 7: the middle one of three noise levels."""
    sampler = build_sampler(DDPMScheduler(**BETAS).config | {"use_karras_sigmas": True}, name)
    with as_numpy_2():
        sampler.set_timesteps(3)
    high, middle, low = sampler.sigmas[:3].tolist()
    assert middle == pytest.approx(((high ** (1 / 7) + low ** (1 / 7)) / 2) ** 7, rel=1e-3)


@pytest.mark.parametrize("asked", ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"])
def test_noise_levels_that_a_sampler_lacks_are_refused(asked: str) -> None:
    with pytest.raises(ScheduleError, match=rf"asks for {asked}=true, which sampler=ddim does not have: use dpm\+\+"):
        build_sampler(DDPMScheduler(**BETAS).config | {asked: True}, "ddim")


@pytest.mark.parametrize(
    ("config", "classes", "message"),
    [
        ({}, ("EDMEulerScheduler",), r"is EDMEulerScheduler \(EDM\)"),
        ({}, ("EDMDPMSolverMultistepScheduler",), r"\(EDM\)"),
        ({}, ("FlowMatchEulerDiscreteScheduler",), r"is FlowMatchEulerDiscreteScheduler \(flow matching\)"),
        ({}, ("LCMScheduler",), r"is LCMScheduler \(another kind\)"),
        ({}, ("DDIMScheduler", "TCDScheduler"), r"is TCDScheduler \(another kind\)"),
        ({"prediction_type": "flow_prediction"}, (), "prediction_type is 'flow_prediction'; epsilon, v_prediction"),
        ({"use_flow_sigmas": True}, (), r"use_flow_sigmas=true \(flow matching\)"),
        ({"timestep_type": "continuous"}, (), r"timestep_type='continuous' \(EDM\)"),
        ({"beta_schedule": "laplace"}, (), "beta_schedule is 'laplace'; linear, scaled_linear"),
        ({"rescale_betas_zero_snr": True}, (), "predicts noise .* and has zero terminal SNR"),
        ({"prediction_type": ["epsilon"]}, (), r"prediction_type is \['epsilon'\]"),
        *(
            ({"beta_end": end}, (), r"scheduler_config\.json: beta_end is .*; a number above 0 and below 1 is needed")
            for end in ("0.012", 5.0, 1, 0, -0.1, None, [0.012], float("nan"))
        ),
        ({"beta_start": 0.02, "beta_end": 0.0001}, (), r"beta_start is 0\.02 and beta_end 0\.0001; noise has to grow"),
        ({"num_train_timesteps": "1000"}, (), "num_train_timesteps is '1000'; a whole number of at least 2"),
        ({"steps_offset": 0.5}, (), r"steps_offset is 0\.5; a whole number of at least 0"),
        ({"trained_betas": [0.1, 0.2]}, (), r"trained_betas is \[0\.1, 0\.2\]; 1000 numbers are needed"),
        ({"trained_betas": [0.1, 1.0], "num_train_timesteps": 2}, (), "2 numbers are needed, each a number above 0"),
        ({"rescale_betas_zero_snr": "false"}, (), "rescale_betas_zero_snr is 'false'; true or false is needed"),
        ({"timestep_spacing": "even"}, (), "timestep_spacing is 'even'; leading, trailing, linspace are known"),
    ],
)
def test_a_schedule_that_would_not_be_obeyed_is_refused(
    config: dict[str, Any], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ScheduleError, match=message):
        check_schedule(config, *classes)


def test_ordinary_schedules_are_not_refused_and_need_no_words() -> None:
    for kind in (DDPMScheduler, PNDMScheduler, EulerDiscreteScheduler):
        check_schedule(kind(**BETAS).config, kind.__name__)
        assert describe_schedule(kind(**BETAS).config) == ""
    check_schedule(DDPMScheduler(**BETAS, **ZERO).config)
    assert describe_schedule(DDPMScheduler(**BETAS, **ZERO).config) == "it predicts velocity, zero terminal SNR"


def test_a_backbone_that_predicts_the_image_is_not_trained() -> None:
    with pytest.raises(ScheduleError, match="prediction_type is 'sample'; 'epsilon' and 'v_prediction' can be trained"):
        training_schedule(DDPMScheduler(**BETAS, prediction_type="sample").config)
