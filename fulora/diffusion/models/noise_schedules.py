"""Noise schedules: what a backbone predicts, at which noise levels, and which schedules are supported.

A schedule is the `config` of a pipeline's scheduler. Supported are discrete variance-preserving ones (Ho et al. 2020),
also with zero terminal SNR (Lin et al. 2024, arXiv 2305.08891). Anything else is refused: EDM (Karras et al.
2022) and flow matching preprocess latents in another way, and would be sampled as noise prediction without an error.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fulora.diffusion.models.config_values import check_count, check_number, check_numbers, check_switches

if TYPE_CHECKING:
    from diffusers import DDPMScheduler

_NAMES = (
    "DDIM DDPM DEISMultistep DPMSolverMultistep DPMSolverSDE DPMSolverSinglestep EulerAncestralDiscrete EulerDiscrete "
    "HeunDiscrete KDPM2AncestralDiscrete KDPM2Discrete LMSDiscrete PNDM UniPCMultistep"
)
SCHEDULERS = frozenset(f"{name}Scheduler" for name in _NAMES.split())
"""Schedulers of diffusers that describe a discrete variance-preserving schedule."""

PREDICTIONS = {"epsilon": "noise", "v_prediction": "velocity", "sample": "the image itself"}
"""What a denoiser can predict, by diffusers' name, in words."""

BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
"""Noise levels of the steps that a scheduler can ask for, instead of evenly spaced timesteps."""

WHERE = "scheduler/scheduler_config.json"
SWITCHES = (*SPACINGS, "use_flow_sigmas", "rescale_betas_zero_snr", "clip_sample", "thresholding")
TIMESTEP_SPACINGS = ("leading", "trailing", "linspace")


class ScheduleError(ValueError):
    """A noise schedule that cannot be trained or sampled here."""


def check_schedule(config: Mapping[str, Any], *classes: str) -> None:
    """Refuse a schedule that is not supported.

    Args:
        config: of a scheduler; what it leaves out has the default of its class.
        classes: names of the scheduler's class, as the folder's files give them.

    Raises:
        ScheduleError: another kind of scheduler, of prediction, of timesteps or of betas; a value of another type or
            out of its range; or zero terminal SNR for a backbone that predicts noise.
    """
    for name in classes:
        if name not in SCHEDULERS:
            kind = "flow matching" if name.startswith("FlowM") else "EDM" if name.startswith("EDM") else "another kind"
            raise ScheduleError(
                f"its scheduler is {name} ({kind}), and only discrete schedules of noise or velocity prediction are "
                f"sampled and trained here: {', '.join(sorted(SCHEDULERS))}"
            )
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in tuple(PREDICTIONS):
        allowed = ", ".join(PREDICTIONS)
        raise ScheduleError(f"its prediction_type is {prediction!r}; {allowed} can be sampled")
    if config.get("use_flow_sigmas"):
        raise ScheduleError("its scheduler says use_flow_sigmas=true (flow matching), which is not sampled here")
    if config.get("timestep_type", "discrete") != "discrete":
        raise ScheduleError(
            f"its scheduler says timestep_type={config['timestep_type']!r} (EDM), and only 'discrete' is sampled here"
        )
    if config.get("trained_betas") is None and config.get("beta_schedule", "linear") not in BETAS:
        raise ScheduleError(f"its beta_schedule is {config['beta_schedule']!r}; {', '.join(BETAS)} can be sampled")
    try:
        _check_values(config)
    except ValueError as error:
        raise ScheduleError(str(error)) from error
    if zero_terminal_snr(config) and prediction == "epsilon":
        raise ScheduleError(
            "it predicts noise (prediction_type=epsilon) and has zero terminal SNR (rescale_betas_zero_snr=true, or a "
            "key 'ztsnr'): from pure noise, predicted noise says nothing about the image (Lin et al. 2024), so one of "
            "the two is wrong; a file of velocity prediction also has a key 'v_pred'"
        )


def _check_values(config: Mapping[str, Any]) -> None:
    check_switches(config, SWITCHES, WHERE)
    check_count(config, "num_train_timesteps", WHERE, 2)
    check_count(config, "steps_offset", WHERE, 0)
    check_numbers(config, "trained_betas", WHERE, config.get("num_train_timesteps", 1000), above=0, below=1)
    for key in ("beta_start", "beta_end"):
        check_number(config, key, WHERE, above=0, below=1)
    first, last = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    if first >= last:
        raise ValueError(
            f"{WHERE}: beta_start is {first} and beta_end {last}; noise has to grow with the timestep, so beta_end has "
            "to be the larger one"
        )
    if (spacing := config.get("timestep_spacing", "leading")) not in TIMESTEP_SPACINGS:
        raise ValueError(f"{WHERE}: timestep_spacing is {spacing!r}; {', '.join(TIMESTEP_SPACINGS)} are known")


def zero_terminal_snr(config: Mapping[str, Any]) -> bool:
    """Return whether the last timestep is pure noise."""
    return bool(config.get("rescale_betas_zero_snr", False))


def training_schedule(config: Mapping[str, Any]) -> "DDPMScheduler":
    """Return the schedule by which training adds noise, whatever sampler the backbone was saved with.

    A sampler's own methods would not do: diffusers' Euler adds noise without scaling the latents down.

    Raises:
        ScheduleError: if the backbone predicts neither noise nor velocity.
    """
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise ScheduleError(
            f"the backbone's prediction_type is '{prediction}'; 'epsilon' and 'v_prediction' can be trained"
        )
    from diffusers import DDPMScheduler

    scheduler: DDPMScheduler = DDPMScheduler.from_config(config)
    return scheduler


def custom_spacing(config: Mapping[str, Any]) -> str:
    """Return the setting by which a scheduler selects special noise levels; "" if it does not."""
    return next((name for name in SPACINGS if config.get(name)), "")


def describe_schedule(config: Mapping[str, Any]) -> str:
    """Describe what is special about a schedule, for a log; "" for evenly spaced steps of noise prediction."""
    prediction, spacing = config.get("prediction_type", "epsilon"), custom_spacing(config)
    parts = [
        f"it predicts {PREDICTIONS[prediction]}" if prediction != "epsilon" else "",
        "zero terminal SNR" if zero_terminal_snr(config) else "",
        f"{spacing}=true" if spacing else "",
    ]
    return ", ".join(part for part in parts if part)
