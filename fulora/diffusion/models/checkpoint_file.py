"""Identify checkpoint files under the original names, and how they are sampled, by their header alone."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDPMScheduler
from safetensors import safe_open

from fulora.data.state_dicts import wrong_format
from fulora.diffusion.config import Architecture
from fulora.diffusion.models.architectures import SMALL_UNETS, UNETS, build
from fulora.diffusion.models.headers import contradiction, declared_families, declared_predictions, declares_zero_snr
from fulora.diffusion.models.noise_schedules import check_schedule

CHOICE = "architecture='sd2-base' (512 px, noise) or 'sd2-v' (768 px, velocity)"

IDENTIFYING_WEIGHTS: dict[str, tuple[Architecture, ...]] = {
    "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": ("sd1",),
    "cond_stage_model.model.positional_embedding": ("sd2-base", "sd2-v"),
    "conditioner.embedders.1.model.positional_embedding": ("sdxl",),
}
"""Weights that identify the possible architectures of a checkpoint file."""

FIRST_OF_UNET = "model.diffusion_model.input_blocks.0.0.weight"
PARTS = {
    "UNet (model.diffusion_model.)": (FIRST_OF_UNET,),
    "autoencoder (first_stage_model.)": ("first_stage_model.encoder.conv_in.weight",),
    "text encoder (cond_stage_model. or conditioner.embedders.)": tuple(IDENTIFYING_WEIGHTS),
}
FIRST_OF_SDXL = "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight"

LOOKS_LIKE = {
    "joint_blocks.": "a Stable Diffusion 3",
    "double_blocks.": "a Flux",
    "conditioner.embedders.0.model.": "an SDXL refiner",
    "control_model.": "a ControlNet",
    "lora_": "a LoRA, which is given beside a backbone (--lora)",
    "transformer_blocks.": "networks under diffusers' names, which are read from a folder",
}
"""What a file without the parts of a Stable Diffusion may be, by parts of its names."""

V_KEYS, ZERO_SNR_KEYS = ("v_pred",), ("ztsnr",)
EDM_KEYS = ("edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min")
"""Empty or small tensors by which trainers declare how a checkpoint is sampled; other tools read them too."""

QUANTISED = re.compile(r"scaled_fp8|.*\.(scale_weight|weight_scale|comfy_quant|absmax|quant_map|quant_state.*)")
"""Names of the scales that belong to quantised weights, which are wrong numbers without them."""

_PREFIX = re.compile(r"^(?:state_dict|module)\.")
_OLD_TEXT = re.compile(
    r"^(cond_stage_model|conditioner\.embedders\.0)\.transformer\.(?=embeddings\.|encoder\.|final_layer_norm\.)"
)


@dataclass(frozen=True)
class Checkpoint:
    """The architecture of a checkpoint file, and how it is sampled.

    Attributes:
        small: whether it is the tiny version of the architecture.
        prediction: `epsilon` or `v_prediction`.
        zero_snr: whether the last timestep is pure noise.
        names: the published name of each weight with another name.
    """

    architecture: Architecture
    small: bool
    prediction: str
    zero_snr: bool
    names: Mapping[str, str]


def published_name(name: str) -> str:
    """Without what some trainers put in front of all names, and with the `text_model.` that the earliest files lack."""
    return _OLD_TEXT.sub(r"\1.transformer.text_model.", _PREFIX.sub("", name))


def identify_checkpoint(path: Path, architecture: Architecture | None) -> Checkpoint:
    """Return what a checkpoint file holds, from its header alone.

    Args:
        architecture: set by the user; needed for an SD 2.x whose file does not declare what it predicts.

    Raises:
        ValueError: if it is another kind of file or another architecture, lacks a part, has quantised weights,
            contradicts itself, or is sampled in an unsupported way.
        OSError, SafetensorError: if it cannot be read.
    """
    if wrong := wrong_format(path):
        raise ValueError(wrong)
    if path.suffix != ".safetensors":
        raise ValueError(f"only .safetensors files are read, and this is named {path.suffix or 'without an ending'}")
    with safe_open(path, "pt") as file:
        written = list(file.keys())
        names = {published_name(name): name for name in written}
        possible = _possible(names)
        width, channels = file.get_slice(names[FIRST_OF_UNET]).get_shape()[:2]
        metadata = file.metadata() or {}
    _check_kind(names, possible, metadata)
    declared = _predictions(names, metadata)
    architecture, prediction = _choose(possible, architecture, declared)
    zero_snr = any(key in names for key in ZERO_SNR_KEYS) or declares_zero_snr(metadata)
    check_schedule({"prediction_type": prediction, "rescale_betas_zero_snr": zero_snr})
    if channels != 4:
        raise ValueError(
            f"its UNet reads {channels} channels instead of 4, for inpainting or editing; give a plain one"
        )
    widths = [table[architecture]["block_out_channels"][0] for table in (UNETS, SMALL_UNETS)]
    if width not in widths:
        raise ValueError(f"its UNet begins with {width} channels instead of {widths[0]}; give it as a folder")
    others = {old: new for new, old in names.items() if new != old}
    return Checkpoint(architecture, width == widths[1], prediction, zero_snr, others)


def _possible(names: Collection[str]) -> tuple[Architecture, ...]:
    matches = [known for name, known in IDENTIFYING_WEIGHTS.items() if name in names]
    missing = [part for part, first in PARTS.items() if not any(name in names for name in first)]
    if matches == [("sdxl",)] and FIRST_OF_SDXL not in names:
        missing.append("first text encoder (conditioner.embedders.0.transformer.)")
    if not missing and len(matches) == 1:
        return matches[0]
    parts = f"there is no {', no '.join(missing)}" if missing else "there are text encoders of several architectures"
    like = next((f"; it looks like {what}" for word, what in LOOKS_LIKE.items() if any(word in n for n in names)), "")
    raise ValueError(
        f"it lacks a UNet, an autoencoder or text encoders under their original names: {parts}{like}. Give one "
        ".safetensors checkpoint that holds all three, or a folder in diffusers' layout"
    )


def _check_kind(names: Collection[str], possible: tuple[Architecture, ...], metadata: Mapping[str, str]) -> None:
    if edm := [key for key in EDM_KEYS if key in names]:
        raise ValueError(
            f"its key {edm[0]!r} marks an EDM schedule (Karras et al. 2022), which is neither sampled nor trained here"
        )
    if scales := [name for name in names if QUANTISED.fullmatch(name)]:
        raise ValueError(f"its weights are quantised, with scales such as {scales[0]}; give one in fp32, bf16 or fp16")
    families = declared_families(metadata)
    wrong = {by: family for by, family in families.items() if family != possible[0].split("-")[0]}
    if wrong:
        by, family = next(iter(wrong.items()))
        raise ValueError(f"its header says {by}, which is {family}, and its weights are of {' or '.join(possible)}")


def _predictions(names: Collection[str], metadata: Mapping[str, str]) -> dict[str, str]:
    by_key = {f"its key {key!r}": "v_prediction" for key in V_KEYS if key in names}
    return by_key | {f"its header's {by}": prediction for by, prediction in declared_predictions(metadata).items()}


def _choose(
    possible: tuple[Architecture, ...], requested: Architecture | None, declared: Mapping[str, str]
) -> tuple[Architecture, str]:
    if requested is not None and requested not in possible:
        raise ValueError(f"architecture={requested!r} was given, and it is {' or '.join(possible)}")
    if len(possible) > 1:
        if requested is not None:
            prediction = "v_prediction" if requested == "sd2-v" else "epsilon"
            declared = {f"architecture={requested!r}": prediction, **declared}
        if not declared:
            raise ValueError("it is an SD 2.x, whose file does not say what it predicts: give " + CHOICE)
    if wrong := contradiction(declared):
        raise ValueError(wrong)
    prediction = next(iter(declared.values()), "epsilon")
    if len(possible) > 1:
        return ("sd2-v" if prediction == "v_prediction" else "sd2-base"), prediction
    return possible[0], prediction


def write_configs(checkpoint: Checkpoint, folder: Path) -> None:
    """Write the configs and tokenizers of a checkpoint as a diffusers folder without weights."""
    with torch.device("meta"):
        pipe = build(checkpoint.architecture, folder, small=checkpoint.small, seed=0)
    scheduler = pipe.scheduler
    if checkpoint.prediction != scheduler.config.prediction_type or checkpoint.zero_snr:
        trailing = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if checkpoint.zero_snr else {}
        scheduler = DDPMScheduler.from_config(scheduler.config, prediction_type=checkpoint.prediction, **trailing)
    pipe.save_config(folder)
    scheduler.save_pretrained(folder / "scheduler")
    pipe.unet.save_config(folder / "unet")
    pipe.vae.save_config(folder / "vae")
    for part in ("text_encoder", "text_encoder_2"):
        if (encoder := getattr(pipe, part, None)) is not None:
            encoder.config.save_pretrained(folder / part)
            tokenizer = part.replace("text_encoder", "tokenizer")
            getattr(pipe, tokenizer).save_pretrained(folder / tokenizer)
