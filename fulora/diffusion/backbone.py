"""Backbones: building a small Stable Diffusion, loading any, saving one as a diffusers folder."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from jaxtyping import Int
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from fulora.data.captions import CAPTIONS
from fulora.diffusion.config import PretrainConfig

MORE = "plane standard synthetic image heart skull spine stomach bone shaft low high quality scan of the"
WORDS = tuple(sorted(set(" ".join((*CAPTIONS.values(), MORE)).split())))
"""Words that a small backbone knows: those of the captions, and a few more."""

CAPTION_TOKENS = 32


class BackboneError(ValueError):
    """A backbone that cannot be had, images that do not suit it, or a prompt it cannot read."""


def build_tokenizer(folder: Path, words: Iterable[str] = WORDS) -> CLIPTokenizer:
    """A CLIP byte-pair tokenizer that has `words` as one token each; any other text has smaller pieces.

    Merges of an earlier word come first, so a later word that has its pieces in the middle may stay in several.

    Written to `folder` as `vocab.json` and `merges.txt`.
    """
    letters = [chr(code) for code in range(33, 127)]
    tokens, merges = letters + [f"{letter}</w>" for letter in letters], []
    for word in words:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        joined = pieces[0]
        for piece in pieces[1:]:
            merges.append(f"{joined} {piece}")
            joined += piece
            tokens.append(joined)
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: place for place, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(dict.fromkeys(merges)) + "\n")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=CAPTION_TOKENS)
    return tokenizer


def build_backbone(
    cfg: PretrainConfig, size_px: int, folder: Path, words: Iterable[str] = WORDS
) -> StableDiffusionPipeline:
    """A small Stable Diffusion with random weights drawn from `cfg.seed`.

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
    scheduler = DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, steps_offset=1
    )
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


def _autoencoder(cfg: PretrainConfig, size_px: int) -> AutoencoderKL:
    levels = len(cfg.vae_channels)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=cfg.vae_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=size_px,
        mid_block_add_attention=False,
    )


def _denoiser(cfg: PretrainConfig, size_px: int) -> UNet2DConditionModel:
    """All resolutions but the first attend to the caption."""
    deeper = len(cfg.unet_channels) - 1
    return UNet2DConditionModel(
        sample_size=size_px // cfg.latent_downsampling,
        in_channels=4,
        out_channels=4,
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


@contextmanager
def quiet() -> Iterator[None]:
    """Without diffusers' and transformers' bars and harmless notes, such as the one about LoRAs for the UNet alone."""
    libraries = (diffusers_logging, transformers_logging)
    levels = [library.get_verbosity() for library in libraries]
    shown = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, level, bars in zip(libraries, levels, shown, strict=True):
            library.set_verbosity(level)
            if bars:
                library.enable_progress_bar()


def load_backbone(source: Path | str, *, revision: str | None = None) -> StableDiffusionPipeline:
    """The pipeline, in fp32 on the CPU, whatever precision its weights are stored in.

    The safety checker, made for photographs, is left out: it would black out ultrasound.

    Args:
        source: a folder in diffusers' layout, one `.safetensors` checkpoint, or a hub id such as `owner/name`.
        revision: branch, tag or commit on the hub.

    Raises:
        BackboneError: nothing there, not a Stable Diffusion, or a hub id that cannot be had; says what to do.
    """
    path = Path(source)
    try:
        with quiet():
            pipe = _from_file(path) if path.is_file() else _from_folder_or_hub(path, source, revision)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise BackboneError(_advice(path, source, error)) from error
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        module.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _from_file(path: Path) -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_single_file(
        str(path), safety_checker=None, feature_extractor=None, dtype=torch.float32
    )


def _from_folder_or_hub(path: Path, source: Path | str, revision: str | None) -> StableDiffusionPipeline:
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise OSError("the folder has no model_index.json")
    elif not _is_hub_id(source):
        raise OSError("there is no such folder or file")
    return StableDiffusionPipeline.from_pretrained(
        source,
        revision=revision,
        local_files_only=path.is_dir(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        dtype=torch.float32,
    )


def _is_hub_id(source: Path | str) -> bool:
    return isinstance(source, str) and source.count("/") == 1 and not source.startswith(("/", "."))


def _advice(path: Path, source: Path | str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0].rstrip(".")
    if path.exists() or not _is_hub_id(source):
        return (
            f"{source}: cannot be loaded as a Stable Diffusion: {reason}. Give a folder in diffusers' layout "
            "(model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/), or one .safetensors checkpoint "
            "(whose configs come from the hub: without internet, convert it to a folder where there is)"
        )
    return (
        f"{source}: cannot be had from the hub: {reason}. Without internet, run "
        f"`hf download {source} --local-dir FOLDER` on a machine that has it, copy FOLDER here (model_index.json, "
        "unet/, vae/, text_encoder/, tokenizer/, scheduler/) and give its path instead"
    )


def save_backbone(pipe: StableDiffusionPipeline, folder: Path, *, half: bool) -> None:
    """Write the pipeline as a diffusers folder of safetensors, the same bytes for the same weights.

    Args:
        half: store the weights in fp16; the pipeline in memory is left as it would be loaded back, in fp32.
    """
    modules = (pipe.unet, pipe.vae, pipe.text_encoder)
    with quiet():
        for module in modules:
            module.to(torch.float16 if half else torch.float32)
        pipe.save_pretrained(folder, safe_serialization=True)
        for module in modules:
            module.to(torch.float32)


def token_ids(pipe: StableDiffusionPipeline, texts: Sequence[str]) -> Int[Tensor, "n tokens"]:
    """Token ids of texts, padded to the backbone's length.

    Raises:
        BackboneError: a text is too long; nothing is cut off in silence.
    """
    limit = pipe.tokenizer.model_max_length
    for text in texts:
        length = len(pipe.tokenizer(text).input_ids)
        if length > limit:
            raise BackboneError(f"{text!r} has {length} tokens, the backbone reads {limit}; shorten it")
    ids: Tensor = pipe.tokenizer(list(texts), padding="max_length", max_length=limit, return_tensors="pt").input_ids
    return ids
