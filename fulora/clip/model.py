"""Build and save CLIP models, and convert gray pictures to their input."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import open_clip
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save_file
from torch import Tensor

from fulora.clip.config import ClipPretrainConfig
from fulora.data.pictures.resize import Resampling, to_square
from fulora.environment import derive_seed
from fulora.files import atomic_file

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
MEAN, STD = 0.2, 0.2  # about those of an ultrasound frame in 0 to 1, for three equal channels
FIT: Literal["letterbox"] = "letterbox"
RESAMPLING: Resampling = "bicubic"  # open_clip's own

ClipModel: TypeAlias = open_clip.CLIP | open_clip.CustomTextCLIP
Tokenizer: TypeAlias = Callable[[list[str]], Tensor]


class ClipError(ValueError):
    """A CLIP that cannot be built, loaded or used as requested."""


def build_clip(cfg: ClipPretrainConfig) -> open_clip.CLIP:
    """Build a tiny CLIP with random weights that depend only on `cfg.seed`; in training mode, on the CPU."""
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
    """Return open_clip's tokenizer, whose vocabulary is part of the package: nothing is downloaded."""
    tokenizer: Tokenizer = open_clip.SimpleTokenizer(context_length=cfg.context_length)
    return tokenizer


def clip_config(cfg: ClipPretrainConfig) -> dict[str, object]:
    """Return the tiny CLIP's config in open_clip's format."""
    return {"model_cfg": _model_cfg(cfg), "preprocess_cfg": _preprocess_cfg(cfg)}


def save_clip(model: ClipModel, config: Mapping[str, object], folder: Path, *, half: bool = True) -> None:
    """Write an open_clip `local-dir` bundle; equal models give equal bytes.

    Args:
        config: `model_cfg` and `preprocess_cfg` of `open_clip_config.json`.
        half: save weights in half precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(dict(config), indent=2) + "\n", encoding="utf-8")
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_file(folder / WEIGHTS) as new:
        save_file({name: v.half() if half and v.is_floating_point() else v for name, v in state.items()}, new)


def to_squares(pictures: Iterable[UInt8[np.ndarray, "_ _"]], size_px: int) -> UInt8[np.ndarray, "n size_px size_px"]:
    """Resize gray pictures of any sizes to squares, uncropped and centred on black."""
    return np.stack([to_square(picture, size_px, FIT, RESAMPLING) for picture in pictures])


def to_unit_range(pixels: UInt8[np.ndarray, "n s s"]) -> Float[Tensor, "n 1 s s"]:
    """Scale gray squares from 0 to 255 to 0 to 1."""
    return torch.from_numpy(pixels)[:, None].float() / 255


def normalise(model: torch.nn.Module, pixels: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Convert gray 0 to 1 to three channels, normalised by the model's mean and standard deviation."""
    cfg = open_clip.model.get_model_preprocess_cfg(model)
    mean, std = (torch.tensor(cfg[key], device=pixels.device).view(1, 3, 1, 1) for key in ("mean", "std"))
    result: Tensor = (pixels - mean) / std
    return result


def image_size_px(model: torch.nn.Module) -> int:
    """Return the side of the model's square input image."""
    size = open_clip.model.get_model_preprocess_cfg(model)["size"]
    return int(size if isinstance(size, int) else size[0])


def logit_scale(model: ClipModel) -> float:
    """Return the learned factor on a CLIP's cosine similarities before the softmax."""
    return float(model.logit_scale.detach().exp())
