"""What headers of checkpoint and LoRA files declare about the backbone: family, prediction, zero terminal SNR.

Sources are kohya's `ss_*` keys and Stability's ModelSpec (`modelspec.*`). Each statement is returned with its source,
so that contradictions are detected.
"""

import re
from collections.abc import Mapping

WORDS = {"epsilon": "noise (epsilon)", "v_prediction": "velocity (v_prediction)"}

_PREDICTIONS = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "v-prediction": "v_prediction",
    "vpred": "v_prediction",
    "velocity": "v_prediction",
}
_FAMILIES = (
    (re.compile(r"(stable-diffusion|sd)[ _-]?v?1"), "sd1"),
    (re.compile(r"(stable-diffusion|sd)[ _-]?v?2"), "sd2"),
    (re.compile(r"(stable-diffusion|sd)[ _-]?xl"), "sdxl"),
    (re.compile(r"(stable-diffusion|sd)[ _-]?v?3"), "sd3"),
    (re.compile(r"flux"), "flux"),
)
FAMILY_KEYS = ("modelspec.architecture", "ss_base_model_version")


def family_of(name: str) -> str:
    """Return the family (sd1, sd2, sdxl, sd3 or flux) of a model name or architecture name; "" if it is another."""
    return next((family for pattern, family in _FAMILIES if pattern.match(name.lower())), "")


def declared_families(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the declared family by its source, such as `modelspec.architecture=stable-diffusion-v1`."""
    declared = {f"{key}={metadata[key]}": family_of(metadata[key]) for key in FAMILY_KEYS if key in metadata}
    if metadata.get("ss_v2") == "True":
        declared["ss_v2=True"] = "sd2"
    return {source: family for source, family in declared.items() if family}


def declared_predictions(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the declared prediction type (`epsilon`, `v_prediction` or another) by its source.

    kohya's `ss_base_model_version` declares it for SD 1.x and 2.x by a final `_v` or none, and not for SDXL.
    """
    declared = {}
    if prediction := metadata.get("modelspec.prediction_type"):
        declared[f"modelspec.prediction_type={prediction}"] = _PREDICTIONS.get(prediction.lower(), prediction)
    if metadata.get("ss_v_parameterization") in ("True", "False"):
        velocity = metadata["ss_v_parameterization"] == "True"
        declared[f"ss_v_parameterization={velocity}"] = "v_prediction" if velocity else "epsilon"
    explicit = bool(declared)
    for key in FAMILY_KEYS:
        name = metadata.get(key, "").lower().partition("/")[0]
        if re.search(r"[_-]v$", name):
            declared[f"{key}={metadata[key]}"] = "v_prediction"
        elif name == "stable-diffusion-v2-512" or (name in ("sd_v1", "sd_v2") and not explicit):
            declared[f"{key}={metadata[key]}"] = "epsilon"
    return declared


def declares_zero_snr(metadata: Mapping[str, str]) -> bool:
    """Return whether kohya's header declares that the schedule ends in pure noise."""
    return metadata.get("ss_zero_terminal_snr") == "True"


def contradiction(declared: Mapping[str, str]) -> str:
    """Describe declared prediction types that are unknown or contradict each other; "" if there are none."""
    unknown = [by for by, prediction in declared.items() if prediction not in WORDS]
    if unknown:
        return f"{unknown[0]} is neither noise prediction (epsilon) nor velocity prediction (v)"
    if len(set(declared.values())) > 1:
        means = "; ".join(f"{by} means {WORDS[what]}" for by, what in declared.items())
        return f"what it predicts is contradictory: {means}; remove the wrong one"
    return ""
