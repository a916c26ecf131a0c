"""Samplers: what they start from, that they keep what a backbone predicts, and that all solve one equation."""

from typing import Any, get_args

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from fulora.diffusion.sampling.config import Sampler
from fulora.diffusion.sampling.samplers import as_numpy_2, build_sampler

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
BETAS: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
"""Those of all published Stable Diffusions."""


def schedule(**changes: Any) -> Any:
    return DDPMScheduler(**BETAS, clip_sample=False, **changes).config


def with_steps(sampler: Any, steps: int) -> Any:
    with as_numpy_2():
        sampler.set_timesteps(steps)
    return sampler


def test_each_sampler_name_builds_its_scheduler() -> None:
    kinds = {name: type(build_sampler(schedule(), name)) for name in SAMPLERS}
    assert kinds == {
        "dpm++": DPMSolverMultistepScheduler,
        "unipc": UniPCMultistepScheduler,
        "euler": EulerDiscreteScheduler,
        "ddim": DDIMScheduler,
    }
    dpm = build_sampler(DPMSolverMultistepScheduler(**BETAS, algorithm_type="sde-dpmsolver++").config, "dpm++")
    assert (dpm.config.algorithm_type, dpm.config.solver_order) == ("dpmsolver++", 2)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 20, 25, 50])
def test_the_first_step_is_the_noisiest_of_the_schedule(name: Sampler, steps: int) -> None:
    """Lin et al. 2024, table 1: trailing spacing of T = 1000 starts at t = 999, counted from 0."""
    times = with_steps(build_sampler(schedule(), name), steps).timesteps
    assert len(times) == steps
    assert times[0] == 999
    assert times.tolist() == sorted(times.tolist(), reverse=True)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_what_the_backbone_predicts_and_its_schedule_of_noise_are_kept(name: Sampler, prediction: str) -> None:
    given = schedule(prediction_type=prediction)
    sampler = build_sampler(given, name)
    assert sampler.config.prediction_type == prediction
    assert torch.allclose(sampler.alphas_cumprod, DDPMScheduler.from_config(given).alphas_cumprod)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", [DDPMScheduler, PNDMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler])
def test_no_sampler_clips_latents_whatever_sampler_a_backbone_was_saved_with(name: Sampler, kind: Any) -> None:
    """Clipping, a default of DDIM, is for pixels: a latent of 3 would come out as 1."""
    given = kind(**BETAS, **({"clip_sample": False} if kind is DDPMScheduler else {})).config
    latents = with_steps(build_sampler(given, name), 4)
    start = torch.full((1, 1, 2, 2), 3.0)
    assert torch.allclose(solved(latents, start), start, atol=1e-3)


def solved(sampler: Any, picture: Tensor) -> Tensor:
    """The end of sampling by a denoiser that knows the picture."""
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    latents: Tensor = noise * sampler.init_noise_sigma
    for time in sampler.timesteps:
        share = sampler.alphas_cumprod[int(time)]
        given = sampler.scale_model_input(latents, time)
        predicted = (given - share.sqrt() * picture) / (1 - share).sqrt()
        latents = sampler.step(predicted, time, latents).prev_sample
    return latents


def normal_error(name: Sampler, steps: int) -> float:
    """How far from the exact solution sampling ends for standard normal latents, by the exact prediction of noise.

    They are standard normal at every time, so the exact solution is to leave them as they are.
    """
    sampler = with_steps(build_sampler(schedule(), name), steps)
    latents: Tensor = torch.ones(1, 1, 1, 1) * sampler.init_noise_sigma
    for time in sampler.timesteps:
        share = sampler.alphas_cumprod[int(time)]
        predicted = (1 - share).sqrt() * sampler.scale_model_input(latents, time)
        latents = sampler.step(predicted, time, latents).prev_sample
    return abs(latents.item() - 1)


def test_all_solve_one_equation_and_two_of_them_in_fewer_steps() -> None:
    few, many = ({name: normal_error(name, steps) for name in SAMPLERS} for steps in (25, 200))
    assert all(0 < many[name] < 0.012 and many[name] < few[name] / 4 for name in SAMPLERS)
    assert 3 * max(few["dpm++"], few["unipc"]) < min(few["euler"], few["ddim"]) < 0.07
