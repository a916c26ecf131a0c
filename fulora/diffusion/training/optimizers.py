"""Optimizers of a LoRA, and their learning rate schedule."""

import torch

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import lora_parameters
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import text_encoders
from fulora.training.learning_rate import cosine_rate


def build_optimizer(pipe: Pipeline, cfg: LoraConfig) -> torch.optim.Optimizer:
    """Build the optimizer of the UNet's and the text encoders' adapters, each group with its own `base_lr`.

    Raises:
        LoraError: if its library is not installed or cannot be used.
    """
    groups = [{"params": lora_parameters(pipe.unet), "lr": cfg.unet_learning_rate}]
    of_text = [parameter for encoder in text_encoders(pipe).values() for parameter in lora_parameters(encoder)]
    if of_text:
        groups.append({"params": of_text, "lr": cfg.text_encoder_learning_rate})
    for group in groups:
        group["base_lr"] = group["lr"]
    match cfg.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, weight_decay=cfg.weight_decay, fused=True)
        case "adamw8bit":
            return _adamw8bit(groups, cfg)
        case "prodigy":
            return _prodigy(groups, cfg)


def _adamw8bit(groups: list[dict[str, object]], cfg: LoraConfig) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise LoraError(_missing("adamw8bit", "bitsandbytes", error)) from error
    optimizer: torch.optim.Optimizer = AdamW8bit(groups, weight_decay=cfg.weight_decay)
    return optimizer


def _prodigy(groups: list[dict[str, object]], cfg: LoraConfig) -> torch.optim.Optimizer:
    try:
        from prodigyopt import Prodigy
    except ImportError as error:
        raise LoraError(_missing("prodigy", "prodigyopt", error)) from error
    optimizer: torch.optim.Optimizer = Prodigy(
        groups,
        lr=cfg.unet_learning_rate,
        weight_decay=cfg.weight_decay,
        safeguard_warmup=True,
        use_bias_correction=True,
    )
    return optimizer


def _missing(optimizer: str, package: str, error: ImportError) -> str:
    return f"optimizer={optimizer} needs {package} ({error}): pip install {package}, or use optimizer=adamw"


def learning_rate_factor(cfg: LoraConfig, step: int) -> float:
    """Return the factor on the learning rates at step `step` (from 0)."""
    if cfg.schedule == "cosine":
        return cosine_rate(step, cfg.steps, warmup=cfg.warmup_steps)
    return min(1.0, (step + 1) / cfg.warmup_steps) if cfg.warmup_steps else 1.0
