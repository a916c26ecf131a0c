"""Pipelines with random weights: the architectures of Stable Diffusion, and small ones from a config.

Sources: the configs and checkpoints of SD 1.5, 2.1 and SDXL base 1.0 (Rombach et al. 2022, Podell et al. 2023).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from fulora.diffusion.config import Architecture, PretrainConfig
from fulora.diffusion.models.tokenizers import CAPTION_TOKENS, END, build_clip_tokenizer, build_tokenizer

ARCHITECTURES: tuple[Architecture, ...] = get_args(Architecture)

Pipeline: TypeAlias = StableDiffusionPipeline | StableDiffusionXLPipeline

Module = TypeVar("Module", bound=torch.nn.Module)

Settings: TypeAlias = dict[str, Any]
"""Arguments of a class of diffusers or transformers."""

_THREE_ATTEND: Settings = {
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "block_out_channels": (320, 640, 1280, 1280),
}
_SD2: Settings = _THREE_ATTEND | {
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),  # the number of heads, in spite of its name
    "use_linear_projection": True,
}
UNETS: dict[Architecture, Settings] = {
    "sd1": _THREE_ATTEND | {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd2-base": _SD2 | {"sample_size": 64},
    "sd2-v": _SD2 | {"sample_size": 96, "upcast_attention": True},
    "sdxl": {
        "sample_size": 128,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (320, 640, 1280),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,  # the pooled text's 1280, and 256 for each of six sizes
    },
}
_SMALL: Settings = {"sample_size": 8, "norm_num_groups": 4}
_SMALL_SD2: Settings = _SMALL | {"block_out_channels": (20, 40, 80, 80), "cross_attention_dim": 64}
SMALL_UNETS: dict[Architecture, Settings] = {
    "sd1": _SMALL | {"block_out_channels": (16, 32, 64, 64), "cross_attention_dim": 48},
    "sd2-base": _SMALL_SD2,
    "sd2-v": _SMALL_SD2,
    "sdxl": _SMALL
    | {
        "block_out_channels": (20, 40, 80),
        "cross_attention_dim": 128,
        "addition_time_embed_dim": 16,
        "projection_class_embeddings_input_dim": 80 + 6 * 16,
    },
}

VIT_L: Settings = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "quick_gelu"}
VIT_H: Settings = {"hidden_size": 1024, "num_hidden_layers": 23, "num_attention_heads": 16, "hidden_act": "gelu"}
"""Without the last of its 24 layers: SD 2.x reads the one before it."""
VIT_BIG_G: Settings = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 20, "hidden_act": "gelu"}
TEXT_ENCODERS: dict[Architecture, tuple[Settings, ...]] = {
    "sd1": (VIT_L,),
    "sd2-base": (VIT_H,),
    "sd2-v": (VIT_H,),
    "sdxl": (VIT_L, VIT_BIG_G),
}
PADS: dict[Architecture, tuple[str, ...]] = {"sd1": (END,), "sd2-base": ("!",), "sd2-v": ("!",), "sdxl": (END, "!")}


def build(
    architecture: Architecture, folder: Path, *, small: bool, seed: int, dtype: torch.dtype = torch.float32
) -> Pipeline:
    """Build a pipeline with random weights from `seed`; under `torch.device("meta")`, without weights.

    Args:
        folder: the tokenizers' files are written to `folder/tokenizer` and, for SDXL, `folder/tokenizer_2`.
        small: the same blocks, layers, heads and flags, so the same names of modules, with tiny widths, for pictures
            of 64 px.
        dtype: of the weights; each network is drawn in fp32 and cast before the next one is made.
    """
    tokenizers = [
        build_clip_tokenizer(folder / f"tokenizer{suffix}", pad)
        for suffix, pad in zip(("", "_2"), PADS[architecture], strict=False)
    ]
    settings = UNETS[architecture] | (SMALL_UNETS[architecture] if small else {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = _cast(_published_autoencoder(architecture, 8 * settings["sample_size"], small), dtype)
        unet = _cast(UNet2DConditionModel(**settings), dtype)
        encoders = [
            _cast(_published_text_encoder(place, config, tokenizers[place], small), dtype)
            for place, config in enumerate(TEXT_ENCODERS[architecture])
        ]
    scheduler = _scheduler("v_prediction" if architecture == "sd2-v" else "epsilon")
    if architecture != "sdxl":
        return _pipeline(vae, unet, encoders[0], tokenizers[0], scheduler)
    pipe = StableDiffusionXLPipeline(
        vae=vae.eval(),
        unet=unet.eval(),
        text_encoder=encoders[0].eval(),
        text_encoder_2=encoders[1].eval(),
        tokenizer=tokenizers[0],
        tokenizer_2=tokenizers[1],
        scheduler=scheduler,
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _cast(module: Module, dtype: torch.dtype) -> Module:
    """As `module.to(dtype)` does, without the note that diffusers' own prints."""
    return torch.nn.Module.to(module, dtype)


