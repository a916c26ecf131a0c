"""Build, save and load CLIP models: our tiny one, a local open_clip bundle, or a published one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import open_clip
import torch
from jaxtyping import Float, UInt8
from PIL import Image as Pil
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name everybody knows

from fulora.clip.config import ClipPretrainConfig
from fulora.environment import derive_seed

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
HUB = "hub:"
MEAN, STD = 0.2, 0.2  # about those of an ultrasound frame in 0 to 1, the same for the three equal channels

Preprocess: TypeAlias = Callable[[Pil.Image], Tensor]
Tokenizer: TypeAlias = Callable[[list[str]], Tensor]


class ClipError(ValueError):
    """A CLIP that cannot be used as asked."""


def build_clip(cfg: ClipPretrainConfig) -> open_clip.CLIP:
    """A tiny CLIP with random weights that depend on `cfg.seed` alone; in training mode, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(cfg.seed, "clip", "weights"))
        model = open_clip.CLIP(**_model_cfg(cfg))
    open_clip.model.set_model_preprocess_cfg(model, _preprocess_cfg(cfg))
    return model


def _model_cfg(cfg: ClipPretrainConfig) -> dict[str, object]:
    image = {"image_size": cfg.image_size_px, "layers": list(cfg.blocks), "width": cfg.width, "head_width": 32}
    text = {"context_length": cfg.context_length, "vocab_size": 49408, "width": cfg.text_width}
    return {
        "embed_dim": cfg.embed_dim,
        "vision_cfg": image,
        "text_cfg": {**text, "layers": cfg.text_layers, "heads": cfg.text_width // 16},
    }


def _preprocess_cfg(cfg: ClipPretrainConfig) -> dict[str, object]:
    size = [cfg.image_size_px, cfg.image_size_px]
    look = {"interpolation": "bicubic", "resize_mode": "longest", "fill_color": 0}
    return {"size": size, "mode": "RGB", "mean": [MEAN] * 3, "std": [STD] * 3, **look}


def build_tokenizer(cfg: ClipPretrainConfig) -> Tokenizer:
    """open_clip's own tokenizer: its vocabulary comes with the package, nothing is downloaded."""
    tokenizer: Tokenizer = open_clip.SimpleTokenizer(context_length=cfg.context_length)
    return tokenizer


def save_clip(model: open_clip.CLIP, cfg: ClipPretrainConfig, folder: Path) -> None:
    """Write an open_clip `local-dir` bundle, weights in half precision; equal models give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = {"model_cfg": _model_cfg(cfg), "preprocess_cfg": _preprocess_cfg(cfg)}
    (folder / CONFIG).write_text(json.dumps(bundle, indent=2) + "\n", encoding="utf-8")
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file({name: v.half() if v.is_floating_point() else v for name, v in state.items()}, folder / WEIGHTS)


def load_clip(path: Path | str) -> tuple[open_clip.CLIP | open_clip.CustomTextCLIP, Preprocess, Tokenizer]:
    """A trained CLIP in single precision and evaluation mode, on the CPU.

    Args:
        path: a folder in open_clip's `local-dir` layout, or `hub:<model>/<pretrained>` such as `hub:ViT-B-32/openai`
            (open_clip's names; downloaded once by open_clip).

    Returns:
        The model, its preprocessing of a Pillow image to (3, size, size), and its tokenizer.

    Raises:
        ClipError: no such model, no weights, or weights that do not fit. Never a model with random weights.
    """
    text = str(path)
    if text.startswith(HUB):
        return _from_hub(text)
    folder = Path(path)
    wanted = f"{CONFIG} and {WEIGHTS}"
    if not (folder / CONFIG).is_file():
        raise ClipError(f"{folder}: holds no {CONFIG}; a CLIP folder holds {wanted}")
    if not any(file.suffix in {".safetensors", ".bin", ".pth"} for file in folder.iterdir()):
        raise ClipError(f"{folder}: holds no weights that open_clip would find (a .pt file is not); it wants {wanted}")
    try:
        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    except Exception as error:
        raise ClipError(f"{folder}: not a CLIP that open_clip can load: {error}") from error
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{folder}")


def _from_hub(path: str) -> tuple[open_clip.CLIP | open_clip.CustomTextCLIP, Preprocess, Tokenizer]:
    name, _, tag = path.removeprefix(HUB).partition("/")
    known = open_clip.list_pretrained_tags_by_model(name)
    if not known:
        raise ClipError(f"{path}: open_clip has no weights for '{name}'; open_clip.list_pretrained() lists all it has")
    if tag not in known:
        raise ClipError(f"{path}: '{name}' has no pretrained tag '{tag}'; it has {', '.join(known)}")
    gelu = bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False))  # open_clip only warns of a mismatch
    try:
        model, preprocess = open_clip.create_model_from_pretrained(name, tag, force_quick_gelu=gelu)
    except Exception as error:
        raise ClipError(
            f"{path}: the weights could not be had ({error}). Without a network, give the path of a folder with "
            f"{CONFIG} and {WEIGHTS} instead, or fill open_clip's cache on a machine that has one"
        ) from error
    return model.eval(), preprocess, open_clip.get_tokenizer(name)


def to_square(images: UInt8[np.ndarray, "n h w"], size_px: int) -> Float[Tensor, "n 1 size_px size_px"]:
    """Gray images as 0 to 1, padded with black to squares and resized: nothing of a frame is cut off."""
    pixels = torch.from_numpy(np.ascontiguousarray(images))[:, None].float() / 255
    height, width = pixels.shape[-2:]
    missing = (max(height, width) - width, max(height, width) - height)
    pad = (missing[0] // 2, missing[0] - missing[0] // 2, missing[1] // 2, missing[1] - missing[1] // 2)
    pixels = F.pad(pixels, pad)
    if pixels.shape[-1] == size_px:
        return pixels
    size = (size_px, size_px)
    return F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def normalised(model: torch.nn.Module, pixels: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Gray 0 to 1 as the three channels that the model was trained with."""
    cfg = open_clip.model.get_model_preprocess_cfg(model)
    mean, std = (torch.tensor(cfg[key], device=pixels.device).view(1, 3, 1, 1) for key in ("mean", "std"))
    result: Tensor = (pixels - mean) / std
    return result


def image_size_px(model: torch.nn.Module) -> int:
    """Side of the square image that the model sees."""
    size = open_clip.model.get_model_preprocess_cfg(model)["size"]
    return int(size if isinstance(size, int) else size[0])
