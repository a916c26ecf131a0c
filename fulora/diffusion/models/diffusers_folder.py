"""Parts of a folder in diffusers' layout: their configs, and which weight file is read."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fulora import progress
from fulora.data.state_dicts import wrong_format
from fulora.json_files import read_json

PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def read_config(path: Path) -> dict[str, Any]:
    """Read the JSON config of a part.

    Raises:
        ValueError: if the file is missing.
        DamagedFileError: if it is not a JSON object, or has duplicate keys.
    """
    if not path.is_file():
        raise ValueError(f"the folder has no {path.parent.name}/{path.name}")
    return read_json(path, dict[str, Any])


def find_weight_variant(folder: Path, stem: str) -> str | None:
    """Return the variant of weight files to read: None for the plain file or its shards, else the only variant.

    Args:
        stem: of the plain file: `diffusion_pytorch_model`, or `model` of a text encoder.

    Raises:
        ValueError: no weights as safetensors; several variants and no plain file; or a file of another kind, or cut.
    """
    names = sorted(path.name for path in folder.glob(f"{stem}*") if path.is_file())
    wrong = {name: _wrong(folder / name) for name in names if name.endswith(".safetensors")}
    if bad := next((name for name, reason in wrong.items() if reason), None):
        raise ValueError(f"{folder.name}/{bad}: {wrong[bad]}")
    if {f"{stem}.safetensors", f"{stem}.safetensors.index.json"} & set(names):
        return None
    # A variant's name stands before the ending, or, of shards, before the number: model.fp16-00001-of-00002.safetensors
    variants = sorted(
        {
            name.removeprefix(f"{stem}.").split(".")[0].split("-0")[0]
            for name in names
            if name.startswith(f"{stem}.") and name.endswith((".safetensors", ".safetensors.index.json"))
        }
    )
    if len(variants) == 1:
        progress.note(f"{folder.name}: only weights of the variant {variants[0]} are there; they are read")
        return variants[0]
    if variants:
        raise ValueError(
            f"{folder.name} holds the variants {', '.join(variants)} and no {stem}.safetensors: leave one of them"
        )
    pickles = [name for name in names if name.endswith(PICKLES)]
    why = f"; it holds {pickles[0]}: {wrong_format(folder / pickles[0]) or 'of an unknown format'}" if pickles else ""
    raise ValueError(f"no file named {stem}.safetensors found in {folder.name}{why}")


def _wrong(path: Path) -> str:
    if wrong := wrong_format(path):
        return wrong
    try:
        with safe_open(path, "pt"):
            return ""
    except SafetensorError as error:
        return f"it is incomplete ({error}); download or copy it again"
