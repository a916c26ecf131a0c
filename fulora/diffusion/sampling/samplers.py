"""Deterministic samplers, which turn noise into latents in a few steps."""

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

from fulora.diffusion.models.loading import quiet
from fulora.diffusion.models.noise_schedules import ScheduleError, custom_spacing
from fulora.diffusion.sampling.config import Sampler

SIGMA_OPTIONS = {
    "dpm++": ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"),
    "unipc": ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
    "euler": ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"),
    "ddim": (),
}
"""The options for noise levels of a backbone's scheduler that each sampler supports."""


def build_sampler(schedule: Any, name: Sampler) -> Any:
    """Build a sampler for the noise schedule of a pipeline (the `config` of its scheduler).

    Its timesteps end at the noisiest one ("trailing"), where images start: other spacings leave it out, and give
    every image the same medium brightness (Lin et al. 2024, arXiv 2305.08891). DDIM must be told not to clip latents
    as if they were pixels, as it does where a schedule is silent, such as that of another sampler.

    With zero terminal SNR the noisiest timestep is pure noise. DDIM starts from it exactly; the others take its SNR to
    be 2^-24, as diffusers has it, because they divide by its square root.

    Raises:
        ScheduleError: if the schedule needs noise levels, such as Karras sigmas, that the sampler does not support.
    """
    spacing = "trailing"
    option = custom_spacing(schedule)
    if option and option not in SIGMA_OPTIONS[name]:
        others = ", ".join(other for other, options in SIGMA_OPTIONS.items() if option in options)
        raise ScheduleError(
            f"the backbone's scheduler asks for {option}=true, which sampler={name} does not have: use {others}, or "
            "set it to false in scheduler/scheduler_config.json"
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
    """Within the context, ignore warnings of numpy 2 about how diffusers' samplers convert tensors to arrays."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield
