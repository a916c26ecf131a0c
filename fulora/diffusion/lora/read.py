"""Read a LoRA of SD 1.x, 2.x or SDXL: a file of diffusers (new or old names) or kohya, or a folder of peft."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fulora.data.state_dicts import wrong_format
from fulora.diffusion.lora.layer_names import parse_key
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.metadata import fulora_entry
from fulora.diffusion.lora.peft_folder import CONFIG, PREFIX, from_peft, is_peft, lora_path
from fulora.diffusion.lora.weights import AlphaSource, Lora, LoraModule
from fulora.diffusion.models.config_values import check_switches
from fulora.json_files import parse_json

ADAPTER = "lora_adapter_metadata"
"""The header key of diffusers for the settings of peft's adapters."""

_OTHER_KINDS = {
    "hada_": "LoHa",
    "lokr_": "LoKr",
    "oft_": "OFT",
    "lora_mid": "LoCon with a Tucker core",
    "lora_B.bias": "LoRA with biases",
}
_OTHER_MODELS = {
    "double_blocks": "Flux",
    "single_transformer_blocks": "Flux",
    "joint_blocks": "Stable Diffusion 3",
    "lora_te3_": "Flux or Stable Diffusion 3",
    "transformer.transformer_blocks": "a transformer, such as Flux or Stable Diffusion 3",
    "lora_prior_": "Stable Cascade",
}
_SHOWN = 3


def read_lora(path: Path) -> Lora:
    """Read a LoRA from a file or folder; the tensors keep their precision.

    Raises:
        LoraError: if the file is missing, not safetensors, not a LoRA of a Stable Diffusion, or another kind of
            adapter; if tensors are missing or unknown, shapes do not match, or numbers are not finite.
    """
    path = lora_path(path)
    if not path.is_file():
        raise LoraError(f"{path}: there is no such LoRA file")
    if wrong := wrong_format(path):
        raise LoraError(f"{path}: not a LoRA file: {wrong}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise LoraError(f"{path}: not a complete safetensors file: {error}") from error
    try:
        if is_peft(path):
            tensors, settings, more = from_peft(path, tensors)
            return _lora(tensors, metadata | more, settings, "peft")
        return _lora(tensors, metadata, _settings(metadata), _layout(tensors))
    except LoraError as error:
        raise LoraError(f"{path}: {error}") from error


def _lora(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], settings: Mapping[str, Any], layout: str) -> Lora:
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    unknown = []
    for key, tensor in tensors.items():
        if parsed := parse_key(key):
            layer, role = parsed
            if role in layers[layer]:
                raise LoraError(
                    f"{layer} has two tensors that are {role}, under names of two formats, the second {key}: it is not "
                    "known which of them counts; give a file of one format"
                )
            layers[layer][role] = tensor
        else:
            unknown.append(key)
    _check_keys(tensors, unknown)
    _check_settings(layers, settings)
    true_alpha = fulora_entry(metadata).get("rslora_alpha")
    modules = {name: _module(name, layers[name], settings, true_alpha) for name in sorted(layers)}
    kept = {key: value for key, value in metadata.items() if key != ADAPTER}
    return Lora(modules, kept, layout, _unused_alphas(modules, settings))


def _check_keys(keys: Iterable[str], unknown: list[str]) -> None:
    for part, kind in _OTHER_KINDS.items():
        if any(part in key for key in keys):
            raise LoraError(f"a {kind}, which cannot be used: only LoRA and DoRA can, linear or convolutional")
    for part, model in _OTHER_MODELS.items():
        if key := next((key for key in keys if part in key), None):
            raise LoraError(f"no LoRA of a Stable Diffusion with a UNet, but one of {model}, by its tensor {key}")
    if any(key.startswith(PREFIX) for key in unknown):
        raise LoraError(f"its tensors have peft's names, and without {CONFIG} beside it alpha is not known: add it")
    listed = ", ".join(sorted(unknown)[:_SHOWN])
    if len(unknown) == len(list(keys)):
        raise LoraError(f"no LoRA of a Stable Diffusion is in it; it holds {listed or 'nothing'}")
    if unknown:
        raise LoraError(f"{len(unknown)} tensors are of no SD LoRA known here: {listed}")


def _layout(keys: Iterable[str]) -> str:
    text = " ".join(keys)
    if "lora_unet_" in text or "lora_te" in text:
        return "kohya, SDXL block names" if any(s in text for s in ("input_blocks", "output_blocks")) else "kohya"
    if ".lora_A." in text:
        return "diffusers"
    return "diffusers, old names"


