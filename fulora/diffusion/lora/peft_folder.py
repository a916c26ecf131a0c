"""LoRAs saved by peft, in a folder with `adapter_config.json`; and the LoRA file of any folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fulora.data.state_dicts import wrong_format
from fulora.diffusion.lora.lora_error import LoraError
from fulora.json_files import parse_json

CONFIG, WEIGHTS, PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model."
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
NAMES = ("lora.safetensors", "pytorch_lora_weights.safetensors")
"""File names of LoRAs in folders of fulora and diffusers."""

PARTS = {
    "UNet2DConditionModel": "unet",
    "CLIPTextModel": "text_encoder",
    "CLIPTextModelWithProjection": "text_encoder_2",
}
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
"""Initialisations that change the base's weights, and so do not fit the published base."""

_SETTINGS = ("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora")


def lora_path(path: Path) -> Path:
    """Return the file of a LoRA: the path itself, or the file in a folder of fulora, diffusers or peft (or missing).

    Raises:
        LoraError: if a folder has peft's settings without weights, only pickles, or several folders of peft.
    """
    if not path.is_dir():
        return path
    for name in (*NAMES, *([WEIGHTS] if (path / CONFIG).is_file() else [])):
        if (path / name).is_file():
            return path / name
    if pickles := sorted(file for file in path.glob("*") if file.suffix in PICKLES):
        raise LoraError(f"{path}: {pickles[0].name} cannot be read: {wrong_format(pickles[0]) or 'not .safetensors'}")
    if (path / CONFIG).is_file():
        raise LoraError(f"{path}: a folder of peft, and {WEIGHTS} is not in it")
    if inside := sorted(config.parent.name for config in path.glob(f"*/{CONFIG}")):
        raise LoraError(f"{path}: holds folders of peft, which are given one by one: {', '.join(inside)}")
    return path / NAMES[0]


def lora_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a LoRA: the weights, and peft's settings beside them."""
    return (path, path.parent / CONFIG) if is_peft(path) else (path,)


def is_peft(path: Path) -> bool:
    """Return whether a file is the weights of a peft folder."""
    return path.name == WEIGHTS and (path.parent / CONFIG).is_file()


def from_peft(path: Path, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, str]]:
    """Return tensors under diffusers' names, the settings by `part.setting`, and entries for the header.

    Raises:
        LoraError: if the settings cannot be read, are of another kind of adapter or model, or change the base.
    """
    config = _config(path.parent / CONFIG)
    part = _part(config, tensors)
    named = {f"{part}.{key.removeprefix(PREFIX)}": tensor for key, tensor in tensors.items()}
    settings = {f"{part}.{key}": config[key] for key in _SETTINGS if key in config}
    base = config.get("base_model_name_or_path")
    return named, settings, {"base_model_name_or_path": str(base)} if base else {}


def _config(path: Path) -> dict[str, Any]:
    try:
        config = parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoraError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(config, dict) or "lora_alpha" not in config:
        raise LoraError(f"{path.name} has no lora_alpha, so it is not known how strong the LoRA is")
    if (kind := config.get("peft_type")) != "LORA":
        raise LoraError(f"{path.name} says peft_type={kind}: only LORA can be used")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        raise LoraError(
            f"{path.name} says init_lora_weights={start}, which changes the base's own weights: convert it to a plain "
            "LoRA with peft (save_pretrained with path_initial_model_for_weight_conversion)"
        )
    return config


def _part(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """The adapted network, from the settings, else from the layers' names."""
    mapping = config.get("auto_mapping") or {}
    if kind := mapping.get("base_model_class"):
        if kind not in PARTS:
            raise LoraError(f"{CONFIG} is of a {kind}; only those of {', '.join(PARTS)} can be used")
        return PARTS[kind]
    if task := config.get("task_type"):
        raise LoraError(f"{CONFIG} says task_type={task}: an adapter of a language model, not of a Stable Diffusion")
    text = all(key.removeprefix(PREFIX).startswith(("text_model.", "encoder.")) for key in tensors)
    return "text_encoder" if text else "unet"