def _published_autoencoder(architecture: Architecture, size_px: int, small: bool) -> AutoencoderKL:
    widths = (8, 16, 32, 32) if small else (128, 256, 512, 512)
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        norm_num_groups=4 if small else 32,
        sample_size=size_px,
        scaling_factor=0.13025 if architecture == "sdxl" else 0.18215,
        force_upcast=architecture == "sdxl",
    )


def _published_text_encoder(
    place: int, settings: Settings, tokenizer: CLIPTokenizer, small: bool
) -> CLIPTextModel | CLIPTextModelWithProjection:
    """The first of a pipeline gives states alone, the second a pooled vector as well."""
    width = settings["hidden_size"] // 16 if small else settings["hidden_size"]
    config = CLIPTextConfig(
        **settings | {"hidden_size": width, "intermediate_size": 4 * width, "projection_dim": width},
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModelWithProjection(config) if place else CLIPTextModel(config)


def build_backbone(cfg: PretrainConfig, size_px: int, folder: Path, words: Iterable[str]) -> StableDiffusionPipeline:
    """Build a small Stable Diffusion with random weights from `cfg.seed`.

    Args:
        size_px: width and height of its images.
        folder: the tokenizer's files are written to `folder/tokenizer`.
        words: what its tokenizer knows as one token each.
    """
    tokenizer = build_tokenizer(folder / "tokenizer", words)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        vae = _autoencoder(cfg, size_px)
        unet = _denoiser(cfg, size_px)
        text_encoder = _text_encoder(cfg, tokenizer)
    return _pipeline(vae, unet, text_encoder, tokenizer, _scheduler("epsilon"))


def _autoencoder(cfg: PretrainConfig, size_px: int) -> AutoencoderKL:
    levels = len(cfg.vae_channels)
    return AutoencoderKL(
        block_out_channels=cfg.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=size_px,
        mid_block_add_attention=False,
    )


def _denoiser(cfg: PretrainConfig, size_px: int) -> UNet2DConditionModel:
    deeper = len(cfg.unet_channels) - 1
    return UNet2DConditionModel(
        sample_size=size_px // cfg.latent_downsampling,
        layers_per_block=1,
        block_out_channels=cfg.unet_channels,
        cross_attention_dim=cfg.text_width,
        attention_head_dim=4,  # the number of heads, in spite of its name
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * deeper),
        up_block_types=(*("CrossAttnUpBlock2D",) * deeper, "UpBlock2D"),
        norm_num_groups=16,
    )


def _text_encoder(cfg: PretrainConfig, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=cfg.text_width,
        intermediate_size=2 * cfg.text_width,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CAPTION_TOKENS,
        projection_dim=cfg.text_width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def _scheduler(prediction: str) -> DDPMScheduler:
    with torch.device("cpu"):  # also where the networks are built without weights
        return DDPMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            steps_offset=1,
            prediction_type=prediction,
        )


def _pipeline(
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    scheduler: DDPMScheduler,
) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder.eval(),
        vae=vae.eval(),
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
