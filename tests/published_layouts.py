"""Backbones with random weights on disk as published ones are: folders of fp16 files, of shards, and single files."""

import json
from pathlib import Path
from typing import Literal, get_args

from original_names import checkpoint, clip_weights

from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.loading import quiet

Layout = Literal["fp16", "sharded", "mixed", "file"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


def write_layout(pipe: Pipeline, layout: Layout, folder: Path, shard_size: str) -> Path:
    """Write a pipeline, whose weights are fp16, and return the path that a command is given.

    `fp16`: files of the variant alone; `sharded`: shards with an index; `mixed`: the UNet in shards of the variant, the
    others as plain files; `file`: one checkpoint file of an SD 1.x.
    """
    if layout == "file":
        text = clip_weights(pipe.text_encoder, "cond_stage_model.transformer.")
        return checkpoint(pipe, folder.with_suffix(".safetensors"), text)
    with quiet():
        match layout:
            case "fp16":
                pipe.save_pretrained(folder, variant="fp16")
            case "sharded":
                pipe.save_pretrained(folder, max_shard_size=shard_size)
            case "mixed":
                pipe.save_pretrained(folder)
                (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
                pipe.unet.save_pretrained(folder / "unet", variant="fp16", max_shard_size=shard_size)
    return folder


def shards_of(folder: Path) -> set[str]:
    """The files that the only index of a folder names."""
    (index,) = folder.glob("*.index*.json")
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
