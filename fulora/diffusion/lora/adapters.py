"""LoRA adapters (Hu et al. 2021) on a pipeline's UNet and text encoders, by peft."""

import torch
from diffusers.training_utils import cast_training_params
from peft import LoraConfig as Adapter

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import text_encoders

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
UNET_TARGETS = {"attention": ATTENTION, "kohya": (*ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")}
TEXT_TARGETS = {
    "attention": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "kohya": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
}


def add_lora(pipe: Pipeline, cfg: LoraConfig) -> None:
    """Freeze the pipeline and add adapters with zero output and fp32 weights, whatever the precision of the base.

    Text encoders get adapters only if their learning rate is positive. Initial values depend on `cfg.seed`; add them
    while the pipeline is on the CPU, so that they are the same on every machine.

    Raises:
        LoraError: if the pipeline already has a LoRA.
    """
    if getattr(pipe.unet, "peft_config", None):
        raise LoraError("the pipeline has a LoRA already: load the backbone anew")
    encoders = list(text_encoders(pipe).values())
    for module in (pipe.unet, pipe.vae, *encoders):
        module.requires_grad_(False)
    adapted = [pipe.unet, *encoders] if cfg.text_encoder_learning_rate > 0 else [pipe.unet]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        for module in adapted:
            module.add_adapter(_adapter(cfg, (UNET_TARGETS if module is pipe.unet else TEXT_TARGETS)[cfg.target]))
    cast_training_params(adapted, dtype=torch.float32)


def _adapter(cfg: LoraConfig, targets: tuple[str, ...]) -> Adapter:
    return Adapter(
        r=cfg.rank,
        lora_alpha=cfg.alpha,
        use_rslora=cfg.rslora,
        use_dora=cfg.dora,
        init_lora_weights="gaussian" if cfg.initialisation == "gaussian" else True,
        target_modules=list(targets),
    )


def lora_parameters(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the trainable parameters, as a list that can be iterated more than once (for gradient clipping)."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def all_lora_parameters(pipe: Pipeline) -> list[torch.nn.Parameter]:
    """Return the trainable parameters of the UNet, then those of the text encoders."""
    modules = (pipe.unet, *text_encoders(pipe).values())
    return [parameter for module in modules for parameter in lora_parameters(module)]
