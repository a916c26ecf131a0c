"""LoRA adapters (Hu et al. 2021) on a pipeline's UNet and text encoder, by peft; their files; fusing them."""

import json
import warnings
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.training_utils import cast_training_params
from peft import LoraConfig as Adapter
from peft.utils import get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import save_file

from fulora.diffusion.backbone import quiet
from fulora.diffusion.config import LoraConfig

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
UNET_TARGETS = {"attention": ATTENTION, "kohya": (*ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")}
TEXT_TARGETS = {
    "attention": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "kohya": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
}
FILE = "lora.safetensors"


class LoraError(ValueError):
    """A LoRA file that cannot be used with a backbone, or a backbone that cannot be given a LoRA."""


def add_lora(pipe: StableDiffusionPipeline, cfg: LoraConfig) -> None:
    """Freeze the pipeline and add adapters that change nothing yet; their weights are fp32 whatever the base's are.

    The text encoder gets one only if it has a learning rate. Initial values are drawn from `cfg.seed`; add them while
    the pipeline is on the CPU, so that they are the same on every machine.

    Raises:
        LoraError: the pipeline has a LoRA already.
    """
    if getattr(pipe.unet, "peft_config", None):
        raise LoraError("the pipeline has a LoRA already: load the backbone anew")
    for module in (pipe.unet, pipe.text_encoder, pipe.vae):
        module.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        pipe.unet.add_adapter(_adapter(cfg, UNET_TARGETS[cfg.target]))
        if cfg.text_encoder_learning_rate > 0:
            pipe.text_encoder.add_adapter(_adapter(cfg, TEXT_TARGETS[cfg.target]))
    cast_training_params([pipe.unet, pipe.text_encoder], dtype=torch.float32)


def _adapter(cfg: LoraConfig, targets: tuple[str, ...]) -> Adapter:
    return Adapter(r=cfg.rank, lora_alpha=cfg.alpha, init_lora_weights="gaussian", target_modules=list(targets))


def lora_parameters(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters that learn, as a list: an iterator would be empty at its second use, and clip nothing."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


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