def _settings(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The adapters' settings by `part.setting`, as diffusers writes them; empty if the header has none."""
    try:
        value = parse_json(metadata.get(ADAPTER, "{}"))
    except ValueError as error:
        raise LoraError(f"the header's {ADAPTER} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise LoraError(f"the header's {ADAPTER} is a {type(value).__name__}, not a mapping")
    return value


def _module(name: str, tensors: Mapping[str, Tensor], settings: Mapping[str, Any], true_alpha: Any) -> LoraModule:
    for role in ("down", "up"):
        if role not in tensors:
            raise LoraError(f"{name} has {' and '.join(sorted(tensors))}, and no {role}: the file is incomplete")
    down, up = tensors["down"], tensors["up"]
    expected = (*up.shape[:1], *down.shape[:1], *[1] * (down.ndim - 2))
    if down.ndim not in (2, 4) or up.shape != expected or 0 in (*down.shape, *up.shape):
        raise LoraError(f"{name}: down {tuple(down.shape)} and up {tuple(up.shape)} do not fit together")
    for role, tensor in tensors.items():
        if role != "alpha" and not tensor.is_floating_point():
            raise LoraError(
                f"{name}: {role} is of {str(tensor.dtype).removeprefix('torch.')}, whole numbers that mean nothing "
                "without the scale they were quantised with: give the LoRA in fp32, bf16 or fp16"
            )
        if not torch.isfinite(tensor.float()).all():
            raise LoraError(f"{name} holds NaN or infinity: the training failed, or the file is damaged")
    alpha, rslora, source = _alpha(name, tensors.get("alpha"), len(down), settings, true_alpha)
    return LoraModule(down, up, alpha, rslora, _magnitude(name, tensors, len(up)), source)


def _magnitude(name: str, tensors: Mapping[str, Tensor], rows: int) -> Tensor | None:
    shapes = {
        "magnitude": ((rows,), (rows, 1), (1, rows, 1, 1)),  # the last is peft's, of convolutions
        "dora_scale": ((rows,), (rows, 1), (rows, 1, 1, 1)),
    }
    for role in shapes.keys() & tensors.keys():
        shape = tuple(tensors[role].shape)
        if shape not in shapes[role]:
            raise LoraError(f"{name}: DoRA of {shape} is not one length for each of {rows} rows; no other can be used")
        return tensors[role].flatten()
    return None


def _alpha(
    name: str, given: Tensor | None, rank: int, settings: Mapping[str, Any], true_alpha: Any
) -> tuple[float, bool, AlphaSource]:
    """Alpha, whether it is rsLoRA's, and its source: the tensor, else the header, else the rank."""
    if given is None:
        return _alpha_in_header(name, rank, settings)
    if given.numel() != 1:
        raise LoraError(f"{name}: alpha is a single number, not {tuple(given.shape)}")
    alpha = float(given)
    true = true_alpha.get(name) if isinstance(true_alpha, dict) else true_alpha
    # The header is believed only as far as it agrees with the tensors: other tools change ranks and keep headers.
    if isinstance(true, int | float) and math.isclose(true * math.sqrt(rank), alpha, rel_tol=1e-3):
        return float(true), True, "tensor"
    return alpha, False, "tensor"


def _alpha_in_header(name: str, rank: int, settings: Mapping[str, Any]) -> tuple[float, bool, AlphaSource]:
    try:
        alpha = _of_layer(name, settings, "lora_alpha", "alpha_pattern")
        rslora = bool(settings.get(f"{name.partition('.')[0]}.use_rslora", False))
        result: tuple[float, bool, AlphaSource]
        result = (float(rank), rslora, "rank") if alpha is None else (float(alpha), rslora, "header")
    except (AttributeError, TypeError, ValueError, re.error) as error:
        raise LoraError(f"the header's {ADAPTER} has no alpha of {name} that can be read: {error}") from error
    if not math.isfinite(result[0]):
        raise LoraError(f"the settings say that alpha of {name} is {alpha}; a finite number is needed")
    return result


def _of_layer(name: str, settings: Mapping[str, Any], key: str, pattern: str) -> Any:
    """A setting of peft for one layer: from a pattern that matches its name, else that of the part."""
    part, _, inside = name.partition(".")
    value = settings.get(f"{part}.{key}")
    patterns = settings.get(f"{part}.{pattern}") or {}
    if not patterns:
        return value
    from peft.utils.other import get_pattern_key  # peft takes seconds to import, and few files have patterns

    for written in (inside, inside.removeprefix("text_model.")):  # as transformers 4 and 5 name a text layer
        value = patterns.get(get_pattern_key(patterns, written), value)
    return value


def _check_settings(layers: Mapping[str, Mapping[str, Tensor]], settings: Mapping[str, Any]) -> None:
    """Refuse settings that contradict the tensors; peft does not load them either."""
    for part in {name.partition(".")[0] for name in layers}:
        try:
            check_switches(settings, (f"{part}.use_dora", f"{part}.use_rslora"), "the settings")
        except ValueError as error:
            raise LoraError(str(error)) from error
    for name, roles in layers.items():
        dora = settings.get(f"{name.partition('.')[0]}.use_dora")
        has = "magnitude" in roles or "dora_scale" in roles
        if dora is not None and dora != has:
            raise LoraError(
                f"the settings say use_dora={'true' if dora else 'false'}, and {name} has "
                f"{'a' if has else 'no'} magnitude vector: the file is incomplete, or its settings are of another one"
            )
        try:
            rank = _of_layer(name, settings, "r", "rank_pattern")
        except (AttributeError, TypeError, re.error) as error:
            raise LoraError(f"the settings have no rank of {name} that can be read: {error}") from error
        if rank is not None and "down" in roles and roles["down"].shape[:1] != (rank,):
            raise LoraError(
                f"the settings say r={rank} for {name}, and its tensors have rank {len(roles['down'])}: they are of "
                "two trainings, and how strong the LoRA is cannot be known; give settings and tensors of one"
            )


def _unused_alphas(modules: Mapping[str, LoraModule], settings: Mapping[str, Any]) -> tuple[float, ...]:
    """The header's alphas of layers whose own tensors have another."""
    unused = set()
    for name, module in modules.items():
        if module.alpha_from == "tensor":
            alpha, rslora, source = _alpha_in_header(name, module.rank, settings)
            plain = alpha * math.sqrt(module.rank) if rslora else alpha
            if source == "header" and not math.isclose(plain, module.plain_alpha, rel_tol=0.01):
                unused.add(alpha)
    return tuple(sorted(unused))
