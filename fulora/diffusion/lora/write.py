"""Write a LoRA file in diffusers' or kohya's format. Equal LoRAs give equal bytes."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from fulora.diffusion.lora.formats import Format, Precision
from fulora.diffusion.lora.layer_names import kohya_name
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.metadata import KEY, architecture_in, fulora_entry
from fulora.diffusion.lora.read import ADAPTER
from fulora.diffusion.lora.weights import Lora, LoraModule
from fulora.files import atomic_file, raise_on_disk_full

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16}
_OF_ONE_FILE = (ADAPTER, "sshs_model_hash", "sshs_legacy_hash")


def write_lora(lora: Lora, path: Path, *, format: Format, precision: Precision | None = None) -> None:
    """Write a LoRA file atomically.

    `diffusers`: peft's keys, and the adapters' settings in the header, without which alpha would be read as rank, and
    rsLoRA and DoRA as plain LoRA. `kohya`: alpha as a tensor of each layer; rsLoRA, which kohya does not know, as
    alpha * sqrt(rank), which is the same function, and the true alpha in the header; DoRA as `dora_scale` of
    (rows, 1) or (rows, 1, 1, 1), LyCORIS' `wd_on_output`. diffusers 0.42 ignores `dora_scale`: it reads DoRA from
    files in its own format alone.

    Args:
        precision: None keeps that of the tensors.

    Raises:
        LoraError: if a number is too large for fp16.
        DiskFullError: if the disk is full; no partial file remains.
    """
    tensors, metadata = (_diffusers if format == "diffusers" else _kohya)(_in_precision(lora, precision))
    saved = memoryview(save(tensors))
    start = 8 + int.from_bytes(saved[:8], "little")
    header, data = json.loads(bytes(saved[8:start])), saved[start:]
    if format == "kohya":
        metadata["sshs_model_hash"] = hashlib.sha256(data).hexdigest()
    # safetensors itself writes the header's entries in an order that differs between processes.
    header = {"__metadata__": dict(sorted(metadata.items())), **header}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with raise_on_disk_full(path), atomic_file(path) as new, new.open("wb") as file:
        file.writelines((len(text).to_bytes(8, "little"), text, data))


def _in_precision(lora: Lora, precision: Precision | None) -> Lora:
    if precision is None:
        return lora
    return replace(lora, modules={name: _cast(name, m, _DTYPES[precision]) for name, m in lora.modules.items()})


def _cast(name: str, module: LoraModule, dtype: torch.dtype) -> LoraModule:
    magnitude = None if module.magnitude is None else module.magnitude.to(dtype)
    cast = replace(module, down=module.down.to(dtype), up=module.up.to(dtype), magnitude=magnitude)
    for tensor in (cast.down, cast.up, cast.magnitude):
        if tensor is not None and not torch.isfinite(tensor).all():
            raise LoraError(f"{name} holds numbers too large for fp16: write it in fp32")
    return cast


def _diffusers(lora: Lora) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for part, modules in lora.parts().items():
        dora = sum(module.magnitude is not None for module in modules.values())
        if 0 < dora < len(modules):
            raise LoraError(f"{dora} of {len(modules)} layers of the {part} have DoRA; diffusers knows all or none")
        settings |= {f"{part}.{key}": value for key, value in _settings(part, modules).items()}
        # peft writes no `.weight` here, but without it transformers 5.23 loses the magnitudes of text encoders.
        ending = "" if part == "unet" else ".weight"
        for name, module in modules.items():
            tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"] = module.down, module.up
            if module.magnitude is not None:
                shape = (-1,) if module.up.ndim == 2 else (1, -1, 1, 1)
                tensors[f"{name}.lora_magnitude_vector{ending}"] = module.magnitude.reshape(shape)
    return tensors, _metadata(lora) | {ADAPTER: json.dumps(settings, sort_keys=True)}


def _settings(part: str, modules: Mapping[str, LoraModule]) -> dict[str, Any]:
    """peft's settings of a part. Names are without `text_model.`: so they match with and without it."""
    names = {name: name.removeprefix(f"{part}.").removeprefix("text_model.") for name in modules}
    rslora = all(module.rslora for module in modules.values())
    ranks = {names[name]: module.rank for name, module in modules.items()}
    alphas = {
        names[name]: module.alpha if module.rslora == rslora else module.plain_alpha for name, module in modules.items()
    }
    rank, alpha = (Counter(values).most_common(1)[0][0] for values in (ranks.values(), alphas.values()))
    return {
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: value for name, value in ranks.items() if value != rank},
        "alpha_pattern": {name: value for name, value in alphas.items() if value != alpha},
        "target_modules": sorted(names.values()),
        "use_rslora": rslora,
        "use_dora": any(module.magnitude is not None for module in modules.values()),
    }


def _kohya(lora: Lora) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors: dict[str, Tensor] = {}
    sdxl = architecture_in(lora) == "sdxl"
    for name, module in lora.modules.items():
        key = kohya_name(name, sdxl=sdxl)
        tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = module.down, module.up
        tensors[f"{key}.alpha"] = _alpha(module)
        if module.magnitude is not None:
            tensors[f"{key}.dora_scale"] = module.magnitude.reshape(-1, *[1] * (module.up.ndim - 1))
    metadata, true = _metadata(lora), {name: m.alpha for name, m in lora.modules.items() if m.rslora}
    if true:
        same = len(true) == len(lora.modules) and len(set(true.values())) == 1
        entry = fulora_entry(metadata) | {"rslora_alpha": next(iter(true.values())) if same else true}
        metadata[KEY] = json.dumps(entry, sort_keys=True)
    return tensors, metadata


def _alpha(module: LoraModule) -> Tensor:
    """In the precision of the weights, as kohya does it, where that holds it exactly."""
    exact = torch.tensor(module.plain_alpha, dtype=torch.float32)
    short = exact.to(module.down.dtype)
    return short if short.float() == exact else exact


def _metadata(lora: Lora) -> dict[str, str]:
    metadata = {key: value for key, value in lora.metadata.items() if key not in _OF_ONE_FILE}
    entry = fulora_entry(metadata)
    if entry.pop("rslora_alpha", None) is not None:
        metadata[KEY] = json.dumps(entry, sort_keys=True)
    return metadata
