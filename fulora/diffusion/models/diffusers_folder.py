"""Parts of a folder in diffusers' layout: their configs, and which weight file is read."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel
from safetensors import SafetensorError, safe_open

from fulora import progress
from fulora.data.state_dicts import wrong_format
from fulora.json_files import read_json

PICKLES = (".bin", ".ckpt", ".pt", ".pth")

_SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
_VARIANT = re.compile(r"\.([^.]+?)(?:-\d{5}-of-\d{5})?\.safetensors|\.safetensors\.index\.([^.]+)\.json")
"""What follows the plain name in the names of a variant's file, shards (fp16-00001-of-00002) and index."""


def read_config(path: Path) -> dict[str, Any]:
    """Read the JSON config of a part.

    Raises:
        ValueError: if the file is missing.
        DamagedFileError: if it is not a JSON object, or has duplicate keys.
    """
    if not path.is_file():
        raise ValueError(f"the folder has no {path.parent.name}/{path.name}")
    return read_json(path, dict[str, Any])


class WeightFiles(NamedTuple):
    """The files of a network's weights.

    Attributes:
        variant: the part of their names that says which weights they are, such as `fp16`; None without one.
        paths: one file, or the index and the shards that it names.
    """

    variant: str | None
    paths: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.paths)


class _Index(BaseModel):
    """`*.safetensors.index.json`: the file of each weight."""

    weight_map: dict[str, str]


def find_weight_files(folder: Path, stem: str) -> WeightFiles:
    """Return the weight files to read: the plain file or its shards, else those of the only variant.

    Args:
        stem: of the plain file: `diffusion_pytorch_model`, or `model` of a text encoder.

    Raises:
        ValueError: no weights as safetensors; several variants and no plain file; a file of another kind, or cut;
            shards that are missing, or have no index.
    """
    names = sorted(path.name for path in folder.glob(f"{stem}*") if path.is_file())
    wrong = {name: _wrong(folder / name) for name in names if name.endswith(".safetensors")}
    if bad := next((name for name, reason in wrong.items() if reason), None):
        raise ValueError(f"{folder.name}/{bad}: {wrong[bad]}")
    variant = _find_variant(folder, stem, names)
    ending = f".{variant}" if variant else ""
    index = folder / f"{stem}.safetensors.index{ending}.json"
    if index.is_file():
        return WeightFiles(variant, (index, *_shards(index)))
    single = folder / f"{stem}{ending}.safetensors"
    if not single.is_file():
        raise ValueError(
            f"{folder.name} holds parts of weights, such as {_first_shard(names)}, and no {index.name}, which names "
            "them all: download or copy it too"
        )
    return WeightFiles(variant, (single,))


def _find_variant(folder: Path, stem: str, names: Sequence[str]) -> str | None:
    if {f"{stem}.safetensors", f"{stem}.safetensors.index.json"} & set(names):
        return None
    variants = sorted({match[1] or match[2] for name in names if (match := _VARIANT.fullmatch(name, len(stem)))})
    if len(variants) == 1:
        progress.note(f"{folder.name}: only weights of the variant {variants[0]} are there; they are read")
        return variants[0]
    if variants:
        raise ValueError(
            f"{folder.name} holds the variants {', '.join(variants)} and no {stem}.safetensors: leave one of them"
        )
    if _first_shard(names):
        return None
    pickles = [name for name in names if name.endswith(PICKLES)]
    why = f"; it holds {pickles[0]}: {wrong_format(folder / pickles[0]) or 'of an unknown format'}" if pickles else ""
    raise ValueError(f"no file named {stem}.safetensors found in {folder.name}{why}")


def _first_shard(names: Sequence[str]) -> str:
    return next((name for name in names if _SHARD.search(name)), "")


def _shards(index: Path) -> list[Path]:
    """The files that an index names; damage of the index itself is a `ValueError` of `read_json`."""
    shards = [index.parent / name for name in sorted(set(read_json(index, _Index).weight_map.values()))]
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise ValueError(
            f"{index.parent.name}/{index.name} names {len(shards)} files of weights, and {len(missing)} of them are "
            f"missing, such as {missing[0]}: download or copy them too"
        )
    return shards


def _wrong(path: Path) -> str:
    if wrong := wrong_format(path):
        return wrong
    try:
        with safe_open(path, "pt"):
            return ""
    except SafetensorError as error:
        return f"it is incomplete ({error}); download or copy it again"
