"""Load a trained CLIP: a bundle, a folder with an open_clip config and weights, or a published model."""

import hashlib
import json
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch

from fulora.clip.model import CONFIG, WEIGHTS, ClipError, ClipModel, Tokenizer
from fulora.data.state_dicts import more_than_weights, wrong_format
from fulora.json_files import parse_json
from fulora.training.devices import pick_device

HUB = "hub:"
ENDINGS = (".safetensors", ".pt", ".pth", ".bin")
ARCHITECTURE = ("embed_dim", "vision_cfg", "text_cfg")


@dataclass(frozen=True)
class Clip:
    """A trained CLIP in single precision and evaluation mode, on the CPU until `on` moves it.

    Attributes:
        config: open_clip's `open_clip_config.json`: `model_cfg` and `preprocess_cfg`.
    """

    model: ClipModel
    tokenizer: Tokenizer
    config: Mapping[str, Any]

    def on(self, device: str) -> "Clip":
        """Move the model to the device of a name (`fulora.training.devices.pick_device`), and return this CLIP.

        Raises:
            DeviceError: if there is no such device.
        """
        self.model.to(pick_device(device))
        return self


def load_clip(path: Path | str) -> Clip:
    """Load a trained CLIP.

    Args:
        path: `hub:<model>/<pretrained>` such as `hub:ViT-B-32/openai` (open_clip's names; downloaded once by
            open_clip); or a folder with a config and one file of weights. The config is open_clip's bundle
            (`open_clip_config.json`) or one of its plain architectures, such as FetalCLIP's. A text tower of Hugging
            Face may be in a subfolder, which `hf_model_name` and `hf_tokenizer_name` then name.

    Raises:
        ClipError: if the model is unknown, or there is not exactly one file of weights that fits. A model with random
            weights is never returned.
    """
    text = str(path)
    return _from_hub(text) if text.startswith(HUB) else _from_folder(Path(path))


def _from_folder(folder: Path) -> Clip:
    config, weights = _config_of(folder), _weights_of(folder)
    if wrong := wrong_format(weights, pickles=True):
        raise ClipError(f"{folder}: {weights.name} is not a CLIP of {config['file']}: {wrong}")
    model_cfg = {**config["model_cfg"], "text_cfg": _with_local_tower(config["model_cfg"]["text_cfg"], folder)}
    name = f"fulora-{hashlib.sha256(json.dumps(model_cfg, sort_keys=True).encode()).hexdigest()[:16]}"
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / f"{name}.json"
        file.write_text(json.dumps(model_cfg), encoding="utf-8")
        open_clip.add_model_config(file)
    try:
        model = open_clip.create_model(name, pretrained=str(weights), pretrained_hf=False, weights_only=True)
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:
        reason = more_than_weights(error) if isinstance(error, pickle.UnpicklingError) else error
        raise ClipError(
            f"{folder}: {weights.name} is not a CLIP of {config['file']} that open_clip loads: {reason}"
        ) from error
    seen = {"resize_mode": "longest", "fill_color": 0, **config.get("preprocess_cfg", {})}
    known = open_clip.model.get_model_preprocess_cfg(model)
    open_clip.model.set_model_preprocess_cfg(model, {**known, **seen})
    bundle = {"model_cfg": config["model_cfg"], "preprocess_cfg": open_clip.model.get_model_preprocess_cfg(model)}
    return Clip(model.eval(), tokenizer, bundle)


def _config_of(folder: Path) -> dict[str, Any]:
    """The bundle's config, or the first .json that describes an architecture; `file` is its name."""
    for file in [folder / CONFIG] if (folder / CONFIG).is_file() else sorted(folder.glob("*.json")):
        try:
            values = parse_json(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ClipError(f"{file}: is not JSON ({error})") from error
        if isinstance(values, dict) and set(ARCHITECTURE) <= set(values):
            values = {"model_cfg": values}
        if isinstance(values, dict) and set(ARCHITECTURE) <= set(values.get("model_cfg", {})):
            return {**values, "file": file.name}
    raise ClipError(
        f"{folder}: has no {CONFIG}, nor another .json with {', '.join(ARCHITECTURE)}; a CLIP folder has {CONFIG} "
        f"and {WEIGHTS}, or an open_clip architecture and its weights"
    )


def _weights_of(folder: Path) -> Path:
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    files = sorted(file for file in folder.iterdir() if file.suffix in ENDINGS)
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise ClipError(f"{folder}: exactly one file of weights is needed ({', '.join(ENDINGS)}), present: {names}")
    return files[0]


def _with_local_tower(text_cfg: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    keys = ("hf_model_name", "hf_tokenizer_name")
    local = {key: str(folder / text_cfg[key]) for key in keys if key in text_cfg and (folder / text_cfg[key]).is_dir()}
    return {**text_cfg, **local}


def _from_hub(path: str) -> Clip:
    name, _, tag = path.removeprefix(HUB).partition("/")
    known = open_clip.list_pretrained_tags_by_model(name)
    if not known:
        raise ClipError(f"{path}: open_clip has no weights for '{name}'; open_clip.list_pretrained() lists all it has")
    if tag not in known:
        raise ClipError(f"{path}: '{name}' has no pretrained tag '{tag}'; it has {', '.join(known)}")
    gelu = bool(open_clip.get_pretrained_cfg(name, tag).get("quick_gelu", False))  # open_clip only warns of a mismatch
    try:
        model, _ = open_clip.create_model_from_pretrained(name, tag, force_quick_gelu=gelu)
    except Exception as error:
        raise ClipError(
            f"{path}: the weights could not be downloaded ({error}). Without a network, give the path of a folder with "
            f"{CONFIG} and {WEIGHTS} instead, or fill open_clip's cache on a machine that has one"
        ) from error
    config = {"model_cfg": open_clip.get_model_config(name) | ({"quick_gelu": True} if gelu else {})}
    config["preprocess_cfg"] = open_clip.model.get_model_preprocess_cfg(model)
    return Clip(model.eval(), open_clip.get_tokenizer(name), config)


def copy_weights(model: ClipModel) -> dict[str, torch.Tensor]:
    """Return a copy of a model's weights, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
