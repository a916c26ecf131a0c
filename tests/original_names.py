"""Weights of a pipeline under the names of published checkpoint files, by the inverse of the mapping."""

import re
from pathlib import Path

import torch
from open_clip.transformer import TextTransformer
from safetensors.torch import save_file
from torch import Tensor

from fulora.diffusion.models.architectures import Pipeline

Weights = dict[str, Tensor]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "add_embedding.linear_1.": "label_emb.0.0.",
    "add_embedding.linear_2.": "label_emb.0.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
}
VAE = {
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "group_norm": "norm",
    "to_out.0": "proj_out",
    "to_": "",
    "conv_shortcut": "nin_shortcut",
    "conv_norm_out": "norm_out",
    "downsamplers.0": "downsample",
    "upsamplers.0": "upsample",
    "resnets": "block",
    "down_blocks": "down",
}


def replaced(name: str, words: dict[str, str]) -> str:
    for word, original in words.items():
        name = name.replace(word, original)
    return name


def unet_name(name: str, attending: set[str]) -> str:
    """`attending` are the up blocks with transformers, which come before the upsampler."""
    found = re.match(
        r"(down|mid|up)_blocks?(?:\.(\d))?\.(resnets|attentions|downsamplers|upsamplers)\.(\d)\.(.*)", name
    )
    if not found:
        return f"model.diffusion_model.{replaced(name, UNET)}"
    way, block, kind, layer, rest = found.groups()
    if kind == "resnets":
        rest = replaced(rest, RESNET)
    if way == "mid":
        place = f"middle_block.{2 * int(layer) if kind == 'resnets' else 1}"
    elif kind == "downsamplers":
        place, rest = f"input_blocks.{3 * int(block) + 3}.0", rest.replace("conv", "op")
    elif kind == "upsamplers":
        place = f"output_blocks.{3 * int(block) + 2}.{2 if block in attending else 1}"
    else:
        first = 3 * int(block) + int(layer)
        place = f"input_blocks.{first + 1}" if way == "down" else f"output_blocks.{first}"
        place += ".0" if kind == "resnets" else ".1"
    return f"model.diffusion_model.{place}.{rest}"


def unet_weights(pipe: Pipeline) -> Weights:
    state = pipe.unet.state_dict()
    attending = {name.split(".")[1] for name in state if name.startswith("up_blocks") and ".attentions." in name}
    return {unet_name(name, attending): weight for name, weight in state.items()}


def vae_weights(pipe: Pipeline) -> Weights:
    """Attention is written as convolutions of 1 x 1, and the decoder counts its blocks from below."""
    found = {}
    for name, weight in pipe.vae.state_dict().items():
        convolution = re.search(r"attentions.*to_.*weight", name)
        name = re.sub(r"up_blocks\.(\d)", lambda match: f"up.{3 - int(match[1])}", replaced(name, VAE))
        found[f"first_stage_model.{name}"] = weight[:, :, None, None] if convolution else weight
    return found


def clip_weights(encoder: torch.nn.Module, prefix: str) -> Weights:
    weights = {f"{prefix}text_model.{name}": weight for name, weight in encoder.state_dict().items()}
    return weights | {f"{prefix}text_model.embeddings.position_ids": torch.arange(77)[None]}


def checkpoint(pipe: Pipeline, path: Path, *texts: Weights) -> Path:
    weights = unet_weights(pipe) | vae_weights(pipe)
    for text in texts:
        weights |= text
    save_file({name: weight.clone().contiguous() for name, weight in weights.items()}, path)
    return path


def tower_weights(tower: TextTransformer, prefix: str) -> Weights:
    return {f"{prefix}{name}": weight for name, weight in tower.state_dict().items() if name != "attn_mask"}
