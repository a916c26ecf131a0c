"""LoRA files: written, read, converted between diffusers' and kohya's names, fused into a pipeline."""

import json
import warnings
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import save_file

from fulora.diffusion.backbone import quiet
from fulora.diffusion.lora import LoraError, lora_parameters

FILE = "lora.safetensors"


def save_lora(pipe: StableDiffusionPipeline, path: Path) -> None:
    """Write the adapters as diffusers reads them: `pipe.load_lora_weights(path.parent, weight_name=path.name)`.

    Equal weights give equal bytes. The keys are peft's: diffusers' own converter renames the attention layers alone,
    and loses them on loading where other layers are adapted too. The header holds the adapters' settings: without them,
    alpha would be read as rank.
    """
    weights: dict[str, torch.Tensor] = {}
    settings: dict[str, object] = {}
    for name, module in (("unet", pipe.unet), ("text_encoder", pipe.text_encoder)):
        if lora_parameters(module):
            state = get_peft_model_state_dict(module)
            weights |= {f"{name}.{key}": value.detach().cpu().contiguous() for key, value in state.items()}
            settings |= {
                f"{name}.{key}": value for key, value in _plain(module.peft_config["default"].to_dict()).items()
            }
    save_file(weights, path, metadata={"lora_adapter_metadata": json.dumps(settings, sort_keys=True)})


def _plain(settings: dict[str, object]) -> dict[str, object]:
    """Settings with sets as sorted lists: a set has no stable order, and equal weights are to give equal files."""
    ordered = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    plain: dict[str, object] = json.loads(json.dumps(ordered, default=str))
    return plain


def load_lora(pipe: StableDiffusionPipeline, path: Path, strength: float) -> None:
    """Fuse a LoRA file, of fulora, diffusers or kohya, into the pipeline's fp32 weights, `strength` times.

    Raises:
        LoraError: no such file, not a LoRA, or one for another architecture.
    """
    if not path.is_file():
        raise LoraError(f"{path}: there is no such LoRA file")
    try:
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("error", "While injecting the PEFT adapters", RuntimeWarning)  # parts are missing
            pipe.load_lora_weights(path.parent, weight_name=path.name, local_files_only=True)
            parts = [name for name in ("unet", "text_encoder") if getattr(getattr(pipe, name), "peft_config", None)]
            pipe.fuse_lora(components=parts, lora_scale=strength)
            pipe.unload_lora_weights()
    except (OSError, ValueError, KeyError, RuntimeError, RuntimeWarning, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise LoraError(f"{path}: cannot be used as a LoRA of this backbone: {reason}") from error
