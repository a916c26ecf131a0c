"""Deterministic samplers: what turns noise into a latent in a few steps, the same way each time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

from fulora.diffusion.config import Sampler
from fulora.diffusion.models.loading import quiet
from fulora.diffusion.models.noise_schedules import ScheduleError, custom_spacing

OBEYED = {
    "dpm++": ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"),
    "unipc": ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
    "euler": ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
    "ddim": (),
}
"""The noise levels that a backbone's scheduler may ask for and a sampler can use."""


def build_sampler(schedule: Any, name: Sampler) -> Any:
    """A new sampler for the noise schedule of a pipeline (the `config` of its scheduler).

    Its timesteps end at the noisiest one ("trailing"), where pictures start: other spacings leave it out, and give
    every picture the same medium brightness (Lin et al. 2024, arXiv 2305.08891). DDIM must be told not to clip latents
    as if they were pixels, as it does where a schedule is silent, such as that of another sampler.

    With zero terminal SNR the noisiest timestep is pure noise. DDIM starts from it exactly; the others take its SNR to
    be 2^-24, as diffusers has it, because they divide by its square root.

    Raises:
        ScheduleError: the schedule asks for noise levels, such as Karras sigmas, that the sampler does not have.
    """
    spacing, asked = "trailing", custom_spacing(schedule)
    if asked and asked not in OBEYED[name]:
        able = ", ".join(other for other, known in OBEYED.items() if asked in known)
        raise ScheduleError(
            f"the backbone's scheduler asks for {asked}=true, which sampler={name} does not have: use {able}, or set "
            "it to false in scheduler/scheduler_config.json"
        )
    with quiet():
        match name:
            case "dpm++":
                return DPMSolverMultistepScheduler.from_config(
                    schedule, timestep_spacing=spacing, algorithm_type="dpmsolver++"
                )
            case "unipc":
                return UniPCMultistepScheduler.from_config(schedule, timestep_spacing=spacing)
            case "euler":
                return EulerDiscreteScheduler.from_config(schedule, timestep_spacing=spacing)
            case "ddim":
                return DDIMScheduler.from_config(schedule, timestep_spacing=spacing, clip_sample=False)


@contextmanager
def as_numpy_2() -> Iterator[None]:
    """Inside, nothing is said of diffusers' samplers turning tensors into arrays the way numpy 1 did."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield
