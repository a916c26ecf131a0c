"""The backbone that a LoRA was trained for, as its file declares, compared with the one it is used with."""

import math
from collections import Counter
from typing import TYPE_CHECKING

from fulora.diffusion.lora.metadata import architecture_in, family_of_pipe, fulora_entry
from fulora.diffusion.lora.weights import Lora
from fulora.diffusion.models.headers import (
    WORDS,
    contradiction,
    declared_families,
    declared_predictions,
    declares_zero_snr,
)
from fulora.diffusion.models.noise_schedules import PREDICTIONS, zero_terminal_snr

if TYPE_CHECKING:  # diffusers takes seconds to import, and the files of LoRAs are read without it
    from fulora.diffusion.models.architectures import Pipeline


def predictions_of(lora: Lora) -> dict[str, str]:
    """Return the declared prediction type (`epsilon`, `v_prediction` or another) by its source; empty if missing."""
    recorded = fulora_entry(lora.metadata).get("prediction_type")
    return ({f"fulora's prediction_type={recorded}": str(recorded)} if recorded else {}) | declared_predictions(
        lora.metadata
    )


def families_of(lora: Lora) -> dict[str, str]:
    """Return the declared family (sd1, sd2, sdxl, sd3 or flux) by its source; empty if not declared."""
    recorded = fulora_entry(lora.metadata).get("architecture")
    return ({f"fulora's architecture={recorded}": str(recorded)} if recorded else {}) | declared_families(lora.metadata)


def zero_snr_of(lora: Lora) -> bool | None:
    """Return whether it was trained with zero terminal SNR; None if not declared."""
    entry = fulora_entry(lora.metadata)
    if "ss_zero_terminal_snr" in lora.metadata or entry.get("zero_terminal_snr"):
        return bool(entry.get("zero_terminal_snr")) or declares_zero_snr(lora.metadata)
    return False if "prediction_type" in entry else None


def describe_mismatch(lora: Lora, pipe: "Pipeline") -> str:
    """Describe why a LoRA does not fit a backbone, as its file declares; "" if nothing contradicts it."""
    backbone = family_of_pipe(pipe)
    for source, family in families_of(lora).items():
        if family != backbone:
            return f"it was trained for {family} ({source}), and the backbone is {backbone}"
    declared, predicts = predictions_of(lora), str(pipe.scheduler.config.prediction_type)
    if wrong := contradiction(declared):
        return wrong
    for source, prediction in declared.items():
        if prediction != predicts:
            return (
                f"it was trained to predict {WORDS[prediction]}, by {source}, and the backbone predicts "
                + WORDS.get(predicts, PREDICTIONS.get(predicts, predicts))
            )
    return ""


def describe_schedule_mismatch(lora: Lora, pipe: "Pipeline") -> str:
    """Describe that only one of LoRA and backbone has zero terminal SNR; "" if both or none have, or if unknown."""
    trained, sampled = zero_snr_of(lora), zero_terminal_snr(pipe.scheduler.config)
    if trained is None or trained == sampled:
        return ""
    return (
        f"trained with{'' if trained else 'out'} zero terminal SNR, and the backbone has {'it' if sampled else 'none'}"
    )


def describe_families(lora: Lora, pipe: "Pipeline") -> str:
    """Describe the families of LoRA and backbone for a message, if they differ."""
    family, backbone = architecture_in(lora), family_of_pipe(pipe)
    return f"; it is a LoRA of {family}, and the backbone is {backbone}" if family and family != backbone else ""


def describe_alpha(lora: Lora) -> str:
    """Describe missing or contradictory values of alpha; "" if every layer has one and the header agrees."""
    counts = Counter(module.alpha_from for module in lora.modules.values())
    header = lora.metadata.get("ss_network_alpha")
    if missing := counts["rank"]:
        text = f"{missing} of {len(lora.modules)} layers have no alpha: it is taken to be the rank, as all tools do"
        return text + (f", though the header says ss_network_alpha={header}" if header else "")
    alphas = sorted({module.plain_alpha for module in lora.modules.values()})
    used = ", ".join(f"{alpha:g}" for alpha in alphas[:3])
    if lora.unused_alphas:
        unused = ", ".join(f"{alpha:g}" for alpha in lora.unused_alphas[:3])
        return f"that of the layers is used ({used}), not the header's lora_alpha={unused}"
    if header and not any(math.isclose(alpha, _number(header), rel_tol=0.01) for alpha in alphas):
        return f"that of the layers is used ({used}), not the header's ss_network_alpha={header}"
    return ""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
