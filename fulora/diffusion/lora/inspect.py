"""Describe a LoRA file: its backbone, adapted layers and their norms, training data, settings and hashes."""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fulora.diffusion.lora import metadata
from fulora.diffusion.lora.base_model import describe_alpha, families_of, predictions_of, zero_snr_of
from fulora.diffusion.lora.peft_folder import lora_path
from fulora.diffusion.lora.read import read_lora
from fulora.diffusion.lora.weights import LoraModule

_BLOCK_BYTES = 1 << 20
_SHORT = 12


def inspect_lora(path: Path) -> dict[str, Any]:
    """Return the description of a LoRA file, as JSON values.

    `prediction_type` is `unknown` if the file does not declare it, and `contradictory` if its statements, which are in
    `trained_for`, disagree.

    `parts` has for each part the number of layers and of parameters, the number of layers of each rank, alpha and
    precision, the Frobenius norm of the update over all layers (without DoRA's magnitudes), and the layers whose `up`
    is zero: they were not trained, such as the last text layer with clip skip 2.

    `hashes` has the SHA-256 of the file, and AUTOMATIC1111's hash of a LoRA: the SHA-256 of the bytes after the header,
    which does not change when the header is edited, and its first 12 digits, as quoted in pictures' parameters.

    Raises:
        LoraError: as `read_lora`.
    """
    path = lora_path(path)
    lora = read_lora(path)
    modules, facts = lora.modules.values(), metadata.facts_in(lora.metadata)
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "format": lora.layout,
        "architecture": metadata.architecture_in(lora) or "unknown",
        "layers": len(lora.modules),
        "parameters": sum(_parameters(module) for module in modules),
        "prediction_type": _one(predictions_of(lora)),
        "zero_terminal_snr": zero_snr_of(lora),
        "trained_for": {**families_of(lora), **predictions_of(lora)},
        "base_model": facts.get("base_model") or metadata.base_model_in(lora.metadata),
        "alpha_known": lora.alpha_known,
        "alpha_from": _counted(module.alpha_from for module in modules),
        "about_alpha": describe_alpha(lora),
        "rslora": any(module.rslora for module in modules),
        "dora": any(module.magnitude is not None for module in modules),
        "parts": {part: _part(modules) for part, modules in lora.parts().items()},
        "captions": metadata.captions_in(lora.metadata),
        "licence": metadata.licence_in(lora.metadata),
        "facts": facts,
        "settings": metadata.settings_in(lora.metadata),
        "hashes": hashes(path),
        "metadata": dict(sorted(lora.metadata.items())),
    }


def _part(modules: Mapping[str, LoraModule]) -> dict[str, Any]:
    layers = modules.values()
    return {
        "layers": len(modules),
        "parameters": sum(_parameters(module) for module in layers),
        "ranks": _counted(module.rank for module in layers),
        "alphas": _counted(f"{module.alpha:g}" for module in layers),
        "precisions": _counted(str(module.down.dtype).removeprefix("torch.") for module in layers),
        "norm": math.sqrt(sum(module.norm() ** 2 for module in layers)),
        "zero_up": [name for name, module in modules.items() if not module.up.any()],
    }


def _one(declared: Mapping[str, str]) -> str:
    values = set(declared.values())
    return values.pop() if len(values) == 1 else "contradictory" if values else "unknown"


def _parameters(module: LoraModule) -> int:
    magnitude = 0 if module.magnitude is None else module.magnitude.numel()
    return module.down.numel() + module.up.numel() + magnitude


def _counted(values: Iterable[object]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}


def hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of a safetensors file, and of its bytes after the header, in full and short."""
    file_hash, data_hash = hashlib.sha256(), hashlib.sha256()
    with path.open("rb") as file:
        size = file.read(8)
        header = file.read(int.from_bytes(size, "little"))
        file_hash.update(size + header)
        while block := file.read(_BLOCK_BYTES):
            file_hash.update(block)
            data_hash.update(block)
    data = data_hash.hexdigest()
    return {"sha256": file_hash.hexdigest(), "data_sha256": data, "lora_hash": data[:_SHORT]}
